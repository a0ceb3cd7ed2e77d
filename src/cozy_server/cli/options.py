"""Options that many commands have."""

from typing import Annotated, Literal

import typer

Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Settings; default ./cozy.yaml.")
]
Data = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Data folder; default COZY_DATA, else ./.cozy.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; errors too, on standard error.")]
Lang = Annotated[
    Literal["en", "zh"] | None, typer.Option("--lang", help="Language of messages; default: the locale's.")
]
