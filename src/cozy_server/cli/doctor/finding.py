"""What a check found: a code with its values, to be said in either language (pure)."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from cozy_server.cli.doctor.words import WORDS
from cozy_server.codes import Language

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """``origin`` tells where the setting that matters is written (``cozy.yaml:12``); ``fix`` is for this case and takes the
    place of the code's own."""

    check: str
    level: Level
    code: str
    values: Mapping[str, object] = {}
    origin: str | None = None
    fix: str | None = None

    def cause(self, language: Language) -> str:
        return WORDS[self.code].of(language)[0].format(**self.values)

    def remedy(self, language: Language) -> str | None:
        """None when there is nothing to mend."""
        return self.fix or WORDS[self.code].of(language)[1].format(**self.values) or None


def ok(check: str, code: str, **values: object) -> Finding:
    return Finding(check, "ok", code, values)


def warn(
    check: str, code: str, origin: str | None = None, fix: str | None = None, **values: object
) -> Finding:
    return Finding(check, "warn", code, values, origin, fix)


def fail(
    check: str, code: str, origin: str | None = None, fix: str | None = None, **values: object
) -> Finding:
    return Finding(check, "fail", code, values, origin, fix)
