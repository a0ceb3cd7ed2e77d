"""Errors on the wire: every class has a place, every code has words, nothing leaks."""

import ast
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from litestar import Litestar, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.testing import TestClient

from cozy_domain import errors
from cozy_domain.errors import (
    AccessError,
    ConfigError,
    CozyError,
    InputError,
    LimitError,
    MissingError,
    ProviderOverloadedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    StorageUnavailableError,
)
from cozy_server import codes
from cozy_server.cli.app import app as cli
from cozy_server.codes import CODES
from cozy_server.problems import EXCEPTION_HANDLERS, TABLE, Stamp, errors_page, note_failure, problem_of

ROOT = Path(__file__).parents[3]


class HandWoundClock:
    def __init__(self) -> None:
        self.ns = 0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic_ns(self) -> int:
        self.ns += 2_000_000
        return self.ns


class CountedIds:
    def __init__(self) -> None:
        self.count = 0

    def new(self) -> UUID:
        self.count += 1
        return UUID(int=self.count)


def all_errors() -> list[type[CozyError]]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CozyError)]
    assert len(found) > 15
    return found


def is_an_error(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id.endswith("Error")


@get("/number", sync_to_thread=False)
def number(of: FromQuery[int]) -> int:
    return of


@get("/raise/{name:str}", sync_to_thread=False)
def raising(name: FromPath[str]) -> None:
    raise {"config": ConfigError("/secret/cozy.yaml:3 is wrong"), "crash": ZeroDivisionError("secret")}[name]


@post("/echo", sync_to_thread=False)
def echo(data: JSONBody[dict[str, int]]) -> dict[str, int]:
    return data


@pytest.fixture
def client() -> Any:
    app = Litestar(
        [number, raising, echo, errors_page],
        exception_handlers=dict(EXCEPTION_HANDLERS),
        logging_config=None,
        request_max_body_size=100,
    )
    with TestClient(Stamp(app, CountedIds(), HandWoundClock())) as client:
        yield client


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_class_has_a_row_and_its_code_has_words(kind: type[CozyError]) -> None:
    assert kind in TABLE
    assert kind.default_code in CODES


def test_every_code_that_the_source_names_has_words() -> None:
    named = {
        keyword.value.value
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and is_an_error(node)
        for keyword in node.keywords
        if keyword.arg == "code"
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }
    assert "idempotency_key_reused" in named
    assert named - set(CODES) == set()


def test_codes_of_the_table_have_words() -> None:
    assert {code for row in TABLE.values() for code in row.by_code} <= set(CODES)


def test_every_text_is_there_in_both_languages() -> None:
    for code in CODES.values():
        assert all((code.en.cause, code.en.hint, code.zh.cause, code.zh.hint)), code
        assert code.en.cause.isascii()
        assert not code.zh.cause.isascii()


def test_every_command_that_a_text_names_exists() -> None:
    groups = {info.name: info.typer_instance for info in cli.registered_groups}
    commands = {(it.name or it.callback.__name__) for it in cli.registered_commands if it.callback}
    commands |= {
        f"{group} {it.name}" for group, app in groups.items() if app for it in app.registered_commands
    }
    named = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"[`'\u4e00-\u9fff；，] ?cozy ([a-z]+(?: [a-z]+)?)", path.read_text())
    }
    words = {word for word in named if word in commands or word.split()[0] in commands}
    assert {"dev", "keys create", "config show"} <= words
    assert named - words - set(groups) == set()


def test_the_reference_of_errors_is_what_the_code_says() -> None:
    assert (ROOT / "docs/reference/errors.md").read_text() == codes.markdown()


def test_the_body_has_openais_four_keys_and_ours() -> None:
    problem = problem_of(
        MissingError("No.", code="model_not_found", param="model", hint="Hm."), request="req_1"
    )
    assert problem.status == 404
    assert msgspec.json.decode(problem.body) == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
            "hint": "Hm.",
            "doc_url": "/docs/errors#model_not_found",
            "request_id": "req_1",
        }
    }


def test_chinese_readers_get_chinese_words_and_the_same_code() -> None:
    error = problem_of(InputError("No 'x'.", code="invalid_json"), request=None, language="zh").error
    assert error.code == "invalid_json"
    assert error.message == "请求体不是可接受的 JSON。（No 'x'.）"
    assert error.hint.startswith("请发送")


def test_a_missing_key_is_401_without_a_code_and_a_wrong_one_has_it() -> None:
    missing = problem_of(AccessError("No key.", code="missing_api_key"), request=None)
    wrong = problem_of(AccessError("No.", code="invalid_api_key"), request=None)
    assert (missing.status, missing.error.code) == (401, None)
    assert (wrong.status, wrong.error.code) == (401, "invalid_api_key")


def test_a_rate_limit_says_when_and_a_spent_budget_says_never() -> None:
    rate = problem_of(LimitError("Slow.", retry_after_s=1.2), request=None)
    spent = problem_of(LimitError("Spent.", retry_after_s=9, code="insufficient_quota"), request=None)
    assert (rate.status, rate.error.type) == (429, "requests")
    assert rate.headers == {"retry-after": "2", "retry-after-ms": "1200"}
    assert (spent.status, spent.error.type) == (429, "insufficient_quota")
    assert spent.headers == {"x-should-retry": "false"}


def test_what_was_retried_or_billed_is_not_sent_again() -> None:
    retried = ProviderUnavailableError("Down.", provider="p")
    later = ProviderOverloadedError("Busy.", provider="p", retry_after_s=3)
    billed = ProviderOverloadedError("Busy.", provider="p", retry_after_s=3, billed=True)
    assert problem_of(retried, request=None).headers == {"x-should-retry": "false"}
    assert "x-should-retry" not in problem_of(later, request=None).headers
    assert problem_of(billed, request=None).headers["x-should-retry"] == "false"
    later.retried = True
    assert problem_of(later, request=None).headers["x-should-retry"] == "false"


def test_a_store_that_is_away_is_503_with_a_time() -> None:
    problem = problem_of(StorageUnavailableError("host db:5432"), request=None)
    assert (problem.status, problem.headers) == (503, {"retry-after": "2", "retry-after-ms": "2000"})
    assert "5432" not in problem.error.message


def refused(about: Literal["credential", "model", "request"], code: str | None) -> ProviderRefusedError:
    return ProviderRefusedError("'top_k' is too large.", provider="p", about=about, code=code, param="top_k")


@pytest.mark.parametrize("code", ["invalid_value", "context_length_exceeded", "code_of_theirs", "400", None])
def test_what_a_provider_minds_about_the_request_is_the_callers_to_mend(code: str | None) -> None:
    problem = problem_of(refused("request", code), request=None)
    assert (problem.status, problem.error.type) == (400, "invalid_request_error")
    assert (problem.error.message, problem.error.param) == ("'top_k' is too large.", "top_k")


@pytest.mark.parametrize("about", ["credential", "model"])
@pytest.mark.parametrize("code", ["invalid_api_key", "invalid_value", "model_not_found", None])
def test_what_a_provider_minds_about_us_is_not_the_callers(
    about: Literal["credential", "model"], code: str | None
) -> None:
    problem = problem_of(refused(about, code), request=None)
    assert (problem.status, problem.error.type) == (502, "server_error")


@pytest.mark.parametrize("code", ["invalid_api_key", "permission_denied", "code_of_theirs", None])
def test_a_caller_is_not_told_that_their_key_is_wrong_when_ours_is(code: str | None) -> None:
    error = problem_of(refused("credential", code), request=None).error
    assert error.code == "provider_credential_refused"


def test_a_spent_budget_at_the_provider_is_429_and_not_tried_again() -> None:
    problem = problem_of(refused("credential", "insufficient_quota"), request=None)
    assert (problem.status, problem.error.type, problem.error.code) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert problem.headers == {"x-should-retry": "false"}


@given(code=st.text(min_size=1), about=st.sampled_from(("credential", "model", "request")))
def test_a_code_that_only_the_provider_knows_never_goes_out(
    code: str, about: Literal["credential", "model", "request"]
) -> None:
    assume(code not in CODES)
    error = problem_of(refused(about, code), request=None).error
    told = "provider_credential_refused" if about == "credential" else "provider_refused"
    assert (error.code, error.doc_url) == (told, f"/docs/errors#{told}")


@pytest.mark.parametrize("about", ["credential", "model", "request"])
def test_a_providers_words_are_not_logged(
    about: Literal["credential", "model", "request"], caplog: pytest.LogCaptureFixture
) -> None:
    error = refused(about, "code_of_theirs")
    with caplog.at_level(logging.DEBUG):
        note_failure(error, problem_of(error, request="req_1"))
    told = [record.__dict__ for record in caplog.records]
    assert "top_k" not in str(told)
    assert "code_of_theirs" not in str(told)
    code = {"credential": "provider_credential_refused", "model": "provider_refused"}.get(about)
    assert [(it["request"], it["code"], it["provider"], it["status"]) for it in told] == (
        [("req_1", code, "p", 502)] if code else []
    )


def test_the_reason_of_a_failing_store_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    error = StorageUnavailableError("host db:5432")
    with caplog.at_level(logging.WARNING):
        note_failure(error, problem_of(error, request="req_1"))
    assert [record.__dict__["reason"] for record in caplog.records] == ["host db:5432"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "param"),
    [
        ("GET", "/nowhere", 404, "unknown_url", None),
        ("POST", "/number", 405, "method_not_supported", None),
        ("GET", "/number", 400, "invalid_value", "of"),
        ("GET", "/number?of=x", 400, "invalid_value", "of"),
        ("GET", "/raise/config", 500, "config_error", None),
        ("GET", "/raise/crash", 500, "server_error", None),
    ],
)
def test_frameworks_errors_have_the_same_shape(
    client: Any, method: str, path: str, status: int, code: str, param: str | None
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "hint", "doc_url", "request_id"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


def test_a_body_that_litestar_refuses_is_413_in_our_shape(client: Any) -> None:
    answer = client.post("/echo", json={"a" * 200: 1})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_a_crash_is_logged_under_the_requests_id(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = client.get("/raise/crash")
    record = next(record for record in caplog.records if record.message == "request_crashed")
    assert record.__dict__["request"] == answer.headers["x-request-id"]
    assert record.exc_info is not None


def test_every_answer_carries_an_id_and_a_time(client: Any) -> None:
    answer = client.get("/number?of=3")
    assert answer.headers["x-request-id"] == f"req_{UUID(int=1).hex}"
    assert answer.headers["openai-processing-ms"] == "2"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("mine-1", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("\x1b[31m", False)],
)
def test_a_callers_own_request_id_is_kept_when_harmless(client: Any, given: str, kept: bool) -> None:
    answer = client.get("/number?of=3", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept


@pytest.mark.parametrize(
    ("header", "chinese"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", True),
        ("zh", True),
        ("zh, en", True),
        ("en, zh", False),
        ("en-US,en;q=0.9,zh;q=0.8", False),
        ("fr", False),
        ("", False),
        ("zh;q=0", False),
        ("zh;q=x,;;=", False),
    ],
)
def test_the_language_is_the_one_ranked_first(client: Any, header: str, chinese: bool) -> None:
    error = client.get("/nowhere", headers={"accept-language": header}).json()["error"]
    assert error["message"].startswith("该地址不存在") is chinese
    assert error["code"] == "unknown_url"


def test_the_page_of_errors_has_an_anchor_for_every_code(client: Any) -> None:
    page = client.get("/docs/errors").text
    assert all(f"id='{code}'" in page for code in CODES)
