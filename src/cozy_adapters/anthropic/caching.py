"""Where the prompt may be cached (pure).

The API caches the bytes up to a block that carries a breakpoint, in the order tools, system, messages; at most four
breakpoints, and the price of writing is a quarter above that of reading anew (Anthropic, "Prompt caching", read 2026-11).
Three are set: behind the tools, behind the persona (the first system message, the same for a whole revision), and behind the
last words of the assistant before what is asked now. What changes every turn, recall and time, stands behind those.
"""

from cozy_adapters.anthropic.content import Blocks, Turn
from cozy_domain.messages import AssistantMessage, Message, UserMessage


def mark(tools: Blocks, system: Blocks, said: list[Turn], messages: tuple[Message, ...]) -> None:
    """Sets the breakpoints. ``said`` are the turns of ``messages``."""
    for blocks in (tools[-1:], system[:1], _history(said, messages)[-1:]):
        for block in blocks:
            block["cache_control"] = {"type": "ephemeral"}


def _history(said: list[Turn], messages: tuple[Message, ...]) -> Blocks:
    """The blocks of the last turn of the past; empty at the beginning of a conversation."""
    asked = max((i for i, it in enumerate(messages) if isinstance(it, UserMessage)), default=0)
    past = [i for i, it in enumerate(messages[:asked]) if isinstance(it, AssistantMessage)]
    end = past[-1] + 1 if past else 0
    before = [turn for turn in said if turn.role == "assistant" and turn.end <= end]
    return before[-1].blocks if before else []
