"""`cozy chat`: its options, and the terminal or the pipe that it talks through."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import msgspec
import typer

from cozy_domain.errors import ConfigError, CozyError
from cozy_domain.nearest import nearest
from cozy_server.cli.chat.background import Background, background
from cozy_server.cli.chat.conversation import Conversation, Left, Start, history_told, new_session
from cozy_server.cli.chat.said import Partner, Talk
from cozy_server.cli.chat.screen import JsonScreen, PlainScreen, Screen
from cozy_server.cli.chat.words import say
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED, INTERRUPTED
from cozy_server.codes import Language
from cozy_server.data_folder import folder, prepare
from cozy_server.settings.load import Loaded, secret_of

PROMPT = "> "
STDIN = "-"
LAST = "last"
TYPED_BEFORE = "chat.history"
"""In the data folder: the lines that were typed, for the arrow keys."""
MOST_TYPED = 1_000
SHOWN_BEFORE = 4
"""Messages of a continued session that are shown at its start."""


class ChatOptions(msgspec.Struct, frozen=True):
    """As typed. ``message``: what to say, once; ``-`` for all of standard input."""

    message: str | None
    persona: str | None
    session: str | None
    new: bool
    model: str | None
    user: str | None
    url: str | None
    key: str | None
    as_json: bool
    color: bool
    language: Language
    data: str | None
    config: str | None


def run(options: ChatOptions) -> None:
    """Exits 1 when there was no answer, and 130 when a script's answer was stopped.

    Raises:
        CozyError: it cannot begin.
    """
    check(options)
    loaded = settings_from(data=options.data, config=options.config, development=True)
    interactive = (
        options.message is None and not options.as_json and sys.stdin.isatty() and sys.stdout.isatty()
    )
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # half an emoji is no reason to die
    screen = _screen(options)
    with background(_talk(options, loaded, interactive=interactive)) as behind:
        conversation = Conversation(behind, screen, options.language, _start(options, behind))
        with conversation.hearing_signals():
            if interactive:
                _greet(options, behind, conversation, screen)
                with _lines(folder(loaded.settings), keep=options.url is None) as next_line:
                    conversation.talk(next_line)
                return
            code = _script(conversation, _messages(options))
    raise typer.Exit(code)


def check(options: ChatOptions) -> None:
    """
    Raises:
        ConfigError: options that contradict each other.
    """
    if options.new and options.session:
        raise ConfigError("--new and --session exclude each other")
    if options.key and not options.url:
        raise ConfigError("--key is for a server", hint="Name it with --url.")
    if options.session not in (None, LAST):
        try:
            UUID(options.session)
        except ValueError:
            raise ConfigError(
                f"'{options.session}' is not a UUID, nor the word 'last'", hint="/sessions lists yours."
            ) from None


def _talk(options: ChatOptions, loaded: Loaded, *, interactive: bool) -> AbstractAsyncContextManager[Talk]:
    """Imports only the side that is needed. Who has no header is told when a provider was found and is not used."""
    partner = Partner(options.user, options.language)
    if options.url is None:
        from cozy_server.cli.chat.local import local_talk

        # An answer of a model that was named is none of the default's.
        told = interactive or options.model is not None
        return local_talk(loaded, partner, _silent if told else _warn_json if options.as_json else _warn)
    from cozy_server.cli.chat.remote import remote_talk

    key = secret_of(options.key, loaded.variables) if options.key else None
    return remote_talk(options.url, key, partner)


def _silent(_: str) -> None:
    """Another place says it."""


def _warn(answers: str) -> None:
    typer.echo(answers, err=True)


def _warn_json(answers: str) -> None:
    typer.echo(json.dumps({"warning": {"answers": answers}}, ensure_ascii=False), err=True)


def _start(options: ChatOptions, behind: Background) -> Start:
    """
    Raises:
        ConfigError: the session to go on with does not exist, or nobody is called like the persona.
    """
    personas, _ = behind.ask(behind.talk.names())
    if options.persona and options.persona not in personas:
        close = nearest(options.persona, personas)
        known = f"There are: {', '.join(personas)}."
        raise ConfigError(
            f"there is no persona '{options.persona}'",
            hint=f"Did you mean {close}? {known}" if close else known,
        )
    if options.session is None:
        return Start(new_session(), options.persona, options.model)
    if options.session == LAST:
        found = next(iter(behind.ask(behind.talk.sessions(1))), None)
    else:
        found = behind.ask(behind.talk.session(UUID(options.session)))
    if found is None:
        raise ConfigError(f"there is no session '{options.session}'", hint="/sessions lists yours.")
    return Start(found.id, options.persona or found.persona, options.model)


def _screen(options: ChatOptions) -> Screen:
    if options.as_json:
        return JsonScreen(sys.stdout)
    terminal = sys.stdout.isatty()
    plain = not options.color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    # On a terminal notes stand between the words; in a pipe they must not be taken for them.
    notes = sys.stdout if terminal else sys.stderr
    styled = notes.isatty() and not plain
    return PlainScreen(sys.stdout, notes, options.language, terminal=terminal, styled=styled)


def _greet(options: ChatOptions, behind: Background, conversation: Conversation, screen: Screen) -> None:
    _, answers = behind.ask(behind.talk.names())
    told = {
        "persona": conversation.persona,
        "answers": options.model or answers,
        "session": conversation.session,
    }
    screen.note(say(options.language, "header", **told))
    screen.note(say(options.language, "how"))
    if options.session:
        for line in behind.ask(behind.talk.history(conversation.session))[-SHOWN_BEFORE:]:
            screen.note(history_told(line, options.language))


def _script(conversation: Conversation, messages: Iterator[str]) -> int:
    """The exit code."""
    try:
        return 0 if conversation.say_all(messages) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Left as left:
        return 128 + left.number


def _messages(options: ChatOptions) -> Iterator[str]:
    if options.message is None:
        for line in sys.stdin:
            yield line.rstrip("\n")
    else:
        yield sys.stdin.read() if options.message == STDIN else options.message


@contextmanager
def _lines(place: Path, *, keep: bool) -> Iterator[Callable[[], str]]:
    """How to ask for a line; with the keys of readline where there is one, and with the lines typed the last time when they
    are to be kept."""
    try:
        import readline
    except ImportError:  # Windows
        yield lambda: input(PROMPT)
        return
    file = place / TYPED_BEFORE
    readline.set_auto_history(True)
    if keep:
        with suppress(OSError):
            readline.read_history_file(file)
    try:
        yield lambda: input(PROMPT)
    finally:
        if keep:
            with suppress(OSError, CozyError):
                _keep_typed(file)


def _keep_typed(file: Path) -> None:
    import readline

    prepare(file.parent)
    readline.set_history_length(MOST_TYPED)
    # Before anything is in it, for its owner alone: readline would make it as the umask says.
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    readline.write_history_file(file)
