"""The `cozy` command as a person types it, alone and beside a running server."""

import asyncio
import json
import re
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import httpx2
import pytest

from tests.fixtures.server import PATIENCE_S, Process, command, environment, server_process, without

KEY = "ab" * 32
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
EVERYWHERE = "0.0.0.0"  # noqa: S104  # what is refused here


async def asked(server: Process, key: str | None = None, path: str = "/v1/models") -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(timeout=60) as client:
        return (await client.get(f"{server.url}{path}", headers=headers)).status_code


async def test_dev_needs_nothing_and_says_what_it_found(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_MODEL="") as server:
        assert await asked(server) == 200
        assert await asked(server, path="/docs") == 200
    assert "offline/offline: no model was found" in server.banner
    assert "default, wren, xiaoman" in server.banner
    assert str(tmp_path / ".cozy") in server.banner
    assert "none on requests" in server.banner
    data = tmp_path / ".cozy"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "audit.key").stat().st_mode) == 0o600
    assert len(bytes.fromhex((data / "audit.key").read_text().strip())) == 32


@pytest.mark.parametrize("written", ["cozy.yaml:2", "environment COZY_MODEL", ".env COZY_MODEL"])
async def test_dev_says_where_the_model_that_answers_is_named(tmp_path: Path, written: str) -> None:
    place = written.split(":")[0].split()[0]
    variables = {"COZY_MODEL": "offline" if place == "environment" else ""}
    if place == "cozy.yaml":
        (tmp_path / place).write_text("models:\n  default: offline\n")
    elif place == ".env":
        (tmp_path / place).write_text("COZY_MODEL=offline\n")
    async with server_process("dev", "--port", "0", folder=tmp_path, **variables) as server:
        assert f"offline/offline: {written} names it" in server.banner


async def test_dev_looks_for_an_ollama_where_the_environment_says(tmp_path: Path) -> None:
    closed = "127.0.0.1:1"
    variables = {"COZY_MODEL": "", "OLLAMA_HOST": closed}
    async with server_process("dev", "--port", "0", folder=tmp_path, **variables) as server:
        assert f"OLLAMA_HOST: nothing listens on {closed}" in server.banner


async def test_dev_names_the_page_for_calls_where_they_can_be_made(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path) as server:
        assert f"{server.url}/voice" in server.banner
        assert "calls over WebRTC" not in server.banner


async def test_dev_lists_calls_as_off_where_their_extra_is_not_installed(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path, **without("aiortc", tmp_path)) as server:
        assert "/voice" not in server.banner
        assert "calls over WebRTC (the extra `voice` is not installed)" in server.banner


async def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    code, _, errors = await command("dev", "--port", str(port), folder=tmp_path)
    taken.close()
    await taken.wait_closed()
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in errors
    assert "--port 0" in errors
    assert "--host" not in errors  # which `dev` does not have


async def test_dev_listens_on_loopback_only(tmp_path: Path) -> None:
    code, _, errors = await command("dev", folder=tmp_path, COZY_SERVER__HOST=EVERYWHERE)
    assert code == 2
    assert "not on 0.0.0.0 (environment COZY_SERVER__HOST)" in errors


async def test_serve_refuses_to_start_without_an_audit_key_and_says_how_to_give_one(tmp_path: Path) -> None:
    code, _, errors = await command("serve", folder=tmp_path)
    assert code == 2
    assert "there is no audit key" in errors
    assert "openssl rand -hex 32 > .cozy/audit.key" in errors
    assert "COZY_AUDIT__KEY" in errors


async def test_serve_refuses_a_public_address_without_keys_with_two_ways_out(tmp_path: Path) -> None:
    code, _, errors = await command("serve", "--host", EVERYWHERE, folder=tmp_path, COZY_AUDIT__KEY=KEY)
    assert code == 2
    assert "cozy keys create" in errors
    assert "--host 127.0.0.1" in errors


async def test_serve_asks_for_keys_that_the_command_line_makes_and_ends(tmp_path: Path) -> None:
    variables = {
        "COZY_AUDIT__KEY": KEY,
        "COZY_LIMITS__OWNER_PER_MINUTE": "0",
        "COZY_LIMITS__ADDRESS_PER_MINUTE": "0",
    }
    async with server_process("serve", "--port", "0", folder=tmp_path, **variables) as server:
        assert "an account that serves many; this process counts by itself" in server.banner
        assert await asked(server, path="/readyz") == 200
        assert await asked(server) == 401
        code, out, errors = await command("keys", "create", "ann", folder=tmp_path, **variables)
        assert (code, errors.splitlines()[-1][:8]) == (0, "Keep it:")
        key = out.strip()
        assert await asked(server, key) == 200
        assert await asked(server, key, "/docs") == 404
        code, _, _ = await command("keys", "revoke", key[:11], folder=tmp_path, **variables)
        assert code == 0
        async with asyncio.timeout(PATIENCE_S):  # it is remembered for 5 s
            while await asked(server, key) != 401:
                pass
    code, out, _ = await command("keys", "list", "--json", folder=tmp_path, **variables)
    assert code == 0
    (row,) = json.loads(out)
    assert row["revoked_at"] is not None
    assert key not in out
    assert "hash" not in row


async def test_a_key_that_does_not_exist_cannot_be_revoked(tmp_path: Path) -> None:
    code, _, errors = await command("keys", "revoke", "nothing", folder=tmp_path, COZY_AUDIT__KEY=KEY)
    assert code == 1
    assert "there is no API key 'nothing'" in errors


@pytest.mark.parametrize("name", ["", "  ", "an\nn"])
async def test_a_key_without_a_name_is_refused(tmp_path: Path, name: str) -> None:
    variables = {"COZY_AUDIT__KEY": KEY}
    code, out, errors = await command("keys", "create", name, folder=tmp_path, **variables)
    assert (code, out) == (2, "")
    assert "needs a name" in errors


async def test_a_key_that_ended_before_is_said_to_and_not_audited_again(tmp_path: Path) -> None:
    variables = {"COZY_AUDIT__KEY": KEY}
    _, out, _ = await command("keys", "create", "ann", "--json", folder=tmp_path, **variables)
    made = json.loads(out)
    assert made["name"] == "ann"
    assert made["key"].startswith(made["prefix"])
    assert TIME.fullmatch(made["created_at"])
    _, first, _ = await command("keys", "revoke", made["id"], folder=tmp_path, **variables)
    assert first == f"{made['prefix']}… (ann) has ended.\n"
    code, again, _ = await command("keys", "revoke", made["prefix"], folder=tmp_path, **variables)
    assert code == 0
    assert re.search(r"had ended before, at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.", again)
    _, out, _ = await command("audit", "tail", "--json", folder=tmp_path, **variables)
    records = json.loads(out)
    assert [record["event"]["action"] for record in records] == ["key.create", "key.revoke"]
    assert all(TIME.fullmatch(record["at"]) for record in records)


async def test_tables_fit_100_columns_and_have_times_to_the_second(tmp_path: Path) -> None:
    variables = {"COZY_AUDIT__KEY": KEY}
    more = ("--serves-many", "--days", "30", "--role", "admin")
    await command("keys", "create", "webshop", *more, folder=tmp_path, **variables)
    for arguments in (("keys", "list"), ("audit", "tail")):
        code, out, _ = await command(*arguments, folder=tmp_path, **variables)
        assert code == 0
        assert "webshop" in out
        assert all(len(line.rstrip()) <= 100 for line in out.splitlines()), out
        assert re.search(r" ?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", out)


async def test_the_audit_log_is_verified_beside_a_running_server(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_AUDIT__SEAL_S="0.1") as server:
        async with httpx2.AsyncClient(timeout=60) as client:
            answer = await client.post(
                f"{server.url}/v1/chat/completions",
                json={"model": "default", "messages": [{"role": "user", "content": "What is 6 * 7?"}]},
            )
        assert answer.status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            while True:
                code, out, _ = await command("audit", "verify", "--json", folder=tmp_path)
                assert code == 0
                if json.loads(out)["sealed"]:
                    break
        code, out, _ = await command("audit", "tail", "--json", folder=tmp_path)
    assert code == 0
    assert {record["event"]["type"] for record in json.loads(out)} >= {"turn", "tool_call"}
    assert "6 * 7" not in out


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store whose log has a record, is sealed, and is intact; to be copied."""
    folder = tmp_path_factory.mktemp("sealed")
    asyncio.run(_seal(folder))
    return folder


async def _seal(folder: Path) -> None:
    variables = {"COZY_AUDIT__KEY": KEY}
    await command("keys", "create", "ann", folder=folder, **variables)
    async with server_process(
        "serve", "--port", "0", folder=folder, COZY_AUDIT__SEAL_S="0.1", **variables
    ) as it:
        it.process.terminate()
        assert await it.ended() == 0
    code, out, _ = await command("audit", "verify", folder=folder, **variables)
    assert code == 0
    assert "The log is intact." in out


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        ("UPDATE audit_records SET body = replace(body, 'key.create', 'key.crEate')", "was changed"),
        ("DELETE FROM audit_records", "was removed"),
        ("DELETE FROM audit_seals", "its seal was removed"),
        ("DELETE FROM audit_seals; DELETE FROM audit_records", "the chain is cut off before it"),
        (
            "DELETE FROM audit_seals; INSERT INTO audit_pending SELECT id FROM audit_records",
            "the chain is cut off before it",
        ),
    ],
)
async def test_tampering_is_found_named_and_exits_1(
    tmp_path: Path, sealed: Path, tampering: str, told: str
) -> None:
    shutil.copytree(sealed / ".cozy", tmp_path / ".cozy")
    with sqlite3.connect(tmp_path / ".cozy" / "cozy.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.executescript(tampering)
    code, out, _ = await command("audit", "verify", folder=tmp_path, COZY_AUDIT__KEY=KEY)
    assert code == 1
    assert told in out


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (b"{}", 1, "FAULT: the anchor was forged or damaged"),
        (None, 0, "Nothing outside the store vouches for the end of the chain"),
    ],
)
async def test_an_anchor_that_is_forged_or_gone_is_told(
    tmp_path: Path, sealed: Path, content: bytes | None, code: int, told: str
) -> None:
    shutil.copytree(sealed / ".cozy", tmp_path / ".cozy")
    anchor = tmp_path / ".cozy" / "audit.anchor"
    anchor.unlink()
    if content is not None:
        anchor.write_bytes(content)
    found, out, _ = await command("audit", "verify", folder=tmp_path, COZY_AUDIT__KEY=KEY)
    assert found == code
    assert told in out


async def test_there_is_nothing_to_verify_where_there_is_no_store(tmp_path: Path) -> None:
    code, _, errors = await command("audit", "verify", folder=tmp_path, COZY_AUDIT__KEY=KEY)
    assert code == 2
    assert "there is no store" in errors


async def test_two_servers_on_one_folder_are_one_too_many(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path):
        code, _, errors = await command("dev", "--port", "0", folder=tmp_path)
    assert code == 1
    assert errors.startswith("error: another server uses")


async def test_config_show_masks_secrets_and_tells_origins(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("server:\n  port: 9000\n")
    variables = {"OPENAI_API_KEY": "sk-canary", "COZY_SERVER__TIMEZONE": "Asia/Shanghai"}
    code, out, _ = await command("config", "show", "--origin", "--json", folder=tmp_path, **variables)
    assert code == 0
    rows = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(out)}
    assert rows["server.port"] == (9000, "cozy.yaml:2")
    assert rows["server.timezone"] == ("Asia/Shanghai", "environment COZY_SERVER__TIMEZONE")
    assert rows["models.providers.openai.api_key"] == ("********", "environment OPENAI_API_KEY")
    assert rows["server.host"] == ("127.0.0.1", "default")
    assert "sk-canary" not in out


async def test_a_mistake_in_the_settings_is_told_with_its_line_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("server:\n  prot: 9000\n")
    code, _, errors = await command("dev", folder=tmp_path)
    assert code == 2
    assert "cozy.yaml:2  server.prot: is not a setting  did you mean port?" in errors


async def test_personas_are_listed_and_a_mistake_in_one_is_told_with_its_line(tmp_path: Path) -> None:
    code, out, _ = await command("persona", "list", "--json", folder=tmp_path)
    assert code == 0
    assert {"default", "wren", "xiaoman"} <= {row["id"] for row in json.loads(out)}
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "anna.yaml").write_text(
        "schema: persona/1\nid: anna\nname: Anna\nvoice:\n  speed: 9\n"
    )
    code, out, _ = await command("persona", "validate", "own", folder=tmp_path)
    assert code == 1
    assert "own/anna.yaml:5:" in out
    assert "voice.speed" in out
    code, _, errors = await command("dev", folder=tmp_path, COZY_PERSONAS__FOLDER="own")
    assert code == 2
    assert errors.startswith("error: own/anna.yaml:5:")


PERSONA = "schema: persona/1\nid: {id}\nname: {id}\n"


async def test_one_file_is_validated_with_its_folder_as_what_it_may_extend(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "anna.yaml").write_text(PERSONA.format(id="anna"))
    (own / "ben.yaml").write_text(PERSONA.format(id="ben") + "extends: anna\n")
    (own / "bad.yaml").write_text(PERSONA.format(id="bad") + "voice:\n  speed: 9\n")
    code, out, _ = await command("persona", "validate", "own/ben.yaml", folder=tmp_path)
    assert (code, out) == (0, "own/ben.yaml is fine.\n")
    code, out, _ = await command("persona", "validate", "own/bad.yaml", folder=tmp_path)
    assert code == 1
    mistake, count = out.splitlines()
    assert mistake.startswith("error: own/bad.yaml:5:")
    assert count == "1 mistake"
    code, _, errors = await command("persona", "validate", "own/none.yaml", folder=tmp_path)
    assert code == 2
    assert "there is no file or folder own/none.yaml" in errors


async def test_a_file_that_cannot_be_read_does_not_hide_the_mistakes_of_another(tmp_path: Path) -> None:
    (tmp_path / "torn.yaml").write_text("id: [")
    (tmp_path / "bad.yaml").write_text(PERSONA.format(id="bad") + "voice:\n  speed: 9\n")
    code, out, _ = await command("persona", "validate", "bad.yaml", folder=tmp_path)
    assert code == 1
    assert "voice.speed" in out
    assert "torn" not in out
    code, out, _ = await command("persona", "validate", ".", folder=tmp_path)
    assert code == 1
    *mistakes, count = out.splitlines()
    assert len(mistakes) == 2
    assert all(line.startswith("error: ") for line in mistakes)
    assert count == "2 mistakes"


async def test_the_folders_own_personas_are_counted_apart_from_the_shipped(tmp_path: Path) -> None:
    (tmp_path / "anna.yaml").write_text(PERSONA.format(id="anna"))
    code, out, _ = await command("persona", "validate", ".", folder=tmp_path)
    assert code == 0
    assert re.search(
        r"^1 persona in \. is fine, beside \d+ personas that come with the engine\.$", out, re.MULTILINE
    )
    code, out, _ = await command("persona", "validate", folder=tmp_path)
    assert code == 0
    assert "no folder of your own is configured" in out


HELP = """
import sys
from cozy_server.cli.__main__ import main
sys.argv = ["cozy", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""


async def test_help_tells_the_exit_codes_and_imports_nothing_of_what_it_tells_about(tmp_path: Path) -> None:
    """So it comes at once; how soon, `nox -s bench -- cli` measures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELP, cwd=tmp_path, env=environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, names = await process.communicate()
    assert "Exit codes" in out.decode()
    providers = {"openai", "anthropic", "mcp", "httpx", "httpx2", "aiohttp", "pydantic"}
    server = {"litestar", "sqlalchemy", "alembic", "uvicorn", "asyncio", "yaml", "jsonschema", "structlog"}
    loaded = set(names.decode().split())
    assert "typer" in loaded
    assert not (providers | server | {"cozy_adapters"}) & loaded


async def test_a_slip_in_the_arguments_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    code, out, errors = await command("keys", "list", "--json", "--dta", "x", folder=tmp_path)
    assert (code, out) == (2, "")
    assert json.loads(errors)["error"]["code"] == "usage"


async def test_a_server_tells_a_script_where_it_listens(tmp_path: Path) -> None:
    async with server_process("dev", "--port", "0", "--json", folder=tmp_path) as server:
        assert await asked(server) == 200
        told = json.loads(server.banner)
    assert (told["listening"], told["model"]) == (f"{server.url}/v1", "offline/offline")


async def test_a_rotated_key_is_another_one_for_the_same_account(tmp_path: Path) -> None:
    variables = {"COZY_AUDIT__KEY": KEY}
    arguments = ("keys", "create", "ann", "--role", "admin", "--days", "9", "--json")
    _, out, _ = await command(*arguments, folder=tmp_path, **variables)
    old = json.loads(out)
    code, out, _ = await command("keys", "rotate", old["prefix"], "--json", folder=tmp_path, **variables)
    new = json.loads(out)
    assert code == 0
    assert new["key"] != old["key"]
    same = ("name", "account", "role", "serves_many", "expires_at")
    assert [new[field] for field in same] == [old[field] for field in same]
    code, _, errors = await command("keys", "rotate", old["id"], "--json", folder=tmp_path, **variables)
    assert (code, "has ended" in json.loads(errors)["error"]["message"]) == (2, True)
    _, out, _ = await command("keys", "list", "--json", folder=tmp_path, **variables)
    assert [row["revoked_at"] is None for row in json.loads(out)] == [False, True]


async def test_the_store_is_made_checked_and_copied_beside_a_server_and_goes_back_only_if_confirmed(
    tmp_path: Path,
) -> None:
    code, out, _ = await command("db", "current", folder=tmp_path)
    assert (code, "there is no store yet" in out) == (0, True)
    async with server_process("dev", "--port", "0", folder=tmp_path):
        code, out, _ = await command("db", "check", "--json", folder=tmp_path)
        told = json.loads(out)
        assert (code, told["ok"], told["in_use"], told["revision"]) == (0, True, True, told["head"])
        code, out, errors = await command("db", "backup", "copy.db", folder=tmp_path)
        assert (code, out.startswith("copy.db: ")) == (0, True)
        assert "audit.key" in errors
        code, _, errors = await command("db", "upgrade", "--json", folder=tmp_path)
        assert (code, json.loads(errors)["error"]["code"]) == (1, "storage_in_use")
    code, _, errors = await command("db", "downgrade", "base", folder=tmp_path)
    assert (code, "add --yes" in errors) == (2, True)
    code, out, _ = await command("db", "check", "--data", ".", folder=tmp_path)
    assert code == 1
