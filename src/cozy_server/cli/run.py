"""`cozy dev` and `cozy serve`: the server in the foreground."""

import asyncio
import ipaddress
import json
import logging
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import typer
import uvloop

from cozy_domain.errors import ConfigError
from cozy_server.app import create_app, warm_speech
from cozy_server.cli.composition import MODEL, container_of
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import counted
from cozy_server.container.container import Container
from cozy_server.container.voice import Simulation
from cozy_server.data_folder import postgres_url, prepare
from cozy_server.serving import Stop, listen, serve, tune_interpreter
from cozy_server.settings.load import Loaded
from cozy_server.settings.sources import unknown
from cozy_server.settings.tree import Settings
from cozy_server.telemetry import configure_logs

PORT = ("server", "port")
HOST = ("server", "host")
OFFLINE_SPEECH = {"espeak": "offline", "pocketsphinx": "offline, English, demo quality"}
"""What is to be expected of those that need no key."""
STDERR = 2
SIMULATED = "simulated/simulated"
ENGINES = 3
SLOWEST_MS = 60_000
_log = logging.getLogger(__name__)


def dev(
    port: int | None, data: str | None, config: str | None, *, simulate: str | None = None, as_json: bool
) -> None:
    """Serves on loopback, whoever asks, on what is found; or, to measure a load, on engines that only take the time that
    ``simulate`` says.

    Raises:
        CozyError: it cannot start.
    """
    simulation = simulated(simulate) if simulate is not None else None
    model = SIMULATED if simulation else None
    more = {"--port": (PORT, port), "--simulate": (MODEL, model)}
    loaded = settings_from(data=data, config=config, more=more, development=True)
    server = loaded.settings.server
    if not is_loopback(server.host):
        raise ConfigError(
            f"`cozy dev` asks nobody for a key, so it listens on loopback only, and not on {server.host}"
            f" ({loaded.origin(HOST)})",
            hint="Use `cozy serve`, or take server.host out.",
        )
    prepare(Path(loaded.settings.data.folder))
    container = container_of(loaded, development=True)
    container.simulation.override(simulation)
    _run(container, loaded, as_json=as_json, next_port=loaded.origin(PORT) == "default")


def simulated(times: str) -> Simulation:
    """``STT/LLM/TTS`` in milliseconds.

    Raises:
        ConfigError: it is something else.
    """
    parts = times.split("/")
    if len(parts) != ENGINES or not all(
        it.isascii() and it.isdigit() and int(it) <= SLOWEST_MS for it in parts
    ):
        raise ConfigError(
            f"--simulate takes three numbers of milliseconds up to {SLOWEST_MS}, to the transcript, the first word and the "
            f"first sound, and not '{times[:40]}'",
            hint="For example --simulate 150/250/150, or 0/0/0.",
        )
    transcript, word, sound = (int(it) / 1000 for it in parts)
    return Simulation(transcript, word, sound)


def serve_all(
    host: str | None, port: int | None, data: str | None, config: str | None, *, as_json: bool
) -> None:
    """Serves to those who have a key.

    Raises:
        CozyError: it cannot start.
    """
    more = {"--host": (HOST, host), "--port": (PORT, port)}
    loaded = settings_from(data=data, config=config, more=more)
    asyncio.run(_refuse_open_doors(loaded))
    _run(container_of(loaded), loaded, as_json=as_json)


async def _refuse_open_doors(loaded: Loaded) -> None:
    """
    Raises:
        ConfigError: the address is public and nobody has a key.
    """
    container = container_of(loaded)
    prepare(Path(loaded.settings.data.folder))
    await container.database().aopen()
    try:
        keys = await container.key_store().list()
    finally:
        await container.database().aclose()
    alive = [key for key in keys if key.revoked_at is None]
    host = loaded.settings.server.host
    if not alive and not is_loopback(host):
        raise ConfigError(
            f"nobody has an API key, and {host} can be reached from other machines",
            hint="Make a key first: `cozy keys create NAME`. Or listen on this machine only: --host 127.0.0.1.",
        )


def _run(container: Container, loaded: Loaded, *, as_json: bool, next_port: bool = False) -> None:
    settings = loaded.settings
    keep_from_children()
    configure_logs(settings.telemetry.log_level)
    for wrong in unknown(loaded.variables):
        _log.warning("variable_unknown", extra={"told": str(wrong)})
    listening = listen(settings.server.host, settings.server.port, or_next=next_port)
    address = listening.getsockname()

    def ready(_: Stop) -> None:
        tune_interpreter()
        url = _url(address[0], address[1])
        typer.echo(start_line(container, url) if as_json else banner(container, url, loaded))
        sys.stdout.flush()

    def drain() -> None:
        container.vitals().draining = True

    async def served() -> None:
        # From the very start: what is warm when requests are taken costs the first call nothing.
        warming = asyncio.create_task(warm_speech(container), name="warm speech")
        try:
            await serve(create_app(container), [listening], settings.server, on_ready=ready, on_drain=drain)
        finally:
            warming.cancel()
            # What is wrong with the settings is told by the server.
            await asyncio.gather(warming, return_exceptions=True)

    uvloop.run(served())


def keep_from_children() -> None:
    """Takes what a shell or a supervisor left open from the processes that we start: uvloop, unlike asyncio, hands each of
    them every descriptor that can be inherited (``UVProcess`` takes ``close_fds`` and ignores it)."""
    places = (Path("/proc/self/fd"), Path("/dev/fd"))
    for entry in next((place.iterdir() for place in places if place.is_dir()), ()):
        descriptor = int(entry.name)
        if descriptor > STDERR:
            with suppress(OSError):  # the one that this listing was read with
                os.set_inheritable(descriptor, False)


def banner(container: Container, url: str, loaded: Loaded) -> str:
    """What somebody who started it wants to know: where it listens, who answers and why, and what is off."""
    default = container.configuration().default
    development = container.development()
    settings = loaded.settings
    lines = [
        ("listening", f"{url}/v1{_moved(url, loaded)}"),
        ("model", f"{default.model}: {default.reason}"),
        ("personas", ", ".join(container.catalog().current.ids())),
        ("data", _data(settings)),
        ("speech", _speech(container)),
        (
            "keys",
            "not asked for on this machine" if development else "asked for by every route but the probes",
        ),
        ("limits", _limits(container)),
        ("off", "; ".join(_off(container))),
    ]
    if development:
        lines.insert(1, ("docs", f"{url}/docs"))
        if _takes_calls(container):
            lines.insert(2, ("voice", f"{url}/voice"))
    told = "\n".join(f"  {name:<10} {text}" for name, text in lines)
    return f"CozyEngine {version('cozy-engine')}{' for development' if development else ''}\n{told}\n  Ctrl+C stops it."


def start_line(container: Container, url: str) -> str:
    """The same for a script, on one line: it comes when requests are taken."""
    default = container.configuration().default
    told = {
        "listening": f"{url}/v1",
        "model": str(default.model),
        "reason": default.reason,
        "personas": list(container.catalog().current.ids()),
        "development": container.development(),
        "data": _data(container.settings()),
        "voices": [it.name for it in container.voices().engines],
        "recognisers": [it.name for it in container.recognisers().engines],
        "off": list(_off(container)),
    }
    return json.dumps(told, ensure_ascii=False)


def _data(settings: Settings) -> str:
    folder = str(Path(settings.data.folder).resolve())
    return f"Postgres; keys in {folder}" if postgres_url(settings) else folder


def _speech(container: Container) -> str:
    voices = [_known(it.name) for it in container.voices().engines]
    recognisers = [_known(it.name) for it in container.recognisers().engines]
    return f"speaks: {', '.join(voices) or 'nobody'}; listens: {', '.join(recognisers) or 'nobody'}"


def _known(engine: str) -> str:
    return f"{engine} ({OFFLINE_SPEECH[engine]})" if engine in OFFLINE_SPEECH else engine


def _limits(container: Container) -> str:
    rates = container.rates()
    told = [
        f"{counted(limit.requests, 'request')} a minute for {whom}"
        for whom, limit in (
            ("an owner", rates.owner),
            ("an address", rates.address),
            ("an account that serves many", rates.serving_account),
        )
        if limit
    ]
    if not told:
        return "none on requests (limits.owner_per_minute and limits.address_per_minute set them)"
    return f"{', '.join(told)}; {_sharing(container)}"


def _sharing(container: Container) -> str:
    """Who counts for whom, which a second process changes."""
    shared = container.shared_limits()
    if shared is None:
        return "this process counts by itself (redis.url lets several count together)"
    if shared.answers:
        return "shared through Redis"
    return "Redis does not answer, so until it does this process counts by itself"


def _takes_calls(container: Container) -> bool:
    """Whether what the page and `cozy call` need is installed."""
    return container.calling() is not None and container.peer_connections() is not None


def _off(container: Container) -> tuple[str, ...]:
    """What a reader of the documentation may expect and does not get in this version, or of what is installed."""
    version_lacks = "memory, knowledge and profile that outlive the process, and learning from conversations"
    if _takes_calls(container):
        return (version_lacks,)
    return (version_lacks, "calls over WebRTC (the extra `voice` is not installed)")


def _moved(url: str, loaded: Loaded) -> str:
    wanted = loaded.settings.server.port
    return "" if not wanted or url.endswith(f":{wanted}") else f"  (port {wanted} is taken)"


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
