"""A thousand hostile offers and three hundred calls leave no session, socket, task or thread behind."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from cozy_adapters.clock import SystemClock
from cozy_adapters.webrtc.connections import WebRtcConnections
from cozy_domain.errors import InputError
from cozy_domain.voice.ports import HUNG_UP
from tests.fixtures.calls import Listener, spoken, until
from tests.fixtures.offers import mutants
from tests.fixtures.webrtc import PlainCaller, sockets

OFFERS = 1_000
CALLS = 300
AT_ONCE = 5


@pytest.fixture
async def connections() -> AsyncIterator[WebRtcConnections]:
    made = WebRtcConnections(SystemClock())
    yield made
    await made.aclose()


async def test_a_thousand_hostile_offers_leave_nothing_behind(connections: WebRtcConnections) -> None:
    before = (sockets(), len(asyncio.all_tasks()), threading.active_count())
    answered = refused = 0
    for number, offer in enumerate(mutants(OFFERS, seed=11)):
        try:
            made = await connections.answer(str(number), offer)
        except InputError:
            refused += 1
        else:
            answered += 1
            await made.peer.close()
        assert connections.open == 0
    assert answered > OFFERS // 10
    assert refused > OFFERS // 10
    await until(lambda: (sockets(), len(asyncio.all_tasks()), threading.active_count()) == before)


async def test_three_hundred_calls_leave_nothing_behind(connections: WebRtcConnections) -> None:
    """Their own program hangs up, we do, or it is gone in the middle of a word."""
    before = (sockets(), len(asyncio.all_tasks()))
    for first in range(0, CALLS, AT_ONCE):
        await asyncio.gather(*(talk(connections, first + it) for it in range(AT_ONCE)))
    assert connections.open == 0
    await until(lambda: (sockets(), len(asyncio.all_tasks())) == before)


async def talk(connections: WebRtcConnections, number: int) -> None:
    caller, listener = PlainCaller(), Listener()
    answered = await connections.answer(str(number), await caller.offer())
    answered.peer.listen(listener)
    await caller.accept(answered.sdp)
    await until(lambda: listener.times("connected") == 1, 30)
    answered.peer.play(spoken(0.1))
    await until(lambda: listener.left > 0, 30)
    if number % 3 == 0:
        await answered.peer.close()
    await caller.hang_up()
    if number % 3 != 0:
        await until(lambda: listener.ending is not None, 30)
        assert listener.ending == HUNG_UP
