"""How a conversation looks: to people, plainly or with dim notes; to scripts, one JSON object a line.

What a model or a tool wrote is made harmless for a terminal. Notes always are: they are for eyes, and may come to a terminal
where the words go to a file.
"""

from typing import Protocol, TextIO

import msgspec

from cozy_domain.errors import CozyError
from cozy_server.cli.chat.said import Began, Ended, Failed, Refused, Said, Thought, ToolUsed, Words
from cozy_server.cli.chat.words import say
from cozy_server.cli.visible import visible
from cozy_server.codes import Language

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
MOST_ARGUMENTS = 60
"""Characters of a tool call's arguments that are shown."""


class Screen(Protocol):
    def show(self, said: Said) -> None: ...

    def fail(self, failed: Failed) -> None: ...

    def note(self, text: str) -> None:
        """Something of ours, not of the conversation."""
        ...


class PlainScreen:
    """Words on ``out``, notes on ``notes``. ``terminal``: somebody looks at it; ``styled``: it understands dim."""

    def __init__(
        self, out: TextIO, notes: TextIO, language: Language, *, terminal: bool, styled: bool
    ) -> None:
        self._out = out
        self._notes = notes
        self._language = language
        self._terminal = terminal
        self._styled = styled
        self._at_start = True
        self._thinking = False

    def show(self, said: Said) -> None:
        if not isinstance(said, Thought):
            self._end_thinking()
        match said:
            case Began():
                pass
            case Words() | Refused():
                self._write(said.text)
            case Thought():
                self._think(said.text)
            case ToolUsed():
                self._tool(said)
            case Ended():
                self._end(said)

    def fail(self, failed: Failed) -> None:
        self._end_thinking()
        self._end_line()
        self._notes.write(f"error: {visible(failed.message)}\n")
        if failed.hint:
            self._notes.write(f"  → {visible(failed.hint)}\n")
        self._notes.flush()

    def note(self, text: str) -> None:
        self._end_line()
        self._notes.write(self._dim(visible(text)) + "\n")
        self._notes.flush()

    def _write(self, text: str) -> None:
        if text:
            self._at_start = text.endswith("\n")
            self._out.write(self._clean(text))
            self._out.flush()

    def _think(self, text: str) -> None:
        """Only for somebody who looks: a script wants the answer."""
        if self._terminal and text:
            if self._styled and not self._thinking:
                self._out.write(DIM)
            self._thinking = True
            self._write(text)

    def _end_thinking(self) -> None:
        if self._thinking:
            self._thinking = False
            self._out.write(PLAIN if self._styled else "")
            self._end_line()

    def _tool(self, used: ToolUsed) -> None:
        parts = [used.name, _short(used.arguments), used.outcome or ""]
        if used.duration_ms is not None:
            parts.append(f"{used.duration_ms} ms")
        self.note(f"[{' '.join(part for part in parts if part)}]")

    def _end(self, ended: Ended) -> None:
        if ended.state == "interrupted":
            self.note(say(self._language, "stopped"))
        elif ended.finish not in (None, "stop"):
            self.note(say(self._language, "cut", reason=ended.finish))
        for skipped in ended.degraded:
            self.note(
                say(
                    self._language,
                    "skipped",
                    engine=skipped.engine,
                    reason=skipped.reason,
                    after_ms=skipped.after_ms,
                )
            )
        self._end_line()

    def _end_line(self) -> None:
        if not self._at_start:
            self._out.write("\n")
            self._out.flush()
            self._at_start = True

    def _dim(self, text: str) -> str:
        return f"{DIM}{text}{PLAIN}" if self._styled else text

    def _clean(self, text: str) -> str:
        return visible(text) if self._terminal else text


class JsonScreen:
    """One object a line, told apart by ``type``. What is meant for eyes alone is left out."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, said: Said) -> None:
        self._line(said)

    def fail(self, failed: Failed) -> None:
        self._line(failed)

    def note(self, text: str) -> None:
        """Nothing: a script reads no notes."""

    def _line(self, value: object) -> None:
        self._out.write(msgspec.json.encode(value).decode() + "\n")
        self._out.flush()


def failed(error: CozyError) -> Failed:
    return Failed(error.code, str(error), error.hint)


def _short(arguments: str) -> str:
    line = " ".join(arguments.split())
    return line if len(line) <= MOST_ARGUMENTS else f"{line[: MOST_ARGUMENTS - 1]}…"
