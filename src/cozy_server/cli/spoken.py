"""The spoken turn of `cozy demo`: a sentence is said in a call, understood and answered in the same conversation.

The call goes over WebRTC on loopback, by the code of `cozy call`. The recogniser is given a grammar, which the demonstration
tells: without a key it gets most words of free speech wrong, and to show that would show nothing.
"""

from openai import AsyncOpenAI

from cozy_domain.audio import SAMPLE_BYTES, SPEAKING_RATE
from cozy_domain.voice.ports import PlacedCalls
from cozy_server.cli.caller import Heard, Wanted, converse

GRAMMAR = ("What is my name?", "What time is it?", "Good morning.", "Who are you?")
"""All that can be understood."""


async def aloud(client: AsyncOpenAI, text: str) -> bytes:
    """PCM16 at `SPEAKING_RATE`.

    Raises:
        APIError: nothing speaks here, or it failed.
    """
    answer = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
    return answer.content


async def call(calls: PlacedCalls, base_url: str, session: str, question: bytes) -> Heard:
    """
    Raises:
        CozyError: there could be no call, or nothing was understood or answered.
    """
    url = base_url.rstrip("/").removesuffix("/v1")
    try:
        return await converse(calls, Wanted(url, session=session), question)
    finally:
        await calls.aclose()


def seconds(sound: bytes) -> float:
    return len(sound) / SAMPLE_BYTES / SPEAKING_RATE
