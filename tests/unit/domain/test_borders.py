"""What the packages may import from outside; import-linter sees to the borders between our own."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"


def imported_roots(module: Path) -> Iterator[str]:
    """The top-level name of everything that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def outside_imports(folder: Path) -> dict[str, set[str]]:
    return {
        str(module.relative_to(SOURCE)): outside
        for module in sorted(folder.rglob("*.py"))
        if (outside := set(imported_roots(module)) - sys.stdlib_module_names)
    }


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("cozy_domain", {"cozy_domain", "msgspec"}),
        ("cozy_adapters/inmemory", {"cozy_adapters", "cozy_domain", "msgspec"}),
    ],
)
def test_the_bare_wheel_imports_only_msgspec_from_outside(folder: str, allowed: set[str]) -> None:
    found = outside_imports(SOURCE / folder)
    assert {module: names - allowed for module, names in found.items() if names - allowed} == {}


def test_the_check_sees_imports_inside_functions(tmp_path: Path) -> None:
    module = tmp_path / "sample.py"
    module.write_text("def f():\n    import redis.asyncio\n    from sqlalchemy import text\n")
    assert set(imported_roots(module)) == {"redis", "sqlalchemy"}
