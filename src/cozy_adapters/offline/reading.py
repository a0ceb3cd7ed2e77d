"""What stands in a request, as far as the offline model understands it (pure).

The prompt is written for real models (``cozy_domain.context``); this reads the same lines: data between ``<context>`` and
``</context>``, one ``<item>`` each, a line ``now:``, and in the system text a line ``Greeting:`` and one that begins with
"You are" or "你是" and the persona's name.
"""

import re
from html import unescape

import msgspec

from cozy_domain.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    text_of,
)
from cozy_domain.models.request import ModelRequest
from cozy_domain.text import CJK

_GREETING = re.compile(r"^Greeting: *(.+)$", re.MULTILINE)
_PERSONA = re.compile(
    rf"^(?:You are|You're) ([A-Z][\w'’-]*(?: [A-Z][\w'’-]*){{0,2}})(?=[,.!;:]|\s*$| who\b)"
    rf"|^你是\s*(?![一个位名我])([{CJK}·]{{1,4}})(?=[，。！；：,.]|\s*$)",
    re.MULTILINE,
)
_NOW = re.compile(r"^now: *(.+)$", re.MULTILINE)
_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")

LONGEST_QUESTION = 2_000
LONGEST_SENTENCE = 300
MOST_SENTENCES = 1_000
"""What is longer is cut, and the oldest sentences are forgotten: a rule that searches them must not hold up the loop."""


class Ran(msgspec.Struct, frozen=True):
    """A tool that was called in this turn, and what it said."""

    call: ToolCall
    result: str


class Seen(msgspec.Struct, frozen=True):
    """``question`` is what the user said last; ``told`` their earlier sentences, oldest first; ``facts`` come from the
    context; ``first`` is whether nothing was answered before; ``persona`` is its name where the system text gives one."""

    question: str
    told: tuple[str, ...]
    facts: tuple[str, ...]
    ran: tuple[Ran, ...]
    first: bool
    greeting: str | None = None
    persona: str | None = None
    now: str | None = None


def read(request: ModelRequest) -> Seen:
    messages = request.messages
    context = "\n".join(_text(message) for message in messages if _is_context(message))
    system = "\n".join(_text(message) for message in messages if isinstance(message, SystemMessage))
    at = max((i for i, message in enumerate(messages) if _is_said(message)), default=-1)
    before = [_text(message) for message in messages[: max(at, 0)] if _is_said(message)]
    return Seen(
        question=_text(messages[at]).strip()[:LONGEST_QUESTION] if at >= 0 else "",
        told=tuple(sentence for text in before for sentence in sentences(text))[-MOST_SENTENCES:],
        facts=_items(context)[:MOST_SENTENCES],
        ran=_ran(messages[at + 1 :]),
        first=not any(isinstance(message, AssistantMessage) for message in messages[: max(at, 0)]),
        greeting=_found(_GREETING, system),
        persona=_found(_PERSONA, system),
        now=_found(_NOW, context),
    )


def sentences(text: str) -> tuple[str, ...]:
    """Without blanks around them; a dot inside a number or a name ends nothing."""
    return tuple(found[:LONGEST_SENTENCE] for part in _END.split(text) if (found := part.strip()))


def _items(context: str) -> tuple[str, ...]:
    """The texts of all ``<item …>text</item>``: nothing in a text can close it, for it is escaped."""
    opened = (part.rpartition("<item ")[2] for part in context.split("</item>")[:-1])
    return tuple(unescape(part.partition(">")[2]).strip()[:LONGEST_SENTENCE] for part in opened)


def _ran(messages: tuple[Message, ...]) -> tuple[Ran, ...]:
    calls = {
        call.id: call
        for message in messages
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls
    }
    return tuple(
        Ran(calls[message.tool_call_id], _text(message))
        for message in messages
        if isinstance(message, ToolMessage) and message.tool_call_id in calls
    )


def _is_context(message: Message) -> bool:
    return isinstance(message, UserMessage) and _text(message).startswith("<context>")


def _is_said(message: Message) -> bool:
    return isinstance(message, UserMessage) and not _is_context(message)


def _text(message: Message) -> str:
    return text_of(message.content)


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[match.lastindex or 0].strip() if match else None
