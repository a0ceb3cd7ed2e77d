"""`cozy replay`: a recorded call, gone through again."""

from pathlib import Path

import msgspec
import typer

from cozy_domain.errors import ConfigError, InputError
from cozy_domain.voice.policy import S, VoiceProfile
from cozy_domain.voice.replay import Beginning, Done, Replayed, Step, read, replay
from cozy_domain.voice.session import agent_state, user_state
from cozy_server.cli.telling import FAILED, as_json_text, counted
from cozy_server.codes import CODES


def run(file: Path, until_s: float | None, profile: Path | None, *, as_json: bool) -> None:
    """Exits 1 when, under the profile it was recorded with, something else would be done now.

    Raises:
        ConfigError: the recording or the profile is not there.
        InputError: it is something else.
    """
    begun, steps = _recording(file)
    other = _profile(profile) if profile else None
    until_ns = None if until_s is None else round(until_s * S)
    found = replay(begun, steps, profile=other, until_ns=until_ns)
    if as_json:
        typer.echo(as_json_text(_told(begun, found)))
    else:
        typer.echo("\n".join(_lines_of(begun, found, len(steps))))
    if found.differences and other is None:
        raise typer.Exit(FAILED)


def _recording(file: Path) -> tuple[Beginning, tuple[Step, ...]]:
    try:
        return read(_bytes(file).splitlines())
    except InputError as error:
        hint = CODES["invalid_recording"].en.hint
        raise InputError(error.message, code=error.code, param=error.param, hint=hint) from None


def _profile(file: Path) -> VoiceProfile:
    try:
        return msgspec.json.decode(_bytes(file), type=VoiceProfile)
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{file} is no profile: {error}",
            code="invalid_recording",
            hint="Give the object `profile` of a recording's first line, with your numbers in it.",
        ) from None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


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
                "at_ms": _ms(begun, it.at),
                "event": it.event,
                "recorded": [_fields(begun, done) for done in it.before],
                "now": [_fields(begun, done) for done in it.now],
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
        lines.append(f"{_seconds(begun, it.at):>12}  {it.number}  {it.event}")
        both = sorted([*((done, "-") for done in it.before), *((done, "+") for done in it.now)], key=_time)
        lines.extend(
            f"{'':>14}{sign} at {_seconds(begun, done.at)} {_short(done.action)}" for done, sign in both
        )
    if found.differences and found.unanswered:
        lines.append(f"{counted(found.unanswered, 'recorded event')} answered what was not asked now.")
    lines.append(
        f"{counted(len(found.differences), 'difference')}." if found.differences else "No difference."
    )
    return lines


def _short(action: msgspec.Struct) -> str:
    tag = action.__struct_config__.tag
    fields = msgspec.to_builtins(action)
    return " ".join((str(tag), *(f"{name}={fields[name]!r}" for name in action.__struct_fields__)))


def _fields(begun: Beginning, done: Done) -> dict[str, object]:
    return {"at_ms": _ms(begun, done.at), **msgspec.to_builtins(done.action)}


def _time(it: tuple[Done, str]) -> int:
    return it[0].at


def _seconds(begun: Beginning, at: int) -> str:
    return f"{(at - begun.at) / S:.3f} s"


def _ms(begun: Beginning, at: int) -> float:
    return round((at - begun.at) / 1e6, 3)
