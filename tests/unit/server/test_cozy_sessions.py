"""Sessions over HTTP, for their owner and nobody else."""

from typing import Any

import pytest
from litestar.testing import TestClient
from msgspec import UNSET

from cozy_adapters.inmemory.conversations import InMemoryConversations
from cozy_adapters.inmemory.sessions import InMemoryTurnStore
from cozy_domain.access.caller import Caller
from cozy_domain.messages import (
    AssistantMessage,
    AudioPart,
    FilePart,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from cozy_domain.sessions.session import StoredMessage, message_id
from cozy_server.cozy import wire
from cozy_server.cozy.translate import cursor_of, message_out, place_of
from tests.fixtures.turns import BERT, T0, at, closed, opened, session_id, turn_id
from tests.unit.server.scripted_chat import app_with

PATH = "/v1/cozy/sessions"
ONE = f"{PATH}/{session_id(1)}"
AS_ANNA = {"user_id": "anna"}


@pytest.fixture
async def store() -> InMemoryConversations:
    """Anna has sessions 1 to 3 of one turn each, the newest last; Bert has 9."""
    conversations = InMemoryConversations()
    turns = InMemoryTurnStore(conversations)
    for count in (1, 2, 3):
        await turns.open(opened(count, session=count, when=at(count)))
        await turns.close(closed(count, when=at(count + 0.5), title=f"Talk {count}"))
    await turns.open(opened(9, session=9, owner=BERT))
    return conversations


@pytest.fixture
def client(store: InMemoryConversations) -> Any:
    with TestClient(app_with(conversations=store)) as client:
        yield client


def test_an_owner_sees_their_sessions_newest_first(client: Any) -> None:
    body = client.get(PATH, params=AS_ANNA).json()
    assert [item["id"] for item in body["data"]] == [str(session_id(count)) for count in (3, 2, 1)]
    assert (body["object"], body["next"]) == ("list", None)
    assert body["data"][0] == {
        "id": str(session_id(3)),
        "object": "cozy.session",
        "title": "Talk 3",
        "personality_id": "anna",
        "revision": 1,
        "message_count": 2,
        "created_at": int(at(3).timestamp()),
        "last_turn_at": int(at(3).timestamp()),
    }


def test_pages_of_sessions_fit_together(client: Any) -> None:
    first = client.get(PATH, params={**AS_ANNA, "limit": 2}).json()
    second = client.get(PATH, params={**AS_ANNA, "limit": 2, "after": first["next"]}).json()
    assert [item["title"] for item in first["data"] + second["data"]] == ["Talk 3", "Talk 2", "Talk 1"]
    assert second["next"] is None


def test_a_page_that_is_just_full_is_the_last(client: Any) -> None:
    assert client.get(PATH, params={**AS_ANNA, "limit": 3}).json()["next"] is None
    assert client.get(f"{ONE}/messages", params={**AS_ANNA, "limit": 2}).json()["next"] is None


def test_one_session_can_be_read(client: Any) -> None:
    assert client.get(ONE, params=AS_ANNA).json()["title"] == "Talk 1"


def test_messages_come_in_order_and_pages_fit_together(client: Any) -> None:
    whole = client.get(f"{ONE}/messages", params=AS_ANNA).json()
    assert [(item["role"], item["content"]) for item in whole["data"]] == [
        ("user", "hello"),
        ("assistant", "good morning"),
    ]
    assert whole["data"][0] == {
        "id": str(message_id(turn_id(1), 0)),
        "object": "cozy.message",
        "turn_id": str(turn_id(1)),
        "turn_state": "completed",
        "role": "user",
        "content": "hello",
        "created_at": int(at(1).timestamp()),
    }
    first = client.get(f"{ONE}/messages", params={**AS_ANNA, "limit": 1}).json()
    second = client.get(f"{ONE}/messages", params={**AS_ANNA, "limit": 1, "after": first["next"]}).json()
    assert first["data"] + second["data"] == whole["data"]
    assert second["next"] is None


def test_a_session_is_renamed_without_its_outer_spaces(client: Any) -> None:
    answer = client.patch(ONE, params=AS_ANNA, json={"title": "  新标题 "})
    assert (answer.status_code, answer.json()["title"]) == (200, "新标题")
    assert client.get(ONE, params=AS_ANNA).json()["title"] == "新标题"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "title", "missing_required_parameter"),
        ({"title": ""}, "title", "invalid_value"),
        ({"title": "   "}, "title", "invalid_value"),
        ({"title": "x" * 201}, "title", "invalid_value"),
        ({"title": None}, "title", "invalid_type"),
        ({"title": "x", "name": "y"}, "name", "unknown_parameter"),
    ],
)
def test_a_title_is_1_to_200_characters(client: Any, body: Any, param: str, code: str) -> None:
    answer = client.patch(ONE, params=AS_ANNA, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)


@pytest.mark.parametrize("text", [b"a\\u0000", b"\\ud83d", b"a\x00"])
def test_a_title_that_no_store_takes_is_refused_by_name(client: Any, text: bytes) -> None:
    body, headers = b'{"title": "' + text + b'"}', {"content-type": "application/json"}
    answer = client.patch(ONE, params=AS_ANNA, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "title")
    assert client.get(ONE, params=AS_ANNA).json()["title"] == "Talk 1"


@pytest.mark.parametrize("value", ["%FF", "%ED%A0%80", "a%00"])
@pytest.mark.parametrize("name", ["user_id", "after"])
def test_a_query_that_is_no_text_is_refused_by_name(client: Any, name: str, value: str) -> None:
    """Else persons whose ids are different bytes would be one."""
    answer = client.get(f"{PATH}?{name}={value}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


def test_a_deleted_session_is_gone(client: Any) -> None:
    answer = client.delete(ONE, params=AS_ANNA)
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(ONE, params=AS_ANNA).status_code == 404
    assert client.delete(ONE, params=AS_ANNA).status_code == 404
    assert len(client.get(PATH, params=AS_ANNA).json()["data"]) == 2


@pytest.mark.parametrize("name", [str(session_id(9)), str(session_id(77)), "x", "..%2f..", "%00", "a" * 300])
@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("GET", "/messages"), ("PATCH", ""), ("DELETE", "")]
)
def test_what_is_anothers_or_never_was_is_404_with_one_text(
    client: Any, method: str, tail: str, name: str
) -> None:
    body = {"json": {"title": "mine"}} if method == "PATCH" else {}
    answer = client.request(method, f"{PATH}/{name}{tail}", params=AS_ANNA, **body)
    error = answer.json()["error"]
    assert answer.status_code == 404
    if name != "..%2f..":  # two more path segments: no such address
        assert (error["code"], error["message"]) == ("session_not_found", "There is no such session.")
    assert client.get(f"{PATH}/{session_id(9)}", params={"user_id": "bert"}).json()["title"] is None


def test_another_person_of_the_same_account_sees_nothing(client: Any) -> None:
    assert client.get(PATH).json()["data"] == []
    assert client.get(ONE, params={"user_id": "bert"}).status_code == 404


def test_another_account_sees_nothing(store: InMemoryConversations) -> None:
    with TestClient(app_with(conversations=store, caller=Caller("other"))) as stranger:
        assert stranger.get(PATH, params=AS_ANNA).json()["data"] == []
        assert stranger.get(ONE, params=AS_ANNA).status_code == 404


def test_a_key_for_many_must_say_for_whom(store: InMemoryConversations) -> None:
    with TestClient(app_with(conversations=store, caller=Caller("acme", serves_many=True))) as many:
        for method, path in (("GET", PATH), ("GET", ONE), ("GET", f"{ONE}/messages"), ("DELETE", ONE)):
            answer = many.request(method, path)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "user_id")
        assert len(many.get(PATH, params=AS_ANNA).json()["data"]) == 3


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("limit=0", "limit", "invalid_value"),
        ("limit=101", "limit", "invalid_value"),
        ("limit=ten", "limit", "invalid_type"),
        ("limit=1&limit=2", "limit", "invalid_value"),
        ("limt=1", "limt", "unknown_parameter"),
        ("user_id=", "user_id", "invalid_value"),
        (f"user_id={'u' * 257}", "user_id", "invalid_value"),
        ("user_id=a%00", "user_id", "invalid_value"),
    ],
)
def test_a_query_is_read_strictly(client: Any, query: str, param: str, code: str) -> None:
    answer = client.get(f"{PATH}?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)


def test_a_misspelt_parameter_gets_a_suggestion(client: Any) -> None:
    assert client.get(f"{PATH}?limt=1").json()["error"]["hint"] == "Did you mean 'limit'?"


@pytest.mark.parametrize("after", [str(session_id(9)), str(session_id(77)), "x"])
def test_continuing_behind_what_is_not_there_is_404(client: Any, after: str) -> None:
    answer = client.get(PATH, params={**AS_ANNA, "after": after})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "after")


@pytest.mark.parametrize("after", ["1", "a.b", "1.-1", "9" * 16 + ".1", "1.1\n"])
def test_a_cursor_of_another_form_is_refused(client: Any, after: str) -> None:
    answer = client.get(f"{ONE}/messages", params={**AS_ANNA, "after": after})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")


def stored(message: Any) -> StoredMessage:
    return StoredMessage(message_id(turn_id(1), 4), turn_id(1), 7, 4, "waiting", message, T0)


def test_every_kind_of_message_has_a_shape() -> None:
    call = ToolCall("c1", "look", "{}")
    assistant = message_out(stored(AssistantMessage(None, tool_calls=(call,))))
    assert (assistant.role, assistant.content, assistant.turn_state) == ("assistant", None, "waiting")
    assert assistant.tool_calls == (wire.StoredCallOut("c1", wire.FunctionOut("look", "{}")),)
    tool = message_out(stored(ToolMessage("c1", "seen")))
    assert (tool.role, tool.tool_call_id, tool.tool_calls) == ("tool", "c1", UNSET)
    assert message_out(stored(SystemMessage("s"))).role == "system"
    refusal = message_out(stored(AssistantMessage(refusal="no", content=(RefusalPart("no"),))))
    assert (refusal.refusal, refusal.content) == ("no", (wire.RefusalPartOut("no"),))
    parts = (
        TextPart("t"),
        ImagePart("https://x", "low"),
        AudioPart("AA==", "wav"),
        FilePart(file_id="f", filename="n"),
    )
    user = message_out(stored(UserMessage(parts, name="bo")))
    assert user.name == "bo"
    assert user.content == (
        wire.TextPartOut("t"),
        wire.ImagePartOut(wire.ImageOut("https://x", "low")),
        wire.AudioPartOut(wire.AudioOut("wav", "AA==")),
        wire.FilePartOut(wire.FileOut(file_id="f", filename="n")),
    )


def test_a_cursor_leads_back_to_its_place() -> None:
    assert place_of(cursor_of(stored(UserMessage("x")))) == (7, 4)
    assert place_of(None) is None
