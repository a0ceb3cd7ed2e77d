"""The settings in force: every source in order of precedence, each value checked, each with its origin.

Command line > environment > ``.env`` (development only) > ``cozy.yaml`` > other programs' variables > defaults (settled
question 12).
"""

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path as FilePath
from typing import Any

import msgspec

from cozy_domain.errors import ConfigError
from cozy_domain.nearest import nearest
from cozy_server.settings.meaning import contradictions, meaningless
from cozy_server.settings.secret import Secret
from cozy_server.settings.shape import (
    Path,
    children,
    dotted,
    is_secret,
    is_section,
    is_table,
    leaves,
    shape_at,
    words_of,
)
from cozy_server.settings.sources import (
    Found,
    Written,
    Wrong,
    from_environment,
    from_fallbacks,
    from_file,
    from_flags,
    read_dotenv,
)
from cozy_server.settings.tree import Settings

CONFIG = "cozy.yaml"
DOTENV = ".env"
DEFAULT = "default"

Flags = Mapping[str, tuple[Path, object]]


class SettingsError(ConfigError):
    """``wrong`` has everything that was found; ``str`` is one line for each."""

    default_code = "settings_invalid"

    def __init__(self, wrong: tuple[Wrong, ...]) -> None:
        super().__init__("\n".join(map(str, wrong)))
        self.wrong = wrong


class Loaded(msgspec.Struct, frozen=True):
    """``origins`` tells for each path that somebody set where; the others have their defaults. ``variables`` are those of
    the environment and of ``.env``, where other programs' settings are looked for."""

    settings: Settings
    origins: Mapping[Path, str] = {}
    variables: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Loaded(settings={self.settings!r}, origins={self.origins!r})"

    def origin(self, path: Path) -> str:
        return self.origins.get(path, DEFAULT)

    def rows(self) -> tuple[tuple[Path, object], ...]:
        """Every value in force with its path, in the tree's order."""
        return tuple(row for pattern, _ in leaves() for row in _values(self.settings, pattern))


def load(
    *,
    flags: Flags | None = None,
    config: str | None = None,
    environ: Mapping[str, str] | None = None,
    development: bool = False,
    folder: FilePath | None = None,
) -> Loaded:
    """Reads every source. ``config`` is a file that must exist, else ``cozy.yaml`` in ``folder`` if it does.

    Raises:
        SettingsError: something is wrong; with all of it.
    """
    here = folder or FilePath()
    variables = os.environ if environ is None else environ
    dotenv = read_dotenv(here / DOTENV) if development and (here / DOTENV).is_file() else {}
    others = chain(from_fallbacks(dotenv, DOTENV), from_fallbacks(variables, "environment"))
    ours = chain(
        _file(here, config),
        from_environment(dotenv, DOTENV),
        from_environment(variables, "environment"),
        from_flags(flags or {}),
    )
    return _checked(tuple(others), tuple(ours), {**dotenv, **variables})


def _file(here: FilePath, config: str | None) -> Found:
    if config is not None:
        return from_file(FilePath(config))
    return from_file(here / CONFIG) if (here / CONFIG).is_file() else iter(())


def _checked(
    others: tuple[Written | Wrong, ...], ours: tuple[Written | Wrong, ...], variables: Mapping[str, str]
) -> Loaded:
    """What is meant for us must be right also where it does not hold: it may tomorrow, when a variable is gone."""
    found = (*others, *ours)
    last = {item.path: item for item in found if isinstance(item, Written)}
    wrong = [item for item in found if isinstance(item, Wrong)]
    overridden = (item for item in ours if isinstance(item, Written) and last[item.path] is not item)
    wrong += [value for item in overridden if isinstance(value := _value(item), Wrong)]
    tree: dict[str, Any] = {}
    for item in last.values():
        value = _value(item, variables)
        if isinstance(value, Wrong):
            wrong.append(value)
        else:
            _put(tree, item.path, value)
    if wrong:
        raise SettingsError(tuple(wrong))
    settings: Settings = _built(Settings(), tree)
    origins = {path: item.origin for path, item in last.items()}
    if clashes := tuple(contradictions(settings)):
        raise SettingsError(
            tuple(Wrong(_nearest(origins, path), dotted(path), complaint) for path, complaint in clashes)
        )
    return Loaded(settings, origins, variables)


def _nearest(origins: Mapping[Path, str], path: Path) -> str:
    """Where the first of what stands at ``path`` was written."""
    return next((origin for written, origin in origins.items() if written[: len(path)] == path), DEFAULT)


def _value(item: Written, variables: Mapping[str, str] | None = None) -> object:
    """The value as its type, or what is wrong with it. Without ``variables`` a secret's reference is not followed."""
    shape = shape_at(item.path)
    value = item.value
    try:
        if is_secret(shape):
            text = msgspec.convert(value, str, strict=False)
            if variables is None:
                return Secret(text)
            value = Secret(secret_of(text, variables))
        else:
            value = msgspec.convert(value, shape, strict=not isinstance(value, str))
    except (msgspec.ValidationError, ConfigError) as error:
        if accepted := words_of(shape):
            near = nearest(str(value), accepted)
            return Wrong(item.origin, dotted(item.path), f"must be one of {', '.join(accepted)}", near)
        reason = str(error).partition(" - at ")[0]
        return Wrong(item.origin, dotted(item.path), reason[:1].lower() + reason[1:])
    complaint = meaningless(item.path, value)
    return Wrong(item.origin, dotted(item.path), complaint) if complaint else value


def secret_of(text: str, variables: Mapping[str, str]) -> str:
    """The secret itself, where a reference to it (``env:NAME``, ``file:PATH``) was written.

    Raises:
        ConfigError: what it refers to is not there.
    """
    kind, colon, name = text.partition(":")
    if kind == "env" and colon:
        if name not in variables:
            raise ConfigError(f"there is no environment variable {name}")
        return variables[name]
    if kind == "file" and colon:
        try:
            return FilePath(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the file {name} cannot be read ({type(error).__name__})") from None
    return text


def _put(tree: dict[str, Any], path: Path, value: object) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = value


def _built(base: Any, tree: Mapping[str, Any]) -> Any:
    """The section ``base`` with what ``tree`` says instead of its defaults."""
    shapes = children(type(base))
    changes = {name: _inner(shapes[name], getattr(base, name), value) for name, value in tree.items()}
    return msgspec.structs.replace(base, **changes)


def _inner(shape: Any, default: Any, value: Any) -> Any:
    if is_section(shape):
        return _built(default, value)
    if is_table(shape):
        below = children(shape)["<name>"]
        return {name: _built(below(), item) if is_section(below) else item for name, item in value.items()}
    return value


def _values(node: Any, pattern: Path, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if not pattern:
        yield path, node
        return
    step, rest = pattern[0], pattern[1:]
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _values(value, rest, (*path, name))
    else:
        yield from _values(getattr(node, step), rest, (*path, step))
