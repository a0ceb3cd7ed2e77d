"""The spoken turn of `cozy demo`: a sentence is said aloud and understood, and what is answered to it is said.

All of it goes over the server's own surfaces. The recogniser is given a grammar, which the demonstration tells: without a
key it gets most words of free speech wrong, and to show that would show nothing.
"""

import asyncio

import msgspec
from openai import AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE

GRAMMAR = ("What is my name?", "What time is it?", "Good morning.", "Who are you?")
"""All that can be understood."""
LIMIT_S = 30.0
"""To the end of what was understood. A recogniser that was never used starts in a second or two."""
PIECE_BYTES = SPEAKING_RATE * SAMPLE_BYTES // 5
QUIET = bytes(SPEAKING_RATE * SAMPLE_BYTES)
"""A second of silence, before and after the sentence: its end is found by it."""


class _Told(msgspec.Struct, frozen=True):
    """What the socket tells, of which only finals and errors count."""

    type: str
    text: str = ""
    error: dict[str, object] | None = None


class NotUnderstoodError(Exception):
    """The socket refused, or ended before it told what was said; its text says why."""


async def aloud(client: AsyncOpenAI, text: str) -> bytes:
    """PCM16 at `SPEAKING_RATE`.

    Raises:
        APIError: nothing speaks here, or it failed.
    """
    answer = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
    return answer.content


async def understood(base_url: str, sound: bytes) -> str:
    """The sentence of `GRAMMAR` that was said, or nothing; words as they come of a recogniser that takes no grammar.

    Raises:
        NotUnderstoodError: nothing listens here, or it failed.
    """
    address = f"ws{base_url.removeprefix('http')}/audio/transcriptions/stream"
    start = {"type": "start", "rate": SPEAKING_RATE, "language": "en", "phrases": GRAMMAR}
    whole = QUIET + sound + QUIET
    try:
        async with connect(address, open_timeout=LIMIT_S) as socket:
            await socket.send(msgspec.json.encode(start).decode())
            for at in range(0, len(whole), PIECE_BYTES):
                await socket.send(whole[at : at + PIECE_BYTES])
            await socket.send('{"type": "stop"}')
            async with asyncio.timeout(LIMIT_S):
                return await _finals(socket)
    except (ConnectionClosed, OSError, TimeoutError) as error:
        raise NotUnderstoodError(f"{type(error).__name__}: {error}") from None


async def _finals(socket: ClientConnection) -> str:
    said: list[str] = []
    while (told := msgspec.json.decode(await socket.recv(), type=_Told)).type != "done":
        if told.error is not None:
            raise NotUnderstoodError(str(told.error.get("message")))
        if told.type == "transcript_final":
            said.append(told.text)
    return " ".join(said).strip()


def seconds(sound: bytes) -> float:
    return len(sound) / SAMPLE_BYTES / SPEAKING_RATE
