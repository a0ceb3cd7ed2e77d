"""Checks of who speaks and who listens."""

from collections.abc import Callable, Iterator

from cozy_domain.errors import ConfigError
from cozy_server.cli.doctor.finding import Finding, Level, fail, ok, warn
from cozy_server.container.container import Container
from cozy_server.container.installed import is_installed
from cozy_server.settings.load import Loaded

OFFLINE = {
    "espeak": (("espeakng_loader", "av"), "pip install 'cozy-engine[espeak]'"),
    "pocketsphinx": (("pocketsphinx", "av"), "pip install 'cozy-engine[speech]'"),
}
"""Engines that are left out where their packages are missing, and how to get them."""
DEMO = "pocketsphinx"


def engines(loaded: Loaded, container: Container) -> Iterator[Finding]:
    """No model is loaded and nobody is asked: a folder is looked at from outside."""
    try:
        container.models()
    except ConfigError:
        return  # told as a finding about providers
    yield from _engines("tts", "voices", loaded, lambda: [it.name for it in container.voices().engines])
    yield from _engines(
        "stt", "recognisers", loaded, lambda: [it.name for it in container.recognisers().engines]
    )


def _engines(key: str, kind: str, loaded: Loaded, names: Callable[[], list[str]]) -> Iterator[Finding]:
    origin = loaded.origin(("speech", key))
    try:
        found = names()
    except ConfigError as error:
        yield fail("speech", "speech_wrong", origin, error.hint, told=error.message)
        return
    wanted = getattr(loaded.settings.speech, key)
    lost = [name for name in wanted if name in OFFLINE and name not in found]
    for name in lost:
        yield _lost(f"speech.{key}", name, origin)
    if found == [DEMO]:
        yield ok("speech", "recognisers_demo", names=DEMO)
    elif found:
        yield ok("speech", f"{kind}_ok", names=", ".join(found))
    elif not lost:
        yield warn("speech", f"{kind}_none", origin)


def _lost(setting: str, name: str, origin: str) -> Finding:
    """What nobody asked for is no fault where it is missing."""
    packages, fix = OFFLINE[name]
    missing = ", ".join(it for it in packages if not is_installed(it))
    level: Level = "ok" if origin == "default" else "warn"
    values = {"setting": setting, "name": name, "missing": missing}
    return Finding("speech", level, "engine_lost", values, origin, fix)
