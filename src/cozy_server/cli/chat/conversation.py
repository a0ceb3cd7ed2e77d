"""Reading what the user says, showing what is answered, and stopping when asked to.

Ctrl-C means two things: while an answer is on its way it stops the answer, at the prompt it only says how to leave. SIGTERM
and the end of the terminal stop the answer, which is stored, and then leave.
"""

import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import assert_never
from uuid import UUID

import msgspec

from cozy_domain.errors import CozyError
from cozy_domain.routing.choice import DEFAULT_PERSONA
from cozy_server.cli.chat.background import Background
from cozy_server.cli.chat.said import Asked, HistoryLine, SessionLine
from cozy_server.cli.chat.screen import Screen, failed
from cozy_server.cli.chat.typed import Nothing, Order, Say, Slip, read
from cozy_server.cli.chat.words import say
from cozy_server.cli.telling import when
from cozy_server.codes import Language

LISTED = 20
"""Sessions that /sessions shows."""
MOST_DIGITS = 9
"""Of a number that somebody types; Python refuses to read one of more than 4,300."""
_LEAVING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP


class Left(Exception):  # noqa: N818 - not an error: the way out of waiting for a line
    """A signal asks to leave."""

    def __init__(self, number: int) -> None:
        self.number = number


class Start(msgspec.Struct, frozen=True):
    """How a conversation begins."""

    session: UUID
    persona: str | None = None
    model: str | None = None


class Conversation:
    """One user and whoever answers."""

    def __init__(self, background: Background, screen: Screen, language: Language, start: Start) -> None:
        self._background = background
        self._screen = screen
        self._language = language
        self._at = start
        self._last: str | None = None
        self._answering = False
        self._left: int | None = None
        self._stopped = False

    @property
    def session(self) -> UUID:
        return self._at.session

    @property
    def persona(self) -> str:
        return self._at.persona or DEFAULT_PERSONA

    @contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Inside, signals mean what the module says; after it, what they meant before."""
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, *_LEAVING)}
        try:
            yield
        finally:
            for number, meaning in before.items():
                signal.signal(number, meaning)

    def talk(self, next_line: Callable[[], str]) -> None:
        """Until the user leaves; ``next_line`` raises ``EOFError`` then, and may raise ``KeyboardInterrupt``."""
        while self._left is None:
            try:
                if not self._do(next_line()):
                    return
            except KeyboardInterrupt:
                self._note("leave_hint")
            except (EOFError, Left):
                return

    def say_all(self, messages: Iterator[str]) -> bool:
        """One after the other, until one fails; whether all were answered.

        Raises:
            KeyboardInterrupt: one was stopped with Ctrl-C, or there was none under way.
            Left: a signal asked to leave.
        """
        for message in messages:
            if message.strip() and not self._answer(message):
                return False
            if self._left is not None:
                raise Left(self._left)
            if self._stopped:
                raise KeyboardInterrupt
        return True

    def _do(self, line: str) -> bool:
        """Whether the conversation goes on."""
        match read(line):
            case Nothing():
                pass
            case Say(text):
                self._answer(text)
            case Slip(name, near):
                guess = say(self._language, "near", near=near) if near else ""
                self._note("unknown", typed=name, near=guess)
            case Order(name="quit"):
                return False
            case Order() as order:
                self._obey(order)
            case other:
                assert_never(other)
        return True

    def _answer(self, text: str) -> bool:
        """Whether there was one; a stopped one counts."""
        self._last = text
        self._stopped = False
        self._answering = True
        asked = Asked(text, self._at.session, self._at.persona, self._at.model)
        try:
            for said in self._background.answer(asked):
                self._screen.show(said)
        except CozyError as error:
            self._screen.fail(failed(error))
            return False
        finally:
            self._answering = False
        return True

    def _heard(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGINT:
            self._left = number
        if self._answering:
            self._stopped = True
            self._background.stop()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise Left(number)

    def _obey(self, order: Order) -> None:
        try:
            match order.name:
                case "help":
                    self._note("help")
                case "new":
                    self._at = msgspec.structs.replace(self._at, session=new_session())
                    self._note("new", session=self._at.session)
                case "sessions":
                    self._sessions()
                case "history":
                    self._history(order.argument)
                case "persona":
                    self._persona(order.argument)
                case "retry":
                    self._retry()
                case "quit":
                    pass
                case other:
                    assert_never(other)
        except CozyError as error:
            self._screen.fail(failed(error))

    def _sessions(self) -> None:
        found = self._background.ask(self._background.talk.sessions(LISTED))
        for session in found:
            self._screen.note(session_told(session, here=session.id == self._at.session))
        if not found:
            self._note("no_sessions")

    def _history(self, argument: str) -> None:
        if argument and not (argument.isdecimal() and len(argument) <= MOST_DIGITS and int(argument)):
            self._note("bad_number")
            return
        found = self._background.ask(self._background.talk.history(self._at.session))
        for line in found[-int(argument) :] if argument else found:
            self._screen.note(history_told(line, self._language))
        if not found:
            self._note("no_history")

    def _persona(self, name: str) -> None:
        personas, _ = self._background.ask(self._background.talk.names())
        listed = ", ".join(personas)
        if not name:
            self._note("personas", personas=listed)
        elif name not in personas:
            self._note("no_persona", typed=name, personas=listed)
        else:
            self._at = msgspec.structs.replace(self._at, persona=name)
            self._note("persona", persona=name)

    def _retry(self) -> None:
        if self._last is None:
            self._note("no_retry")
        else:
            self._answer(self._last)

    def _note(self, name: str, **values: object) -> None:
        self._screen.note(say(self._language, name, **values))


def new_session() -> UUID:
    """Made here, so that a conversation knows its session before the first turn."""
    return UUID(bytes=secrets.token_bytes(16), version=4)


def session_told(session: SessionLine, *, here: bool) -> str:
    mark = "*" if here else " "
    return f"{mark} {session.id}  {when(session.last_turn_at)}  {session.persona}  {session.title or ''}"


def history_told(line: HistoryLine, language: Language) -> str:
    sign = {"user": "> ", "tool": "[", "assistant": "  "}[line.role]
    after = "]" if line.role == "tool" else ""
    cut = f" {say(language, 'stopped')}" if line.interrupted else ""
    return f"{sign}{line.text}{after}{cut}"
