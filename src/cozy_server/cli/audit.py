"""`cozy audit`: what was remembered, and whether anybody changed it."""

import asyncio
import json
from typing import assert_never

import msgspec
import typer

from cozy_domain.audit.chain import Fault, Verification
from cozy_domain.audit.check import check
from cozy_domain.audit.events import (
    AccessRefused,
    AuditEvent,
    AuditRecord,
    EngineDegraded,
    OperatorActed,
    ToolCalled,
    TurnAudited,
)
from cozy_server.cli.composition import store_to_read
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED, show
from cozy_server.settings.load import Loaded


def tail(number: int, data: str | None, config: str | None, *, as_json: bool) -> None:
    """
    Raises:
        CozyError: the log could not be read.
    """
    records, sealed = asyncio.run(_tail(settings_from(data=data, config=config), number))
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(record) for record in records], indent=2))
        return
    rows = [_row(record, sealed=record.id in sealed) for record in records]
    show(rows, as_json=False, empty="Nothing has been audited yet.")


def verify(data: str | None, config: str | None, *, as_json: bool) -> None:
    """Exits 1 when something was tampered with.

    Raises:
        CozyError: the log could not be read.
    """
    found = asyncio.run(_verify(settings_from(data=data, config=config)))
    if as_json:
        typer.echo(json.dumps({"intact": found.intact, **msgspec.to_builtins(found)}, indent=2))
    else:
        typer.echo("\n".join(told(found)))
    if not found.intact:
        raise typer.Exit(FAILED)


def told(found: Verification) -> list[str]:
    """The result of a check, for people."""
    lines = [_fault(fault) for fault in found.faults]
    if found.last_sealed:
        last = found.last_sealed
        lines.append(f"{found.sealed} records are sealed; the last is {last.record}, at {last.position}.")
    else:
        lines.append("No record is sealed.")
    if found.unsealed:
        lines.append(
            f"{found.unsealed} newer records are not sealed yet: if one of them were removed, nobody would notice."
        )
    if found.anchored:
        lines.append(f"The anchor vouches that the chain was at {found.anchored}.")
    elif found.sealed:
        lines.append(
            "Nothing outside the store vouches for the end of the chain, for there is no genuine anchor: if the last"
            " records were removed together with their seals, nobody would notice."
        )
    lines.append(
        "The log is intact." if found.intact else "The log was tampered with, or signed with another key."
    )
    return lines


_FAULTS = {
    "changed": "was changed",
    "removed": "was removed",
    "inserted": "was inserted",
    "chain_broken": "stands in a chain that does not hold",
    "seal_removed": "was sealed once: its seal was removed",
    "cut_off": "was the last sealed one when the anchor was written: the chain is cut off before it, or is another one",
}


async def _tail(loaded: Loaded, number: int) -> tuple[tuple[AuditRecord, ...], frozenset[object]]:
    async with store_to_read(loaded) as container:
        records, seals = await container.audit().read(limit=number)
    return records, frozenset(seal.record for seal in seals)


async def _verify(loaded: Loaded) -> Verification:
    async with store_to_read(loaded) as container:
        return await check(container.audit(), container.audit_anchor(), container.audit_key())


def _fault(fault: Fault) -> str:
    if fault.kind == "anchor_forged":
        return "FAULT: the anchor was forged or damaged"
    place = "FAULT" if fault.position is None else f"FAULT at {fault.position}"
    return f"{place}: record {fault.record} {_FAULTS[fault.kind]}"


def _row(record: AuditRecord, *, sealed: bool) -> dict[str, object]:
    return {
        "at": record.at,
        "level": record.level,
        "account": record.account,
        "what": _what(record.event),
        "sealed": "yes" if sealed else "no",
    }


def _what(event: AuditEvent) -> str:
    """One line that fits a terminal; --json has the rest."""
    match event:
        case TurnAudited():
            ended = f" ({event.error})" if event.error else ""
            return f"turn {event.state}: {event.persona}, {event.model or 'no model'}{ended}"
        case ToolCalled():
            return f"tool {event.tool}: {event.outcome}, {event.duration_ms} ms"
        case EngineDegraded():
            skipped = event.degradation
            return f"{skipped.engine} skipped: {skipped.reason}, {skipped.after_ms} ms"
        case AccessRefused():
            return f"refused: {event.reason}, {event.route}"
        case OperatorActed():
            return f"{event.action} {event.target}"
        case _:
            assert_never(event)
