"""Which language a command speaks to its user."""

from collections.abc import Mapping

from cozy_server.codes import Language

_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""In the order in which POSIX looks at them; the first that says something holds."""


def language_of(wanted: Language | None, environ: Mapping[str, str]) -> Language:
    """``--lang``, else the locale of the environment: Chinese for ``zh_CN.UTF-8`` and its like, English for all others."""
    if wanted is not None:
        return wanted
    locale = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"
