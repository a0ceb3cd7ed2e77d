"""Strangers cannot hold more than some sockets."""

import pytest

from cozy_domain.errors import LimitError
from cozy_server.fastrtc.waiting import WaitingRoom


def test_an_address_has_some_places_and_all_together_have_some() -> None:
    room = WaitingRoom(most=3, each=2)
    with room.place("a"), room.place("a"):
        with pytest.raises(LimitError), room.place("a"):
            pass
        with room.place("b"):
            assert room.taken == 3
            with pytest.raises(LimitError) as refusal, room.place("c"):
                pass
            assert refusal.value.code == "server_overloaded"
        with room.place("c"):
            assert room.taken == 3
    assert room.taken == 0


def test_whoever_leaves_for_whatever_reason_frees_his_place() -> None:
    room = WaitingRoom(most=1, each=1)
    for _ in range(3):
        with pytest.raises(KeyError), room.place("a"):
            raise KeyError
    assert room.taken == 0
    assert not room._by_address
