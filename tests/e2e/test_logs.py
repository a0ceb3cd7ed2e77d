"""What a server says about its requests, and what it must never say."""

import json
import sqlite3
from pathlib import Path

import httpx2
import yaml

from tests.fixtures.fake_openai import FakeOpenAI
from tests.fixtures.server import Process, command, server_process

PROVIDER = "sk-canary-provider"
BEARER = "canary-of-the-header"
OURS = "cz_canary-of-our-own-key"
QUERY = "canary-of-the-query"
PATH = "canary-of-the-path"
BODY = "canary-of-the-body"
SECRETS = (PROVIDER, BEARER, OURS, QUERY)
"""These have no business in the store either."""
AT_ONCE = {"COZY_SERVER__DRAIN_S": "0"}
"""To stop without a time in which a balancer may notice."""

SCENARIOS = (
    "ok?chunks=2",
    f"status?code=401&text=%73{PROVIDER[1:]}+{BODY}",
    f"status?code=400&text=%73{PROVIDER[1:]}",
    "status?code=429&retry_after=9",
    "status?code=500&body=html",
    "drop",
    "cut",
    "bad-json",
    "error-event",
    "hang",
)


def settings(fake: FakeOpenAI) -> dict[str, object]:
    return {
        "models": {
            "default": f"fake/{SCENARIOS[0]}",
            "allowed": [f"fake/{model}" for model in SCENARIOS],
            "providers": {"fake": {"base_url": fake.base_url, "api_key": "env:FAKE_KEY"}},
            "first_token_s": 1.0,
            "chain_s": 2.0,
            "between_s": 1.0,
        },
        "telemetry": {"access_log": True, "log_level": "debug"},
    }


async def all_that_fails(server: Process) -> str:
    """Every answer's headers and body, as text."""
    answers: list[httpx2.Response] = []
    headers = {"Authorization": f"Bearer {BEARER}"}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
        for model in SCENARIOS:
            for stream in (False, True):
                body = {
                    "model": f"fake/{model}",
                    "stream": stream,
                    "messages": [{"role": "user", "content": BODY}],
                }
                answers.append(await client.post("/v1/chat/completions", json=body))
        odd: list[tuple[str, str, dict[str, object]]] = [
            ("GET", f"/v1/{PATH}?key={QUERY}", {}),
            ("GET", f"/v1/cozy/sessions?user_id={QUERY}&api_key={QUERY}", {}),
            ("GET", f"/v1/cozy/sessions/{PATH}?user_id={QUERY}", {}),
            ("PUT", f"/v1/models/{PATH}", {}),
            ("GET", "/v1/models", {"headers": {"Authorization": f"Bearer {OURS}"}}),
            ("POST", "/v1/chat/completions", {"content": f'{{"model": "{BODY}", "messages": ["{BODY}'}),
            (
                "POST",
                "/v1/chat/completions",
                {"content": f"{BODY}\x00", "headers": {"content-type": "text/plain"}},
            ),
            ("POST", "/v1/chat/completions", {"json": {"model": "default", "messages": BODY, "user": 5}}),
        ]
        for method, address, more in odd:
            answers.append(await client.request(method, address, **more))  # type: ignore[arg-type]
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 405, 502, 503}
    return "\n".join(f"{answer.headers}\n{answer.text}" for answer in answers)


async def test_no_secret_and_nothing_said_reaches_a_log_an_error_or_the_store(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    (tmp_path / "cozy.yaml").write_text(yaml.safe_dump(settings(fake_openai)))
    async with server_process(
        "dev", "--port", "0", folder=tmp_path, COZY_MODEL="", FAKE_KEY=PROVIDER, **AT_ONCE
    ) as server:
        answered = await all_that_fails(server)
        await server.stopped()
    logged = (tmp_path / "stderr").read_text() + server.banner
    assert "request_failed" in logged
    assert "request_served" in logged
    for canary in (*SECRETS, PATH, BODY):
        assert canary not in logged
    assert PROVIDER not in answered
    assert BEARER not in answered
    assert OURS not in answered
    with sqlite3.connect(tmp_path / ".cozy" / "cozy.db") as store:
        stored = "\n".join(store.iterdump())
    store.close()
    assert BODY in stored  # the turns themselves, else this would look in the wrong place
    for secret in SECRETS:
        assert secret not in stored


async def test_serve_writes_a_line_for_each_request_and_dev_does_not(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    async with (
        server_process("dev", "--port", "0", folder=tmp_path / "dev", **AT_ONCE) as server,
        httpx2.AsyncClient(timeout=60) as client,
    ):
        assert (await client.get(f"{server.url}/v1/models")).status_code == 200
        await server.stopped()
    assert "request_served" not in (tmp_path / "dev" / "stderr").read_text()

    _, out, _ = await command("keys", "create", "ours", "--json", "--data", "dev/.cozy", folder=tmp_path)
    token = json.loads(out)["key"]
    folder = {"COZY_DATA": str(tmp_path / "dev" / ".cozy")}
    async with (
        server_process("serve", "--port", "0", folder=tmp_path, **folder, **AT_ONCE) as server,
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client,
    ):
        answer = await client.get(f"{server.url}/v1/models/default?key=secret")
        await server.stopped()  # the line is written after the last byte of the answer
    lines = [
        json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines() if line.startswith("{")
    ]
    (event,) = [line for line in lines if line["event"] == "request_served"]
    assert (event["method"], event["route"], event["status"]) == ("GET", "/v1/models/{model}", 200)
    assert event["request"] == answer.headers["x-request-id"]
    assert event["account"] == "ours"
