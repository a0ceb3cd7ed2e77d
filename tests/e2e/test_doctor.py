"""`cozy doctor` on machines that are well, and that are not."""

import json
import os
import sys
from pathlib import Path

import pytest

from cozy_server.cli.doctor.command import examine
from cozy_server.cli.doctor.finding import Finding
from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.mcp import SERVERS
from tests.fixtures.redis import RedisServer
from tests.fixtures.server import command, container_for, environment, running, settings_for, without

NO_LIMITS = {
    f"COZY_LIMITS__{name}": "0"
    for name in ("OWNER_PER_MINUTE", "ADDRESS_PER_MINUTE", "SERVING_ACCOUNT_PER_MINUTE")
}


async def found_in(folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, Finding]:
    """By code; in this process, with the environment that a command would have."""
    given = {"COZY_DATA": str(folder / ".cozy"), "COZY_SERVER__PORT": "0"}
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(**given, **variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return {it.code: it async for it in examine(None, None, development=False)}


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_new_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    code, out, errors = await command("doctor", "--json", folder=tmp_path, COZY_SERVER__PORT="0")
    told = json.loads(out)
    assert (code, errors, told["ok"]) == (0, "", True)
    assert {row["level"] for row in told["checks"]} == {"ok", "warn"}
    assert [row["code"] for row in told["checks"] if row["level"] == "warn"] == ["audit_key_none"]
    assert left_in(tmp_path) == []


async def test_what_must_be_mended_is_a_line_with_its_place_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("server: {port: 0}\nredis:\n  url: redis://:secret@127.0.0.1:1/0\n")
    code, out, _ = await command("doctor", "--lang", "zh", folder=tmp_path)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert line.startswith("FAIL redis     127.0.0.1:1: ")
    assert line.endswith("(来自 cozy.yaml:3)")
    assert "secret" not in out


async def test_a_provider_whose_package_is_missing_is_one_fault_and_the_other_checks_go_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "cozy.yaml").write_text(
        "server: {port: 0}\nmodels:\n  providers:\n    gw:\n      kind: anthropic\n"
    )
    code, out, errors = await command(
        "doctor", "--json", folder=tmp_path, **without("anthropic", tmp_path), OPENAI_API_KEY=""
    )
    rows = {row["code"]: row for row in json.loads(out)["checks"]}
    assert (code, errors) == (1, "")
    assert [row["code"] for row in rows.values() if row["level"] == "fail"] == [
        "extra_needed",
        "provider_unbuilt",
    ]
    assert rows["extra_needed"]["origin"] == "cozy.yaml:5"
    assert rows["extra_needed"]["fix"] == "pip install 'cozy-engine[anthropic]'"
    assert "models.providers.gw" in rows["provider_unbuilt"]["cause"]
    assert rows["personas_ok"]["level"] == "ok"
    assert "egress" in rows


async def test_a_provider_whose_package_breaks_is_a_line_and_the_other_checks_go_on(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("server: {port: 0}\nmodels: {providers: {gw: {kind: openai}}}\n")
    broken = tmp_path / "broken" / "openai"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('half installed')")
    paths = os.pathsep.join((str(broken.parent), os.environ.get("PYTHONPATH", "")))
    code, out, errors = await command("doctor", "--json", folder=tmp_path, PYTHONPATH=paths, COZY_MODEL="")
    rows = {row["code"]: row for row in json.loads(out)["checks"]}
    assert (code, errors) == (1, "")
    assert "it broke unexpectedly (RuntimeError)" in rows["provider_failed"]["cause"]
    assert "egress" in rows


async def test_several_processes_that_nobody_counted_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis: RedisServer
) -> None:
    found = await found_in(tmp_path, monkeypatch, COZY_REDIS__URL=redis.url)
    assert found["redis_ok"].level == "ok"
    assert found["redis_shared_by_one"].level == "warn"
    for told in ({"COZY_LIMITS__PROCESSES": "2"}, NO_LIMITS):
        found = await found_in(tmp_path, monkeypatch, COZY_REDIS__URL=redis.url, **told)
        assert "redis_ok" in found
        assert "redis_shared_by_one" not in found


async def test_a_key_in_the_environment_whose_package_is_missing_is_a_warning_as_the_server_starts(
    tmp_path: Path,
) -> None:
    hidden = without("anthropic", tmp_path)
    code, out, _ = await command(
        "doctor", "--json", folder=tmp_path, **hidden, COZY_SERVER__PORT="0", ANTHROPIC_API_KEY="sk-x"
    )
    rows = {row["code"]: row for row in json.loads(out)["checks"]}
    assert code == 0
    assert (rows["extra_needed"]["level"], rows["provider_unused"]["level"]) == ("warn", "warn")
    assert rows["extra_needed"]["origin"] == "environment ANTHROPIC_API_KEY"
    assert "not installed" in rows["provider_unused"]["cause"]


async def test_settings_that_cannot_be_read_are_told_and_the_rest_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cozy.yaml").write_text("server:\n  prot: 1\n")
    found = await found_in(tmp_path, monkeypatch)
    assert list(found) == ["python_ok", "config_wrong"]
    assert "cozy.yaml:2" in found["config_wrong"].cause("en")


async def test_a_provider_is_asked_for_its_models_with_its_key(
    tmp_path: Path, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"OPENAI_BASE_URL": fake_openai.base_url, "OPENAI_API_KEY": "sk-canary"}
    found = await found_in(tmp_path, monkeypatch, COZY_MODEL="openai/nothing-like-it", **variables)
    assert found["provider_ok"].values["number"]
    unlisted = found["model_unlisted"]
    assert (unlisted.level, unlisted.origin) == ("warn", "environment COZY_MODEL")
    (asked,) = [it for it in fake_openai.requests if it.path.endswith("/models")]
    assert asked.headers["authorization"] == "Bearer sk-canary"
    await fake_openai.refuse()
    found = await found_in(tmp_path, monkeypatch, COZY_MODEL="nobody/x", **variables)
    failed = found["provider_failed"]
    assert (failed.level, failed.origin) == ("fail", "environment OPENAI_BASE_URL")
    assert found["model_wrong"].level == "fail"
    assert not any("sk-canary" in it.cause("en") for it in found.values())


async def test_tool_servers_are_tried_and_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = json.dumps([sys.executable, str(SERVERS / "honest.py")])
    (tmp_path / "cozy.yaml").write_text(
        f"tools:\n  mcp:\n    good:\n      command: {server}\n    lost:\n      command: [no-such-program]\n"
    )
    found = await found_in(tmp_path, monkeypatch)
    assert found["mcp_ok"].values["name"] == "good"
    assert found["mcp_ok"].values["number"]
    assert (found["mcp_failed"].level, found["mcp_failed"].origin) == ("fail", "cozy.yaml:6")
    assert found["mcp_failed"].values["name"] == "lost"


async def test_beside_a_running_server_all_is_seen_and_nothing_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "anna.yaml").write_text(
        "schema: persona/1\nid: anna\nname: Anna\nvoice:\n  speed: 9\n"
    )
    async with running(container_for(settings_for(tmp_path / ".cozy"))) as server:
        found = await found_in(
            tmp_path, monkeypatch, COZY_PERSONAS__FOLDER="own", COZY_MODLE="x", COZY_AUDIT__KEY="ab" * 32
        )
        assert (await server.container.vitals().overall()) == "ok"
    assert found["store_served"].level == "ok"
    assert found["persona_wrong"].level == "fail"
    assert "own/anna.yaml:5:" in found["persona_wrong"].cause("en")
    assert "COZY_MODEL" in found["variable_unknown"].cause("en")


async def test_a_taken_port_and_a_store_that_is_not_there_are_told_with_their_settings(
    tmp_path: Path, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await found_in(
        tmp_path,
        monkeypatch,
        COZY_DATABASE__URL="postgresql://cozy:secret@127.0.0.1:1/cozy",
        COZY_SERVER__HOST="127.0.0.1",
    )
    lost = found["store_unusable"]
    assert (lost.level, lost.origin) == ("fail", "environment COZY_DATABASE__URL")
    assert lost.cause("en").startswith("127.0.0.1:1: ")
    monkeypatch.setenv("COZY_SERVER__PORT", str(fake_openai.port))
    codes = {it.code: it async for it in examine(None, None, development=False)}
    assert codes["port_taken"].level == "warn"


async def test_who_speaks_and_listens_is_told_and_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await found_in(tmp_path, monkeypatch)
    assert found["voices_ok"].values["names"] == "espeak"
    assert "demo quality" in found["recognisers_demo"].cause("en")


async def test_an_offline_engine_whose_package_is_missing_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text("server: {port: 0}\nspeech:\n  stt: [pocketsphinx]\n")
    variables = without("pocketsphinx", tmp_path)
    code, out, _ = await command("doctor", "--json", folder=tmp_path, **variables)
    rows = [row for row in json.loads(out)["checks"] if row["code"] == "engine_lost"]
    assert code == 0
    assert [(row["level"], row["origin"]) for row in rows][-1] == ("warn", "cozy.yaml:3")
    assert "pocketsphinx is not installed" in rows[-1]["cause"]
    assert rows[-1]["fix"] == "pip install 'cozy-engine[speech]'"


async def test_an_engine_that_keeps_the_server_from_starting_is_a_fault_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cozy.yaml").write_text("speech:\n  stt: [sherpa]\n  sherpa_stt: nowhere\n  tts: []\n")
    found = await found_in(tmp_path, monkeypatch)
    assert (found["speech_wrong"].level, found["speech_wrong"].origin) == ("fail", "cozy.yaml:2")
    assert "speech.sherpa_stt: there is no folder" in found["speech_wrong"].cause("zh")
    assert found["voices_none"].level == "warn"
