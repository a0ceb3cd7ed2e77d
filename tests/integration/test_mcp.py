"""MCP servers, good and bad, each a process of its own or on a socket."""

import asyncio
import json
import logging
import os
import signal
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from cozy_adapters.mcp.configured import Configured
from cozy_adapters.mcp.listing import MAX_TOOLS, Rules
from cozy_adapters.mcp.toolbox import McpToolBox
from cozy_adapters.mcp.watch import MAX_PACE
from cozy_domain.errors import MissingError, ToolError
from cozy_domain.tools.tool import Effect
from tests.fixtures.mcp import (
    CONTEXT,
    QUICK,
    SERVERS,
    call,
    connected,
    free_port,
    honest,
    honest_process,
    is_alive,
    over_http,
    rogue,
    state_of,
    until,
)
from tests.fixtures.mcp_servers.legacy import legacy_server

SOON_S = 25.0
"""Far more than it takes; far less than any deadline of the adapter."""


async def pid_of(box: McpToolBox, name: str = "rogue") -> int:
    return int(await call(box, f"{name}__pid"))


async def cause_of(server: Configured) -> str:
    """Why it cannot be connected."""
    async with connected(server) as box:
        state = state_of(box, server.name)
        assert state.state == "failed"
        assert state.cause is not None
        return state.cause


# The official server


async def test_a_server_on_the_official_sdk_works_on_standard_input() -> None:
    async with connected(honest()) as box:
        assert state_of(box, "honest").well
        assert json.loads(await call(box, "honest__echo", text="grüß dich")) == {"text": "grüß dich"}
        said = await call(box, "honest__picture")
        assert said.startswith("Here it is:\n[image left out: image/png, ")
        with pytest.raises(ToolError, match="not today"):
            await call(box, "honest__sorry")


async def test_a_server_over_http_is_found_when_it_comes_and_missed_when_it_dies() -> None:
    port = free_port()
    async with connected(over_http(port)) as box:
        assert state_of(box, "honest").cause == f"http://127.0.0.1:{port} cannot be reached (ConnectError)"
        assert box.specs() == ()
        async with honest_process(port) as process:
            await until(lambda: state_of(box, "honest").state == "connected")
            with pytest.raises(ToolError, match="more than 4,194,304 bytes"):
                await call(box, "honest__huge", size=5_000_000)
            assert len(await call(box, "honest__huge", size=1_000_000)) == 400_000
            hanging = asyncio.create_task(call(box, "honest__stuck"))
            await asyncio.sleep(0.1)
            process.kill()
            async with asyncio.timeout(SOON_S):
                with pytest.raises(ToolError, match="ended the connection"):
                    await hanging
        await until(
            lambda: (
                state_of(box, "honest").cause == f"http://127.0.0.1:{port} cannot be reached (ConnectError)"
            )
        )
        with pytest.raises(ToolError, match="not connected"):
            await call(box, "honest__echo")
        assert "honest__echo" in {spec.name for spec in box.specs()}


async def test_an_address_gets_its_headers_and_nobody_reads_them_in_its_state() -> None:
    heard: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        server = Configured(
            "web",
            Rules("web"),
            url=f"http://127.0.0.1:{port}/mcp?key=s3cret",
            headers={"authorization": "Bearer s3cret"},
        )
        async with connected(server) as box:
            state = state_of(box, "web")
    assert b"authorization: bearer s3cret" in heard[0].lower()
    assert state.cause == "it answers with HTTP 401"
    assert "s3cret" not in repr((state, server))


async def test_a_server_of_an_older_protocol_works_over_http_and_its_session_is_ended() -> None:
    async with legacy_server() as server:
        async with connected(Configured("old", Rules("old"), url=server.url)) as box:
            assert await call(box, "old__hello") == "hello"
            await until(lambda: server.listening == 1)
            server.change("hello", "goodbye")
            await until(lambda: [spec.name for spec in box.specs()] == ["old__goodbye", "old__hello"])
        assert set(server.ended) == server.sessions
        await until(lambda: server.listening == 0)


async def test_a_server_that_forgot_the_session_gets_a_new_one() -> None:
    async with legacy_server() as server, connected(Configured("old", Rules("old"), url=server.url)) as box:
        server.sessions.clear()
        with pytest.raises(ToolError, match="Session terminated"):
            await call(box, "old__hello")
        await until(lambda: len(server.sessions) == 1)
        await until(lambda: state_of(box, "old").state == "connected")
        assert await call(box, "old__hello") == "hello"


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async with legacy_server() as server, connected(Configured("old", Rules("old"), url=server.url)) as box:
        server.compresses = True
        with pytest.raises(ToolError):
            await call(box, "old__hello")
        await until(lambda: state_of(box, "old").state == "failed" and bool(state_of(box, "old").cause))


# A process that dies, hangs or stays


async def test_a_call_of_a_server_that_dies_fails_at_once_and_the_server_comes_back() -> None:
    async with connected(rogue()) as box:
        async with asyncio.timeout(SOON_S):
            with pytest.raises(ToolError, match="ended the connection"):
                await call(box, "rogue__die")
        await until(lambda: state_of(box).cause == "it exited with code 3")
        await until(lambda: state_of(box).state == "connected")
        assert await call(box, "rogue__echo", a=1) == '{"a": 1}'


async def test_a_killed_server_comes_back_as_another_process() -> None:
    async with connected(rogue()) as box:
        pid = await pid_of(box)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: state_of(box).state == "failed")
        with pytest.raises(ToolError, match="not connected"):
            await call(box, "rogue__echo")
        await until(lambda: state_of(box).state == "connected")
        assert await pid_of(box) != pid


async def test_a_call_that_hangs_is_cut_at_its_deadline_and_the_server_is_told() -> None:
    async with connected(replace(rogue(), deadline_s=2.0)) as box:
        async with asyncio.timeout(SOON_S):
            with pytest.raises(ToolError, match="did not answer within 2 s"):
                await call(box, "rogue__stuck")
        assert json.loads(await call(box, "rogue__cancelled")) == ["stuck"]


async def test_a_call_that_its_caller_gives_up_is_told_to_the_server() -> None:
    async with connected(rogue()) as box:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await call(box, "rogue__stuck")
        assert json.loads(await call(box, "rogue__cancelled")) == ["stuck"]


async def test_a_server_that_never_answers_keeps_nobody_waiting() -> None:
    box = McpToolBox([rogue(deaf=True)], replace(QUICK, start_s=0.5))
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with box.running():
        assert loop.time() - began < SOON_S
        assert (box.specs(), state_of(box).state) == ((), "connecting")
        await until(lambda: state_of(box).cause == "it did not answer in time")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_the_end_leaves_no_process(*, stubborn: bool) -> None:
    async with connected(rogue(stubborn=stubborn)) as box:
        pids = [await pid_of(box), int(await call(box, "rogue__fork"))]
        assert all(map(is_alive, pids))
        hanging = asyncio.create_task(call(box, "rogue__stuck"))
        await asyncio.sleep(0)
    await until(lambda: not any(map(is_alive, pids)), SOON_S)
    with pytest.raises(ToolError):
        await hanging


async def test_an_end_during_the_start_leaves_no_process() -> None:
    box = McpToolBox([rogue(deaf=True)], replace(QUICK, close_s=0.1))
    async with box.running():
        await until(lambda: bool(_children("rogue.py")))
        pids = _children("rogue.py")
    await until(lambda: not any(map(is_alive, pids)), SOON_S)


async def test_a_program_that_is_not_there_is_named_without_its_arguments() -> None:
    server = Configured("files", Rules("files"), command=("/nowhere/mcp-files", "--token=s3cret"))
    assert await cause_of(server) == "mcp-files cannot be started: No such file or directory"


async def test_a_program_that_ends_at_once_is_told_with_its_exit_code() -> None:
    assert await cause_of(rogue(exits=7)) == "it exited with code 7"


async def test_a_folder_is_where_the_program_starts(tmp_path: Path) -> None:
    async with connected(replace(rogue(), folder=str(tmp_path))) as box:
        found = await call(box, "rogue__folder")
    assert found == os.path.realpath(tmp_path)  # noqa: ASYNC240  nothing else runs here


# What it is given, and what it says beside the protocol


async def test_a_server_gets_its_own_variables_and_none_of_our_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    monkeypatch.setenv("COZY_AUDIT__KEY", "ours")
    async with connected(rogue(env={"TOKEN": "its own"})) as box:
        variables = json.loads(await call(box, "rogue__environment"))
    assert variables["TOKEN"] == "its own"
    assert "ours" not in " ".join(variables.values())
    assert set(variables) <= {
        "TOKEN",
        "ROGUE",
        "HOME",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TERM",
        "USER",
        "LC_CTYPE",
    }


async def test_what_a_server_mutters_reaches_the_log_alone_and_without_its_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected(rogue(env={"TOKEN": "s3cret-token"})) as box:
        assert await call(box, "rogue__mutter") == "muttered"
        with caplog.at_level(logging.WARNING, "cozy.mcp"), pytest.raises(ToolError):
            await call(box, "rogue__die")
        await until(lambda: bool(caplog.records))
    (muttered,) = (record.__dict__["stderr"] for record in caplog.records if record.msg == "tool_server_lost")
    assert muttered.endswith("mmm********\n")
    assert len(muttered) < 5_000


async def test_lines_that_are_no_messages_are_passed_over() -> None:
    async with connected(rogue()) as box:
        assert await call(box, "rogue__line") == "said"
        assert await call(box, "rogue__echo") == "{}"


# Floods


async def test_a_flood_of_messages_ends_the_connection_and_holds_nobody_up() -> None:
    async with connected(rogue(), rogue("other"), patience=replace(QUICK, first_wait_s=30.0)) as box:
        with pytest.raises(ToolError):
            await call(box, "rogue__flood")
        await until(lambda: state_of(box).cause == f"it sent more than {MAX_PACE} messages in a second")
        async with asyncio.timeout(SOON_S):
            assert await call(box, "other__echo") == "{}"


async def test_a_huge_answer_fails_alone() -> None:
    async with connected(rogue()) as box:
        beside = asyncio.create_task(call(box, "rogue__stuck"))
        with pytest.raises(ToolError, match="more than 4,194,304 bytes"):
            await call(box, "rogue__huge", size=20_000_000)
        assert await call(box, "rogue__echo") == "{}"
        assert not beside.done()
        beside.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beside


async def test_a_server_with_two_thousand_tools_offers_the_first() -> None:
    tools = [{"name": f"t{n}", "inputSchema": {"type": "object"}} for n in range(2_000)]
    async with connected(rogue(tools=tools)) as box:
        assert len(box.specs()) == MAX_TOOLS
        assert state_of(box).withheld[-1].endswith(" more")


async def test_a_list_without_end_is_read_only_so_far() -> None:
    async with connected(rogue(pages=True)) as box:
        assert {spec.name for spec in box.specs()} >= {"rogue__echo"}
        assert "the list did not end" in state_of(box).withheld[0]


async def test_a_list_that_is_too_long_to_read_is_told() -> None:
    async with connected(rogue()) as box:
        await call(box, "rogue__change", name="new", description="x" * 10_000_000)
        await until(lambda: state_of(box).state == "failed" and bool(state_of(box).cause))
        assert state_of(box).cause == "it refuses: the answer has more than 4,194,304 bytes"


# Changes


async def test_a_tool_that_changes_is_withheld_and_told() -> None:
    async with connected(rogue()) as box:
        assert await call(box, "rogue__echo") == "{}"
        await call(box, "rogue__change", name="echo")
        with pytest.raises(MissingError):
            await call(box, "rogue__echo")
        assert "rogue__echo" not in {spec.name for spec in box.specs()}
        assert state_of(box).withheld[0].startswith("'echo': it changed since it was first seen")
        assert not state_of(box).well


async def test_a_tool_that_is_again_what_it_was_is_offered_again() -> None:
    async with connected(rogue()) as box:
        await call(box, "rogue__change", name="echo")
        await until(lambda: bool(state_of(box).withheld))
        os.kill(await pid_of(box), signal.SIGKILL)
        await until(lambda: state_of(box).state == "failed")
        await until(lambda: state_of(box).state == "connected")
        assert await call(box, "rogue__echo") == "{}"


async def test_a_tool_that_changes_is_taken_as_it_is_where_tools_are_not_pinned() -> None:
    async with connected(rogue(rules=Rules("rogue", pinned=False))) as box:
        before = {spec.name: spec for spec in box.specs()}
        await call(box, "rogue__change", name="echo", description="Other.")
        assert await call(box, "rogue__echo") == "{}"
        after = {spec.name: spec for spec in box.specs()}
        assert after["rogue__echo"].definition.description == "Other."
        assert after["rogue__echo"] != before["rogue__echo"]
        assert after["rogue__pid"] == before["rogue__pid"]


async def test_a_tool_that_is_added_is_offered() -> None:
    async with connected(rogue()) as box:
        await call(box, "rogue__change", name="new")
        await until(lambda: any(spec.name == "rogue__new" for spec in box.specs()))
        assert await call(box, "rogue__new") == "said"


async def test_hints_and_settings_decide_what_a_tool_may_change() -> None:
    tools = [
        {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
        {"name": "wipe", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}},
        {"name": "find", "inputSchema": {"type": "object"}},
    ]
    rules = Rules("rogue", effects={"find": Effect.READ})
    async with connected(rogue(rules=rules, tools=tools)) as box:
        effects = {spec.name: spec.effect for spec in box.specs()}
    assert effects == {
        "rogue__look": Effect.WRITE,
        "rogue__wipe": Effect.DANGEROUS,
        "rogue__find": Effect.READ,
    }


async def test_a_server_that_is_not_configured_has_no_tool() -> None:
    async with connected() as box:
        assert (box.specs(), box.states()) == ((), ())
        with pytest.raises(MissingError):
            await box.run("rogue__echo", msgspec.Raw(b"{}"), CONTEXT)


def _children(script: str) -> list[int]:
    """Processes of this one that run ``script``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == os.getpid() and str(SERVERS / script).encode() in words:
                found.append(int(entry.name))
    return found
