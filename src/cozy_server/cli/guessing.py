"""What somebody meant who typed a command that does not exist."""

from collections.abc import Mapping

import typer
from typer.core import TyperGroup

from cozy_domain.nearest import nearest

MEANT: Mapping[str, str] = {
    **dict.fromkeys(("run", "start"), "dev"),
    **dict.fromkeys(("tts", "speak", "speech"), "say"),
    **dict.fromkeys(("stt", "listen", "hear"), "transcribe"),
    **dict.fromkeys(("ask", "talk", "repl"), "chat"),
    **dict.fromkeys(("check", "health", "status", "diagnose"), "doctor"),
    **dict.fromkeys(("phone", "voice"), "call"),
    **dict.fromkeys(("settings", "env"), "config"),
    **dict.fromkeys(("character", "characters", "card", "cards"), "persona"),
    **dict.fromkeys(("database", "store"), "db"),
    **dict.fromkeys(("token", "tokens", "apikey"), "keys"),
    **dict.fromkeys(("log", "logs", "events"), "tail"),
    **dict.fromkeys(("migrate", "migration"), "upgrade"),
    **dict.fromkeys(("version", "current-version"), "--version"),
    **dict.fromkeys(("ls", "all"), "list"),
    **dict.fromkeys(("new", "add", "make"), "create"),
    **dict.fromkeys(("delete", "remove", "rm"), "revoke"),
    **dict.fromkeys(("lint", "verify"), "validate"),
    "help": "--help",
}
"""Words of other programs for commands of ours; each counts where its command is."""


class Guessing(TyperGroup):
    """Commands, and a guess at what was meant."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]  # as Typer calls it
        self.suggest_commands = False  # Typer's own, which finds `persona` for `version`

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]  # its types are Typer's private ones
        try:
            return super().resolve_command(ctx, args)
        except _SLIP as slip:
            if guess := self.guess(args[0]):
                slip.message = f"{slip.message.rstrip('.')}. Did you mean '{guess}'?"  # type: ignore[attr-defined]
            raise

    def guess(self, word: str) -> str | None:
        """A command of this group, or an option that does the same."""
        options = {name for it in self.params for name in it.opts} | {"--help"}
        meant = MEANT.get(word.casefold())
        return meant if meant in {*self.commands, *options} else nearest(word, self.commands)


_SLIP: type[Exception] = typer.BadParameter.__base__  # type: ignore[assignment]  # Typer exports only this one of them
