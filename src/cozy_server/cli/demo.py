"""`cozy demo`: the main job of the product, done once over HTTP with a stock client, and checked.

The server runs in this process on a free port with a data folder that is deleted afterwards. Three turns of one session: a
streamed answer, one that needs a tool, and one that needs what was said before; and a fourth in a call, where speech is
installed. Then the audit log is checked.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import typer
from msgspec.structs import replace
from openai import APIError, AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from cozy_domain.audit.chain import Verification
from cozy_domain.audit.check import check
from cozy_domain.audit.events import AuditRecord, ToolCalled
from cozy_domain.errors import CozyError
from cozy_domain.routing.default import OFFLINE
from cozy_server.app import create_app, warm_speech
from cozy_server.cli import spoken
from cozy_server.cli.audit import told
from cozy_server.cli.composition import container_of, store_to_read
from cozy_server.cli.given import settings_from
from cozy_server.cli.telling import FAILED, as_json_text
from cozy_server.container.container import Container
from cozy_server.container.voice import placed_calls
from cozy_server.serving import Stop, listen, serve
from cozy_server.settings.load import Loaded, load
from cozy_server.telemetry import configure_logs

READY_S = 30.0
MODEL = ("models", "default")
NAME = "Robin"
PRODUCT = "391"
NAMING_A_MODEL = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "COZY_MODEL")
"""Variables of somebody who may expect their own model to answer."""

Work = Callable[[str, Container], Awaitable[list["Failure"]]]
"""What is done with a server: its base URL, and what it is made of."""


class Timings(msgspec.Struct, frozen=True):
    context_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0


class Told(msgspec.Struct, frozen=True):
    """What the ``cozy`` objects of a stream tell."""

    session_id: str | None = None
    turn_id: str | None = None
    persona: str | None = None
    model: str | None = None
    timings: Timings | None = None


class Step(msgspec.Struct, frozen=True):
    """One turn: what the user says, and what the answer must hold for the step to have worked."""

    name: str
    says: str
    must_hold: str = ""


class Failure(msgspec.Struct, frozen=True):
    step: str
    reason: str


STEPS = (
    Step("a streamed answer", f"Hello! My name is {NAME}. Who are you?"),
    Step("an answer that needs the calculator", "What is 17 * 23?", PRODUCT),
    Step("an answer that needs the turns before", "What is my name?", NAME),
)
SPOKEN = Step("a spoken turn", spoken.GRAMMAR[0], NAME)


class Stage:
    """Where the demonstration is shown: to people as it goes, or to a script as one object at its end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.model = ""
        self.steps: list[dict[str, object]] = []

    def say(self, text: str = "", *, nl: bool = True) -> None:
        if not self._as_json:
            typer.echo(text, nl=nl)

    def end(self, failures: list[Failure]) -> None:
        """
        Raises:
            typer.Exit: a step failed.
        """
        if self._as_json:
            told = [{"step": it.step, "reason": it.reason} for it in failures]
            whole = {"ok": not failures, "model": self.model, "steps": self.steps, "failures": told}
            typer.echo(as_json_text(whole))
        else:
            for failure in failures:
                typer.secho(f"FAILED: {failure.step}: {failure.reason}", fg="red", err=True)
        if failures:
            raise typer.Exit(FAILED)
        self.say("All of it works.")


def run(model: str | None, *, as_json: bool) -> None:
    """Exits 1 when a step failed, with its name.

    Raises:
        CozyError: the server cannot start.
    """
    stage = Stage(as_json=as_json)
    if model is None and (note := offline_note(os.environ)):
        stage.say(note)
    with tempfile.TemporaryDirectory(prefix="cozy-demo-") as folder:
        failures = asyncio.run(_demonstrate(_settings(model, folder), stage))
    stage.end(failures)


def offline_note(environ: Mapping[str, str]) -> str | None:
    """For somebody who has a model and did not name it here."""
    found = [name for name in NAMING_A_MODEL if environ.get(name) not in (None, "", OFFLINE.provider)]
    if not found:
        return None
    are = "is" if len(found) == 1 else "are"
    return (
        f"{' and '.join(found)} {are} set, but the demo answers offline unless a model is named:"
        " cozy demo --model PROVIDER/ID"
    )


def _settings(model: str | None, folder: str) -> Loaded:
    """With a model of the user's also their settings, which know its provider; else the defaults alone."""
    if model is None:
        flags = {"--data": (("data", "folder"), folder), "--model": (MODEL, OFFLINE.provider)}
        loaded = load(flags=flags, environ={}, folder=Path(folder))
    else:
        loaded = settings_from(data=folder, more={"--model": (MODEL, model)}, development=True)
    voice = replace(loaded.settings.voice, phrases=spoken.GRAMMAR)
    return replace(loaded, settings=replace(loaded.settings, voice=voice))


async def _demonstrate(loaded: Loaded, stage: Stage) -> list[Failure]:
    configure_logs("warning")
    failures = await _with_server(loaded, lambda url, container: _converse(url, container, stage), stage)
    stage.say("\nAudit log")
    async with store_to_read(loaded) as container:
        records, _ = await container.audit().read()
        found = await check(container.audit(), container.audit_anchor(), container.audit_key())
    stage.say("\n".join(f"  {line}" for line in told(found)))
    return [*failures, *_audit_failures(records, found)]


async def _with_server(loaded: Loaded, work: Work, stage: Stage) -> list[Failure]:
    """What ``work`` gives for a server that runs that long."""
    container = container_of(loaded, development=True)
    listening = listen("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    ready: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve(create_app(container), [listening], loaded.settings.server, on_ready=ready.set_result)
    )
    await asyncio.wait((server, ready), timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await server  # raises what kept it from starting
    stop = ready.result()
    stage.model = str(container.configuration().default.model)
    stage.say(f"{base_url} · {stage.model}")
    warming = asyncio.create_task(warm_speech(container))
    try:
        return await work(base_url, container)
    finally:
        await warming
        stop()
        await server


async def _converse(base_url: str, container: Container, stage: Stage) -> list[Failure]:
    failures: list[Failure] = []
    session = str(container.ids().new())
    async with AsyncOpenAI(base_url=base_url, api_key="demo", max_retries=0) as client:
        for step in STEPS:
            stage.say(f"\nyou   {step.says}")
            failures += await _step(client, container, step, session, stage)
        failures += await _spoken(client, container, session, stage)
    return failures


async def _step(
    client: AsyncOpenAI, container: Container, step: Step, session: str, stage: Stage
) -> list[Failure]:
    try:
        said, turn = await _turn(client, step, session, stage)
    except APIError as error:
        return [Failure(step.name, str(error))]
    calls = await _calls(container, turn.turn_id)
    for call in calls:
        stage.say(f"      [{call.tool}: {call.outcome}]")
    stage.say(f"      [{_timed(turn)}]")
    tools = [{"name": call.tool, "outcome": call.outcome} for call in calls]
    stage.steps.append({"step": step.name, "says": step.says, "said": said, "tools": tools})
    if not said.strip() or step.must_hold not in said:
        return [Failure(step.name, f"the answer does not hold '{step.must_hold}'")]
    return []


async def _spoken(client: AsyncOpenAI, container: Container, session: str, stage: Stage) -> list[Failure]:
    """The question as sound, in a call that goes on with the same session."""
    calls = placed_calls()
    if not (calls and container.calling() and container.voices().engines and container.recognisers().engines):
        stage.say(
            "\nNo spoken turn: what calls, speaks or listens is not installed. Type: pip install 'cozy-engine[all]'"
        )
        return []
    try:
        question = await spoken.aloud(client, SPOKEN.says)
        stage.say(f"\nyou   {SPOKEN.says} (spoken, in a call: {spoken.seconds(question):.1f} s of sound)")
        heard = await spoken.call(calls, str(client.base_url), session, question)
    except (APIError, CozyError) as error:
        return [Failure(SPOKEN.name, str(error))]
    stage.say(f"      [understood: {heard.question}]")
    stage.say(f"      [its recogniser was given a grammar: {' '.join(spoken.GRAMMAR)}]")
    stage.say(f"cozy  {heard.answer}")
    parts = " + ".join(f"{it.name} {it.ms:.0f}" for it in heard.stages)
    stage.say(
        f"      [spoken: {heard.seconds:.1f} s of sound, {heard.late_ms:.0f} ms after the last word: {parts}]"
    )
    stage.steps.append({"step": SPOKEN.name, "says": heard.question, "said": heard.answer, "tools": []})
    stage.steps[-1] |= {"grammar": list(spoken.GRAMMAR), "answer_s": round(heard.seconds, 3)}
    stage.steps[-1] |= {"heard_after_ms": heard.late_ms}
    if SPOKEN.must_hold not in heard.answer:
        return [Failure(SPOKEN.name, f"the answer does not hold '{SPOKEN.must_hold}'")]
    return [] if heard.sound else [Failure(SPOKEN.name, "the answer has no sound")]


async def _calls(container: Container, turn: str | None) -> list[ToolCalled]:
    """The calls of a turn, oldest first; they are audited before its stream ends."""
    records, _ = await container.audit().read()
    return [it.event for it in records if str(it.turn) == turn and isinstance(it.event, ToolCalled)]


async def _turn(client: AsyncOpenAI, step: Step, session: str, stage: Stage) -> tuple[str, Told]:
    """What was said, printed as it comes, and what was told about it."""
    stream = await client.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": step.says}],
        stream=True,
        extra_body={"cozy": {"session_id": session}},
    )
    said: list[str] = []
    told = Told()
    stage.say("cozy  ", nl=False)
    async with stream:
        async for chunk in stream:
            told = _together(told, _told(chunk))
            piece = "".join(choice.delta.content or "" for choice in chunk.choices)
            said.append(piece)
            stage.say(piece.replace("\n", "\n      "), nl=False)
    stage.say()
    return "".join(said), told


def _told(chunk: ChatCompletionChunk) -> Told | None:
    extra = (chunk.model_extra or {}).get("cozy")
    return msgspec.convert(extra, Told) if extra else None


def _together(before: Told, after: Told | None) -> Told:
    """The first chunk names the turn, the last one tells the rest."""
    if after is None:
        return before
    told = {name: getattr(after, name) for name in Told.__struct_fields__}
    return replace(before, **{name: value for name, value in told.items() if value is not None})


def _timed(told: Told) -> str:
    times = told.timings or Timings()
    first = "none" if times.first_token_ms is None else f"{times.first_token_ms:.0f} ms"
    return (
        f"{told.persona}, {told.model} · context {times.context_ms:.0f} ms · first token {first}"
        f" · total {times.total_ms:.0f} ms"
    )


def _audit_failures(records: Iterable[AuditRecord], found: Verification) -> Iterable[Failure]:
    called = any(isinstance(record.event, ToolCalled) and record.event.outcome == "ok" for record in records)
    if not called:
        yield Failure(STEPS[1].name, "no tool was called")
    if not found.intact or not found.last_sealed:
        yield Failure("the audit check", "the log does not hold")
