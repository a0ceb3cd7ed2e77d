"""`cozy chat` in a real terminal and in a pipe: streaming, stopping, and what is kept of it."""

import asyncio
import json
import re
import signal
import stat
from pathlib import Path
from uuid import UUID

from cozy_domain.ids import SessionId
from cozy_domain.messages import AssistantMessage, Message, UserMessage
from cozy_domain.sessions.turn import TurnState
from cozy_server.auth import DEVELOPER
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import (
    PATIENCE_S,
    command,
    container_for,
    running,
    server_process,
    settings_for,
)
from tests.fixtures.terminal import CTRL_C, CTRL_D, Terminal, terminal

ENDLESS = "endless?gap_ms=20"
"""Words for ever, a few at a time: nothing but stopping ends it."""
SESSION = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def with_fake(fake: FakeOpenAI, model: str) -> dict[str, str]:
    return {"COZY_MODEL": f"fake/{model}", "COZY_MODELS__PROVIDERS__FAKE__BASE_URL": fake.base_url}


async def greeted(shown: Terminal) -> tuple[str, int]:
    """The session's id, and where the prompt is."""
    await shown.until("Ctrl-D")
    at = await prompted(shown, 0)
    found = SESSION.search(shown.seen)
    assert found
    return found[0], at


async def prompted(shown: Terminal, at: int) -> int:
    """Where the next prompt is: what is typed before it, the terminal may swallow."""
    at = await shown.until("\n> ", at)
    await shown.waits()
    return at


async def stored(folder: Path, session: str) -> list[tuple[Message, TurnState]]:
    """What a server on the same data finds."""
    async with running(container_for(settings_for(folder / ".cozy"))) as server:
        found = await server.container.sessions().messages(
            DEVELOPER.owner(None), SessionId(UUID(session)), limit=100
        )
    return [(it.message, it.state) for it in found]


async def test_a_conversation_streams_remembers_shows_its_tools_and_is_a_session(tmp_path: Path) -> None:
    async with terminal("chat", folder=tmp_path) as shown:
        session, at = await greeted(shown)
        shown.enter("My name is Robin.")
        at = await prompted(shown, at)
        shown.enter("What is 17 * 23?")
        at = await shown.until('[calculator {"expression":"17 * 23"} ok ', at)
        at = await shown.until("17 * 23 = 391", at)
        at = await prompted(shown, at)
        shown.enter("What is my name?")
        at = await shown.until("Your name is Robin.", at)
        await prompted(shown, at)
        shown.type(CTRL_D)
        assert await shown.ended() == 0
    found = await stored(tmp_path, session)
    assert {state for _, state in found} == {"completed"}
    assert [message.content for message, _ in found if isinstance(message, UserMessage)] == [
        "My name is Robin.",
        "What is 17 * 23?",
        "What is my name?",
    ]
    typed = tmp_path / ".cozy" / "chat.history"
    assert stat.S_IMODE(typed.stat().st_mode) == 0o600
    assert "What is 17 * 23?" in typed.read_text()


async def stopped_in_mid_stream(shown: Terminal, fake: FakeOpenAI) -> str:
    session, at = await greeted(shown)
    shown.enter("Go on.")
    at = await shown.until("word3", at)
    shown.type(CTRL_C)
    at = await shown.until("[stopped]", at)
    at = await prompted(shown, at)
    await fake.until(lambda: not fake.open_streams)
    shown.type(CTRL_C)
    at = await shown.until("Ctrl-D or /quit", at)
    at = await prompted(shown, at)
    async with asyncio.timeout(PATIENCE_S):
        told = ""
        while "[stopped]" not in told:  # a server stores it a moment after it was left
            shown.enter("/history")
            began = await shown.until("> Go on.", at)
            at = await prompted(shown, began)
            told = shown.seen[began:at]
    assert "word1 word2" in told
    shown.enter("/quit")
    assert await shown.ended() == 0
    return session


def is_interrupted(found: list[tuple[Message, TurnState]]) -> bool:
    (asked, _), (answer, state) = found
    assert asked == UserMessage("Go on.")
    assert isinstance(answer, AssistantMessage)
    assert "word1 word2" in str(answer.content)
    return state == "interrupted"


async def test_ctrl_c_stops_the_answer_keeps_what_was_said_and_the_program_goes_on(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with terminal("chat", folder=tmp_path, **with_fake(fake_openai, ENDLESS)) as shown:
        session = await stopped_in_mid_stream(shown, fake_openai)
    assert is_interrupted(await stored(tmp_path, session))


async def test_ctrl_c_stops_an_answer_of_a_server_too(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    variables = with_fake(fake_openai, ENDLESS)
    async with (
        server_process("dev", "--port", "0", folder=tmp_path, **variables) as server,
        terminal("chat", "--url", server.url, folder=tmp_path) as shown,
    ):
        session = await stopped_in_mid_stream(shown, fake_openai)
    assert is_interrupted(await stored(tmp_path, session))


async def test_sigterm_in_mid_stream_stores_what_was_said_and_leaves(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with terminal("chat", folder=tmp_path, **with_fake(fake_openai, ENDLESS)) as shown:
        session, at = await greeted(shown)
        shown.enter("Go on.")
        await shown.until("word3", at)
        shown.process.send_signal(signal.SIGTERM)
        assert await shown.ended() == 0
    assert is_interrupted(await stored(tmp_path, session))


async def test_commands_change_who_speaks_and_where_and_slips_are_told(tmp_path: Path) -> None:
    async with terminal("chat", "--lang", "zh", folder=tmp_path) as shown:
        session, at = await greeted(shown)
        for line, answer in (
            ("/persona wran", "没有角色“wran”"),
            ("/persona wren", "现在由 wren 说话。"),
            ("/nwe", "是不是 /new？"),
            ("Hello", "\n"),
            ("/sessions", f"* {session}"),
            ("/new", "新会话："),
            ("/history", "还没有任何消息。"),
            ("/history 9999999999", "后面应是消息条数"),
        ):
            shown.enter(line)
            at = await prompted(shown, await shown.until(answer, at))
        shown.process.send_signal(signal.SIGTERM)  # at the prompt
        assert await shown.ended() == 0
    async with terminal("chat", "--session", "last", "--no-color", folder=tmp_path) as shown:
        assert (await greeted(shown))[0] == session
        assert shown.seen.startswith("wren · ")
        assert "> Hello" in shown.seen


async def test_a_failing_turn_is_told_and_the_next_one_may_work(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    variables = with_fake(fake_openai, "status?code=401&times=1")
    async with terminal("chat", folder=tmp_path, **variables) as shown:
        _, at = await greeted(shown)
        shown.enter("Hi")
        at = await prompted(shown, await shown.until("error: ", at))
        shown.enter("/retry")
        await shown.until("word1 word2", at)


async def test_beside_a_server_on_the_same_data_the_way_out_is_told(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path) as server:
        code, out, errors = await command("chat", "Hi", folder=tmp_path)
        assert (code, out) == (1, "")
        assert "another server uses" in errors
        assert "cozy chat --url http://127.0.0.1:8000" in errors
        code, out, errors = await command("chat", "--url", server.url, "What is 6 * 7?", folder=tmp_path)
    assert code == 0
    assert out.startswith("6 * 7 = 42\n")
    assert errors.startswith('[calculator {"expression":"6 * 7"} ok ')


async def test_a_script_gets_answers_alone_and_its_session_goes_on(tmp_path: Path) -> None:
    code, _, errors = await command("chat", "-", folder=tmp_path, stdin="My name is Robin.\nHello!\n")
    assert (code, errors) == (0, "")
    code, out, errors = await command(
        "chat", "--session", "last", folder=tmp_path, stdin="What is 6 * 7?\n\nWhat is my name?\n"
    )
    assert (code, out) == (0, "6 * 7 = 42\nYour name is Robin.\n")
    assert errors.startswith('[calculator {"expression":"6 * 7"} ok ')


async def test_a_script_is_told_when_a_provider_was_found_and_does_not_answer(
    tmp_path: Path,
) -> None:
    nobody = {"COZY_MODEL": "", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    code, out, errors = await command("chat", "Hello!", folder=tmp_path, **nobody)
    assert code == 0
    assert out
    assert errors.startswith("offline/offline (no model was found: OPENAI_API_KEY: ")
    code, _, errors = await command("chat", "--json", "Hello!", folder=tmp_path, **nobody)
    assert code == 0
    assert json.loads(errors)["warning"]["answers"].startswith("offline/offline (")


async def test_json_is_one_object_for_each_thing_that_happens(tmp_path: Path) -> None:
    code, out, errors = await command("chat", "--json", "What is 6 * 7?", folder=tmp_path)
    assert (code, errors) == (0, "")
    happened = [json.loads(line) for line in out.splitlines()]
    assert [it["type"] for it in happened if it["type"] != "text"] == ["turn_started", "tool", "turn_ended"]
    assert "".join(it["text"] for it in happened if it["type"] == "text").startswith("6 * 7 = 42\n")
    assert happened[-1]["state"] == "completed"


async def test_a_script_stops_at_the_first_failure_with_its_code(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    variables = with_fake(fake_openai, "status?code=401")
    code, out, errors = await command("chat", "--json", folder=tmp_path, stdin="one\ntwo\n", **variables)
    assert code == 1
    assert len(fake_openai.chats()) == 1
    (failed,) = [json.loads(line) for line in out.splitlines()]
    assert (failed["type"], bool(failed["code"]), errors) == ("turn_failed", True, "")


async def test_what_cannot_begin_is_one_json_object_too(tmp_path: Path) -> None:
    code, out, errors = await command("chat", "--json", "-p", "nobody", "Hi", folder=tmp_path)
    assert (code, out) == (2, "")
    told = json.loads(errors)["error"]
    assert (told["code"], told["message"]) == ("config_error", "there is no persona 'nobody'")
    assert "wren" in told["hint"]
