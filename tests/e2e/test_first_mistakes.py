"""What goes wrong at first: each slip is told where it was made, at the start."""

from pathlib import Path

import httpx2
from msgspec.structs import replace

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import (
    command,
    container_for,
    running,
    server_process,
    settings_for,
    with_fake,
)

SHORT = "ok?chunks=2"


async def test_a_variable_that_only_looks_like_ours_is_told_and_keeps_nothing_from_starting(
    tmp_path: Path,
) -> None:
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_MODLE="x/y"):
        said = (tmp_path / "stderr").read_text()
    assert "variable COZY_MODLE  is not a setting  did you mean COZY_MODEL?" in said


def persona_with_slips(folder: Path) -> None:
    """A tool and a variable that are none: warnings."""
    folder.mkdir()
    (folder / "anna.yaml").write_text(
        "schema: persona/1\nid: anna\nname: Anna\nprompt:\n  system: Ask {{who}}.\ntools:\n  allow: [calculater]\n"
    )


async def test_what_is_doubtful_in_a_persona_is_told_at_the_start(tmp_path: Path) -> None:
    persona_with_slips(tmp_path / "own")
    async with server_process("dev", "--port", "0", folder=tmp_path, COZY_PERSONAS__FOLDER="own") as server:
        said = (tmp_path / "stderr").read_text()
    assert "anna" in server.banner
    assert "own/anna.yaml:7:11  tools.allow[0]: there is no tool 'calculater'" in said
    assert "own/anna.yaml:5:11  prompt.system: '{{who}}' stays as it is" in said


async def test_a_start_tells_all_mistakes_of_all_personas(tmp_path: Path) -> None:
    persona_with_slips(tmp_path / "own")
    (tmp_path / "own" / "bert.yaml").write_text("schema: [")
    (tmp_path / "own" / "carl.yaml").write_text(
        "schema: persona/1\nid: carl\nname: Carl\nmodel:\n  route: opneai/gpt-9\n  fallbacks: [nonsense]\n"
    )
    for arguments in (("dev", "--port", "0"), ("persona", "validate")):
        code, out, errors = await command(
            *arguments, folder=tmp_path, COZY_PERSONAS__FOLDER="own", OPENAI_API_KEY="k"
        )
        assert code == (2 if arguments[0] == "dev" else 1)
        assert "own/bert.yaml:1:10  is not YAML" in out + errors
        assert "there is no provider 'opneai'; there are: offline, openai" in out + errors
        assert "did you mean openai/gpt-9?" in out + errors
        assert "'nonsense' is neither an alias nor written provider/id" in out + errors


async def test_a_persona_in_the_place_of_a_model_gets_a_hint_of_its_own(tmp_path: Path) -> None:
    code, _, errors = await command("dev", "--port", "0", folder=tmp_path, COZY_MODEL="wren")
    assert code == 2
    assert "'wren' is a persona" in errors


async def test_a_model_of_a_provider_that_is_not_configured_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cozy.yaml").write_text(
        "models:\n  allowed: [opneai/large]\n  routes:\n    fast: [openai/small, mistral/x]\n"
    )
    code, _, errors = await command("dev", "--port", "0", folder=tmp_path, OPENAI_API_KEY="k")
    assert code == 2
    assert "models.allowed[0]: 'opneai/large', but there is no provider 'opneai'" in errors
    assert "did you mean openai/large?" in errors
    assert "models.routes.fast[1]: 'mistral/x'" in errors


async def test_a_mistake_is_told_as_one_when_limits_are_to_be_shared(tmp_path: Path) -> None:
    code, _, errors = await command(
        "dev", "--port", "0", folder=tmp_path,
        COZY_MODEL="nosuch/model", COZY_REDIS__URL="redis://127.0.0.1:1", COZY_LIMITS__OWNER_PER_MINUTE="5",
    )  # fmt: skip
    assert code == 2
    assert "error: " in errors
    assert "nosuch" in errors
    assert "  → " in errors
    assert "Traceback" not in errors


async def test_a_redis_address_with_a_parameter_that_is_none_is_told_by_both_who_read_it(
    tmp_path: Path,
) -> None:
    wrong = {"COZY_REDIS__URL": "redis://127.0.0.1:1/0?foo=bar", "COZY_LIMITS__OWNER_PER_MINUTE": "5"}
    code, _, errors = await command("dev", "--port", "0", folder=tmp_path, **wrong)
    assert code == 2
    assert errors.startswith("error: redis.url is not of the form")
    code, out, errors = await command("doctor", folder=tmp_path, **wrong)
    assert code == 1
    assert "FAIL redis     redis.url is not of the form" in out
    assert "Traceback" not in errors


async def test_a_server_whose_provider_is_down_is_degraded_and_looks_again(tmp_path: Path) -> None:
    variables = {"COZY_MODEL": "", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "k"}
    async with (
        server_process("dev", "--port", "0", folder=tmp_path, **variables) as server,
        httpx2.AsyncClient(timeout=60) as client,
    ):
        health = await client.get(f"{server.url}/health")
        ready = await client.get(f"{server.url}/readyz")
    assert health.json() == {"status": "degraded"}
    assert ready.status_code == 200
    assert "looking again every 30 s" in server.banner


async def test_requests_may_name_the_model_in_force_and_learn_why_not_another(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    """By its name and by its bare id, though `models.allowed` is empty."""
    settings = with_fake(settings_for(tmp_path), fake_openai, SHORT)
    settings = replace(settings, models=replace(settings.models, allowed=()))
    async with running(container_for(settings)) as server, httpx2.AsyncClient(timeout=60) as client:
        listed = (await client.get(f"{server.base_url}/models")).json()
        answers = {
            model: await client.post(
                f"{server.base_url}/chat/completions",
                json={"model": model, "messages": [{"role": "user", "content": "Hi"}]},
            )
            for model in (f"fake/{SHORT}", SHORT, "fake/zzz", "nobody/zzz")
        }
        read = await client.get(f"{server.base_url}/models/fake/zzz")
    assert f"fake/{SHORT}" in [model["id"] for model in listed["data"]]
    assert [answer.status_code for answer in answers.values()] == [200, 200, 404, 404]
    assert "not in `models.allowed`" in answers["fake/zzz"].json()["error"]["message"]
    assert "does not exist" in answers["nobody/zzz"].json()["error"]["message"]
    assert read.status_code == 404
    said, refused = read.json()["error"], answers["fake/zzz"].json()["error"]
    assert (said["message"], said["hint"]) == (refused["message"], refused["hint"])
