"""`cozy replay`: a recorded call, gone through again."""

from pathlib import Path

import msgspec
import typer

from cozy_domain.errors import InputError
from cozy_domain.voice.policy import S, VoiceProfile
from cozy_domain.voice.replay import Beginning, Difference, Replayed, read, replay
from cozy_domain.voice.session import agent_state, user_state
from cozy_server.cli.telling import FAILED, as_json_text, counted


def run(file: Path, until_s: float | None, profile: Path | None, *, as_json: bool) -> None:
    """Exits 1 when, under the profile it was recorded with, something else would be done now.

    Raises:
        InputError: the recording or the profile cannot be read.
    """
    begun, steps = read(_lines(file))
    other = _profile(profile) if profile else None
    until_ns = None if until_s is None else round(until_s * S)
    found = replay(begun, steps, profile=other, until_ns=until_ns)
    if as_json:
        typer.echo(as_json_text(_told(begun, found)))
    else:
        typer.echo("\n".join(_lines_of(begun, found, len(steps))))
    if found.differences and other is None:
        raise typer.Exit(FAILED)


def _lines(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", code="invalid_recording") from None


def _profile(file: Path) -> VoiceProfile:
    try:
        return msgspec.json.decode(file.read_bytes(), type=VoiceProfile)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}", code="invalid_recording") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{file} is no profile: {error}", code="invalid_recording") from None


def _told(begun: Beginning, found: Replayed) -> dict[str, object]:
    return {
        "same": not found.differences,
        "steps": found.steps,
        "unanswered": found.unanswered,
        "phase": found.state.phase.value,
        "agent": agent_state(found.state),
        "user": user_state(found.state),
        "differences": [
            {
                "step": it.number,
                "at_ms": _ms(begun, it),
                "event": it.event,
                "recorded": msgspec.to_builtins(it.before),
                "now": msgspec.to_builtins(it.now),
            }
            for it in found.differences
        ],
    }


def _lines_of(begun: Beginning, found: Replayed, steps: int) -> list[str]:
    where = (
        f"{found.state.phase.value}, the agent {agent_state(found.state)}, the user {user_state(found.state)}"
    )
    lines = [f"{found.steps} of {counted(steps, 'event')}: {where}."]
    for it in found.differences:
        lines.append(f"{_ms(begun, it):>10.1f} ms  {it.number}  {it.event}")
        lines.extend(f"{'':>15}- {_short(action)}" for action in it.before)
        lines.extend(f"{'':>15}+ {_short(action)}" for action in it.now)
    lines.append(
        f"{counted(len(found.differences), 'difference')}." if found.differences else "No difference."
    )
    return lines


def _short(action: msgspec.Struct) -> str:
    tag = action.__struct_config__.tag
    fields = msgspec.to_builtins(action)
    return " ".join((str(tag), *(f"{name}={fields[name]!r}" for name in action.__struct_fields__)))


def _ms(begun: Beginning, it: Difference) -> float:
    return round((it.at - begun.at) / 1e6, 3)
