"""What the chat path costs between a client and a provider, beside a floor that only hands bytes on.

Run: ``nox -s bench -- chat``; under five minutes. ``--check`` exits 1 when a target is missed, ``--rounds N`` changes how
many rounds the medians are of, ``--json FILE`` writes the figures there too.

A fake provider, the floor and our server twice (stateless calls; and sessions with history, facts and a profile), each one
process, over real sockets. Keys, limits that nobody reaches, persistence with ``synchronous=FULL``, and audit are on. What
is measured runs on one core, the provider and the load on another. The servers take turns in every round, forwards and then
backwards, so that whatever else the machine does falls on all of them alike, and what one does after its run not always on
the same other one.
"""

# ruff: noqa: T201 - a bench prints

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from tests.bench.chat.figures import CELLS, TURNS, Cell, Figure, Sample, Samples, figures, table
from tests.bench.chat.load import Load, Measured
from tests.bench.chat.processes import cores, cpu_ms, free_port, started

ROUNDS = 5
SESSIONS = 16
AUDIT_KEY = "5e" * 32
ACCOUNT = "bench"
SYSTEM = "You are a helpful assistant. " + "Be brief, kind and exact. " * 16
SETTINGS = """\
models:
  default: fake/bench
  allowed: [fake/bench]
  providers: {{fake: {{base_url: "http://127.0.0.1:{port}/v1", api_key: none}}}}
limits: {{owner_per_minute: 100000, address_per_minute: 100000}}
"""


class Server(msgspec.Struct, frozen=True):
    """``process`` is None for the provider, whose CPU nobody asks for."""

    name: str
    port: int
    process: int | None = None
    key: str = ""
    sessions: tuple[str, ...] = ()

    def bodies(self, cell: Cell) -> tuple[str, ...]:
        said = [
            {"role": "user", "content": f"Good morning! What about tea at the harbour today? {cell.wish()}"}
        ]
        options = {"stream": True, "stream_options": {"include_usage": True}} if cell.stream else {}
        if not self.sessions:
            body = {"model": "default", "messages": [{"role": "system", "content": SYSTEM}, *said], **options}
            return (json.dumps(body),)
        return tuple(
            json.dumps({"model": "default", "messages": said, "cozy": {"session_id": session}, **options})
            for session in self.sessions
        )


def run(server: Server, cell: Cell, load_core: int | None, *, requests: int | None = None) -> Sample:
    """One cell of one server. With ``requests`` exactly so many are asked."""
    load = Load(
        port=server.port,
        bodies=server.bodies(cell),
        at_once=cell.at_once,
        seconds=60.0 if requests else cell.seconds,
        key=server.key,
        requests=requests,
    )
    before = cpu_ms(server.process) if server.process else None
    measured = _loaded(load, load_core)
    after = cpu_ms(server.process) if server.process else None
    if measured.failed:
        raise RuntimeError(f"{server.name}: {measured.failed} answers failed, {measured.answers} did not")
    return Sample(measured, None if before is None or after is None else after - before)


def _loaded(load: Load, core: int | None) -> Measured:
    pinned = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.chat.load"],
        input=msgspec.json.encode(load),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=pinned,
    )
    return msgspec.json.decode(done.stdout, type=Measured)


@contextmanager
def servers(core: int | None, provider_core: int | None) -> Iterator[tuple[Server, ...]]:
    """Provider, floor, stateless and session, all answering; the sessions have their history."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        asgi = ("uvicorn", "--host", "127.0.0.1", "--log-level", "error", "--lifespan", "off", "--port")
        provider = free_port()
        stack.enter_context(
            started(
                *asgi,
                str(provider),
                "tests.bench.chat.upstream:app",
                port=provider,
                core=provider_core,
                folder=place,
            )
        )
        floor = _floor(stack, asgi, provider, core, place)
        stateless = _ours(stack, "stateless", provider, core, place)
        session = _ours(stack, "session", provider, core, place)
        _talk(session, provider_core)
        yield Server("direct", provider), floor, stateless, session


def _floor(stack: ExitStack, asgi: tuple[str, ...], provider: int, core: int | None, place: Path) -> Server:
    port = free_port()
    upstream = f"http://127.0.0.1:{provider}"
    process = stack.enter_context(
        started(
            *asgi,
            str(port),
            "tests.bench.chat.floor:app",
            port=port,
            core=core,
            folder=place,
            UPSTREAM=upstream,
        )
    )
    return Server("floor", port, process.pid)


def _ours(stack: ExitStack, name: str, provider: int, core: int | None, place: Path) -> Server:
    folder = place / name
    folder.mkdir()
    (folder / "cozy.yaml").write_text(SETTINGS.format(port=provider))
    port = free_port()
    command = {
        "stateless": ("cozy_server.cli", "serve", "--port", str(port)),
        "session": ("tests.bench.chat.session", ACCOUNT, str(port)),
    }
    key = _key(folder)
    process = stack.enter_context(
        started(*command[name], port=port, core=core, folder=folder, COZY_AUDIT__KEY=AUDIT_KEY)
    )
    sessions = tuple(str(UUID(int=number)) for number in range(1, SESSIONS + 1)) if name == "session" else ()
    return Server(name, port, process.pid, key, sessions)


def _key(folder: Path) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "cozy_server.cli", "keys", "create", ACCOUNT, "--account", ACCOUNT, "--json"],
        cwd=folder,
        env={**os.environ, "COZY_AUDIT__KEY": AUDIT_KEY},
        stdout=subprocess.PIPE,
        check=True,
    )
    key: str = json.loads(made.stdout)["key"]
    return key


def _talk(server: Server, load_core: int | None) -> None:
    """The history of every session."""
    run(server, CELLS["json"], load_core, requests=TURNS * SESSIONS)


def one_round(servers: tuple[Server, ...], load_core: int | None) -> dict[str, Samples]:
    found: dict[str, dict[str, Sample]] = {server.name: {} for server in servers}
    for name, cell in CELLS.items():
        for server in servers:
            if server.name != "direct" or cell.direct:
                found[server.name][name] = run(server, cell, load_core)
    return {name: Samples(of, found["direct"]) for name, of in found.items() if name != "direct"}


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def report(found: list[Figure], rounds: int) -> Mapping[str, object]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"machine": machine(), "load": load, "rounds": rounds, "figures": msgspec.to_builtins(found)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s bench -- chat")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    wanted = parser.parse_args()
    core, load_core = cores() or (None, None)
    with servers(core, load_core) as all_of_them:
        for server in all_of_them:
            run(
                server, CELLS["json"], load_core, requests=200
            )  # imports, statements and connections are made once
        order = all_of_them, all_of_them[::-1]
        rounds = [one_round(order[number % 2], load_core) for number in range(wanted.rounds)]
    found = figures(rounds)
    told = report(found, wanted.rounds)
    print(
        f"{told['machine']}; load {told['load']}; medians of {wanted.rounds} rounds; missed targets in bold\n"
    )
    print(table(found))
    print(f"\n{json.dumps(told)}")
    if wanted.json:
        wanted.json.write_text(json.dumps(told, indent=2) + "\n")
    return int(wanted.check and any(it.met is False or it.session_met is False for it in found))


if __name__ == "__main__":
    sys.exit(main())
