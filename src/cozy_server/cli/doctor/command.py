"""`cozy doctor`: every check in order, each line as soon as it is known."""

import asyncio
import os
from collections.abc import AsyncIterator

import typer

from cozy_domain.errors import ConfigError
from cozy_server.cli.doctor import machine, models, speech, store
from cozy_server.cli.doctor.finding import Finding, Level, fail, ok, warn
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED, as_json_text
from cozy_server.codes import Language
from cozy_server.container.container import Container
from cozy_server.settings.load import Loaded, SettingsError
from cozy_server.settings.sources import unknown
from cozy_server.telemetry import configure_logs

_COLOURS: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
_WIDTH = 9


def run(
    data: str | None, config: str | None, *, development: bool, as_json: bool, language: Language
) -> None:
    """Exits 1 when something must be mended; warnings pass."""
    configure_logs("critical")  # what is wrong is told as a finding
    findings = asyncio.run(_told(data, config, development, as_json=as_json, language=language))
    if as_json:
        rows = [as_row(finding, language) for finding in findings]
        typer.echo(as_json_text({"ok": not _failing(findings), "checks": rows}))
    if _failing(findings):
        raise typer.Exit(FAILED)


async def examine(data: str | None, config: str | None, *, development: bool) -> AsyncIterator[Finding]:
    """What there is to say about this machine and this configuration. Nothing is changed."""
    for finding in machine.python():
        yield finding
    try:
        loaded = settings_from(data=data, config=config, development=development)
    except SettingsError as error:
        for wrong in error.wrong:
            yield fail("settings", "config_wrong", told=wrong)
        return
    for finding in _settings(loaded):
        yield finding
    container = Container(
        settings=loaded.settings,
        audit_key=b"",
        database_role="reader",
        environment=loaded.variables,
        default_origin=loaded.origin(models.DEFAULT),
    )
    try:
        async for finding in _examined(loaded, container):
            yield finding
    finally:
        await _close(container)


async def _close(container: Container) -> None:
    try:
        models = container.models()
    except ConfigError:
        return  # told as a finding; there is nothing to close
    for model in models.values():
        if hasattr(model, "aclose"):
            await model.aclose()


async def _examined(loaded: Loaded, container: Container) -> AsyncIterator[Finding]:
    for finding in (*machine.extras(loaded), *machine.data_folder(loaded)):
        yield finding
    async for finding in store.database(loaded, container):
        yield finding
    known = await store.known(container)
    for finding in store.audit(loaded, known):
        yield finding
    async for finding in store.redis(loaded, container):
        yield finding
    for finding in machine.clock(container.clock().now(), known.newest):
        yield finding
    for finding in machine.address(loaded, known.keys_alive):
        yield finding
    ids, about = await models.characters(loaded)
    for finding in about:
        yield finding
    async for finding in models.providers(loaded, container, ids):
        yield finding
    async for finding in models.tool_servers(loaded, container):
        yield finding
    for finding in speech.engines(loaded, container):
        yield finding
    for finding in models.egress(loaded.settings):
        yield finding


def _settings(loaded: Loaded) -> tuple[Finding, ...]:
    places = sorted({origin.partition(":")[0].partition(" ")[0] for origin in loaded.origins.values()})
    number = len(loaded.origins)
    said = ok("settings", "config_ok", number=number, places=", ".join(places)) if number else None
    doubtful = (warn("settings", "variable_unknown", told=wrong) for wrong in unknown(loaded.variables))
    return (*doubtful, said or ok("settings", "config_none"))


async def _told(
    data: str | None, config: str | None, development: bool, *, as_json: bool, language: Language
) -> list[Finding]:
    findings = []
    async for finding in examine(data, config, development=development):
        findings.append(finding)
        if not as_json:
            typer.echo(as_line(finding, language, styled=not os.environ.get("NO_COLOR")))
    return findings


def as_row(finding: Finding, language: Language) -> dict[str, object]:
    return {
        "check": finding.check,
        "level": finding.level,
        "code": finding.code,
        "cause": finding.cause(language),
        "fix": finding.remedy(language),
        "origin": finding.origin if finding.origin != "default" else None,
    }


def as_line(finding: Finding, language: Language, *, styled: bool = False) -> str:
    """``FAIL database  cannot reach db:5432  → start it (from cozy.yaml:12)``."""
    row = as_row(finding, language)
    level = f"{finding.level.upper():<4}"
    if styled:
        level = typer.style(level, fg=_COLOURS[finding.level])
    fix = f"  → {row['fix']}" if row["fix"] else ""
    written = "来自" if language == "zh" else "from"
    origin = f" ({written} {row['origin']})" if row["origin"] and finding.level != "ok" else ""
    return f"{level} {finding.check:<{_WIDTH}} {row['cause']}{fix}{origin}"


def _failing(findings: list[Finding]) -> bool:
    return any(finding.level == "fail" for finding in findings)
