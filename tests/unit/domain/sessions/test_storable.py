"""What a store can keep of a turn."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.messages import AssistantMessage, TextPart, ToolCall, UserMessage
from cozy_domain.sessions.storable import storable
from tests.fixtures.turns import closed, opened

ANY_TEXT = st.text(st.characters())
"""Characters and halves of them."""


@given(texts=st.tuples(*[ANY_TEXT] * 4))
def test_whatever_was_said_can_be_encoded(texts: tuple[str, str, str, str]) -> None:
    content, name, arguments, title = texts
    call = ToolCall(name, name, arguments)
    messages = (AssistantMessage(content, (call,)), UserMessage((TextPart(content),), name=name))
    kept = storable(closed(1, messages=messages, title=title, waiting_for=(name,)))
    msgspec.json.encode(kept)
    assert storable(kept) is kept


def test_a_turn_without_halves_is_kept_as_it_is() -> None:
    turn = opened(1, session=1)
    assert storable(turn) is turn


def test_only_halves_are_replaced() -> None:
    turn = opened(1, messages=(UserMessage("a\ud83d"), UserMessage("b")))
    kept = storable(turn)
    assert kept.messages == (UserMessage("a\ufffd"), UserMessage("b"))
    assert msgspec.structs.replace(kept, messages=turn.messages) == turn
