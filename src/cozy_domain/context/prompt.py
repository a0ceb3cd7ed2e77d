"""The prompt of a turn (pure): what was gathered becomes messages that fit the model's window.

The order is S0 platform policy and persona, S1 profile snapshot, S2 summary, S3 history, S4 recall, S5 the turn itself,
S6 the author's post-history text. S0 to S2 are the stable head, and what changes every turn (S4, the time) stands behind
the history, so that a provider's prompt cache holds from turn to turn.

On the wire S0 is one system message; S1 and S2 share one message of the user, framed as data; S4 with the time is another,
in front of the user's own words, which keep a message of their own, byte for byte; S6 is a system message behind them.

A stateless call brings its own history. It is passed on as it is and never cut: it is its owner's, who is told
(``context_length_exceeded``) instead of finding that the character forgot.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Generic, TypeVar

import msgspec

from cozy_domain.context import head, past, recall
from cozy_domain.context.budget import prompt_budget
from cozy_domain.context.bundle import Candidate, ContextBundle, Gathered, Moment, Section, SectionName
from cozy_domain.context.filling import Filling, Rest, fill
from cozy_domain.context.intent import triggered
from cozy_domain.context.past import Exchange, Past
from cozy_domain.errors import InputError
from cozy_domain.messages import Message, SystemMessage, UserMessage, text_of
from cozy_domain.models.ports import TokenCounter
from cozy_domain.models.request import ToolDefinition
from cozy_domain.persona.persona import LoreEntry, Persona, PublishedPersona
from cozy_domain.profile import Profile

T = TypeVar("T")

WINDOW = 32_768
"""Tokens, of a model whose window is unknown (settled question 9)."""
TOOL_FRAME = 12
"""Tokens of a tool's own frame (OpenAI cookbook, counting tokens of tools: 7 for a function, up to 12 with its last)."""


class PromptInput(msgspec.Struct, frozen=True):
    """Everything that decides a prompt.

    ``new``: all messages of a stateless call, the new ones of a call with a session (the user's, or the results that a
    waiting turn asked for). ``system``: the request's system messages, which hold for this turn only; those of a
    stateless call may stay in ``new``. ``reply`` is the ``max_output`` that the caller asked for. ``snapshot`` and
    ``summary`` are the profile and the summary as they were when the epoch began; without a snapshot the profile
    stands with the recall, where a change of it costs no cached head. ``history_from`` is the session's.
    """

    persona: PublishedPersona
    gathered: Gathered
    new: tuple[Message, ...]
    now: Moment
    system: tuple[SystemMessage, ...] = ()
    stateless: bool = False
    tools: tuple[ToolDefinition, ...] = ()
    window: int = WINDOW
    reply: int | None = None
    platform: str = head.PLATFORM
    snapshot: Profile = Profile()
    summary: str = ""
    history_from: int = 0


class _Fixed(msgspec.Struct, frozen=True):
    """What stands in the prompt whatever else does. ``head_hash`` is that of a head without background; ``frame``
    is the recall block without items: it holds the time."""

    system: SystemMessage
    live: tuple[Message, ...]
    post_history: tuple[Message, ...]
    head_hash: str
    frame_tokens: int
    sections: tuple[Section, ...]

    @property
    def tokens(self) -> int:
        return self.frame_tokens + sum(section.tokens for section in self.sections)


def build(given: PromptInput, tokens: TokenCounter) -> ContextBundle:
    """The prompt, and the account of what stands in it. Never more tokens than the window leaves for it.

    Raises:
        InputError: ``context_length_exceeded``, what must stand in the prompt does not fit.
    """
    persona = given.persona.persona
    before, live = _split(given)
    history = Past(before, tuple(tokens.count_messages(exchange.messages) for exchange in before))
    fixed = _fixed(given, live, tokens)
    limit = prompt_budget(given.window, persona.budgets.reply, given.reply)
    if fixed.tokens > limit:
        raise _too_long(fixed.tokens, max(0, limit))
    background = head.background_of(given.snapshot, given.summary, persona.budgets.profile, tokens)
    rest = Rest(
        candidates=_candidates(given, (*history.messages, *live), tokens),
        history=history,
        present=recall.flat("\n".join(text_of(message.content) for message in live)),
        background_tokens=tokens.count_messages(head.data_messages(background)),
    )
    return _bundle(given, fixed, rest, background, fill(persona, rest, limit - fixed.tokens))


def _split(given: PromptInput) -> tuple[tuple[Exchange, ...], tuple[Message, ...]]:
    """The exchanges of the past, and the present one: the new messages, behind the waiting turn that they go on with."""
    if given.stateless:
        return (), given.new
    before, present = past.resumed(past.exchanges(given.gathered.history), given.new)
    return tuple(Exchange(it.last, past.answered(it.messages)) for it in before), past.answered(present)


class _Standing(msgspec.Struct, frozen=True):
    """What a persona's prompt has in every turn; ``head_hash`` as in `_Fixed`."""

    system: SystemMessage
    post_history: tuple[Message, ...]
    platform: Section
    persona: Section
    after: Section
    head_hash: str


class _Same(Generic[T]):
    """Stands for ``it`` in the key of a memo: equal to what has the same ``key``, which is cheaper to compare."""

    def __init__(self, it: T, key: Hashable) -> None:
        self.it = it
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _standing(given: PromptInput, tokens: TokenCounter) -> _Standing:
    """Remembered, because it takes half of all the work and changes with the persona alone. What is remembered keeps the
    persona and the counter alive, so that their identity is a key."""
    persona, tools = given.persona, given.tools
    return _stood(
        _Same(persona, id(persona)),
        _Same(tools, msgspec.json.encode(tools)),
        _Same(tokens, id(tokens)),
        given.platform,
    )


@lru_cache(256)
def _stood(
    speaker: _Same[PublishedPersona],
    offered: _Same[tuple[ToolDefinition, ...]],
    counter: _Same[TokenCounter],
    platform: str,
) -> _Standing:
    persona, tools, tokens = speaker.it.persona, offered.it, counter.it
    system = head.system_message(platform, persona)
    after = head.filled(persona.prompt.post_history, persona)
    post_history = (SystemMessage(content=after),) if after.strip() else ()
    whole = tokens.count_messages((system,))
    policy = min(whole, tokens.count(platform))
    schemas = _tool_tokens(tools, tokens)
    described = (head.persona_text(persona), tools)
    return _Standing(
        system=system,
        post_history=post_history,
        platform=Section("platform", policy, 1, _hash(platform)),
        persona=Section("persona", whole - policy + schemas, 1 + len(tools), _hash(described)),
        after=_section("post_history", post_history, tokens),
        head_hash=head.head_hash(speaker.it, (system,), tools),
    )


def _fixed(given: PromptInput, live: tuple[Message, ...], tokens: TokenCounter) -> _Fixed:
    standing = _standing(given, tokens)
    return _Fixed(
        system=standing.system,
        live=(*given.system, *live),
        post_history=standing.post_history,
        head_hash=standing.head_hash,
        frame_tokens=tokens.count_messages((UserMessage(content=recall.block((), given.now)),)),
        sections=(
            standing.platform,
            standing.persona,
            _section("user", (*given.system, *live), tokens),
            standing.after,
        ),
    )


def _candidates(given: PromptInput, said: Sequence[Message], tokens: TokenCounter) -> tuple[Candidate, ...]:
    """What the engines found, the lore that was mentioned, and the profile as far as the head does not show it."""
    persona = given.persona.persona
    slots = [slot for slot in given.gathered.profile.slots if slot not in given.snapshot.slots]
    return (
        *given.gathered.candidates,
        *(_lore_item(entry, persona, tokens) for entry in triggered(persona.knowledge.lore, said)),
        *(head.slot_item(slot, tokens, persona.budgets.profile.priority) for slot in slots),
    )


def _bundle(
    given: PromptInput, fixed: _Fixed, rest: Rest, background: Sequence[Candidate], filling: Filling
) -> ContextBundle:
    data = head.data_messages(background if filling.with_background else ())
    shown = rest.history.without_oldest(filling.cut)
    block = UserMessage(content=recall.block([recall.line(item) for item in filling.items], given.now))
    at = past.last_said(fixed.live)
    sections = (
        *fixed.sections[:2],
        *_background_sections(background, rest.background_tokens if filling.with_background else 0),
        Section("history", shown.tokens, len(shown.sizes), _hash(shown.messages), dropped=filling.cut),
        _recall_section(fixed, rest, filling, block),
        *fixed.sections[2:],
    )
    return ContextBundle(
        messages=(
            fixed.system,
            *data,
            *shown.messages,
            *fixed.live[:at],
            block,
            *fixed.live[at:],
            *fixed.post_history,
        ),
        sections=sections,
        prompt_tokens=sum(section.tokens for section in sections),
        head_hash=head.head_hash(given.persona, (fixed.system, *data), given.tools)
        if data
        else fixed.head_hash,
        history_from=rest.history.exchanges[filling.cut - 1].last + 1 if filling.cut else given.history_from,
        degraded=tuple(sorted(given.gathered.degraded, key=lambda it: (it.engine, it.reason))),
        used=tuple(item.origin for item in filling.items),
    )


def _recall_section(fixed: _Fixed, rest: Rest, filling: Filling, block: UserMessage) -> Section:
    return Section(
        "recall",
        fixed.frame_tokens + sum(item.tokens for item in filling.items),
        len(filling.items),
        _hash(block),
        dropped=len(rest.candidates) - len(filling.items),
    )


def _background_sections(background: Sequence[Candidate], tokens: int) -> tuple[Section, Section]:
    """Snapshot and summary share a message, which is counted once: the summary by its own length, the rest to the other."""
    shown = background if tokens else ()
    slots = [recall.line(item) for item in shown if item.source == "profile"]
    told = [recall.line(item) for item in shown if item.source == "summary"]
    summary = min(tokens, sum(item.tokens for item in shown if item.source == "summary")) if slots else tokens
    return (
        Section("profile", tokens - summary, len(slots), _hash(slots)),
        Section("summary", summary, len(told), _hash(told)),
    )


def _lore_item(entry: LoreEntry, persona: Persona, tokens: TokenCounter) -> Candidate:
    told = Candidate(
        source="lore",
        id=entry.id,
        text=head.filled(entry.text, persona),
        score=1.0,
        tokens=0,
        origin=f"{persona.id}#{entry.id}",
        pinned=entry.constant,
        priority=persona.budgets.knowledge.priority,
    )
    return recall.counted(told, tokens)


def _too_long(needed: int, limit: int) -> InputError:
    return InputError(
        f"the messages need {needed} tokens, and the model's window leaves {limit} for the prompt",
        code="context_length_exceeded",
        param="messages",
        hint="Send fewer or shorter messages, or choose a model with a larger context window.",
    )


def _section(name: SectionName, messages: Sequence[Message], tokens: TokenCounter) -> Section:
    return Section(
        name, tokens.count_messages(messages) if messages else 0, len(messages), _hash(tuple(messages))
    )


def _tool_tokens(tools: Sequence[ToolDefinition], tokens: TokenCounter) -> int:
    """In one call of the counter, which bounds the work of a call: tools may be many and large."""
    described = (f"{it.name}\n{it.description}\n{bytes(it.parameters).decode()}" for it in tools)
    return TOOL_FRAME * len(tools) + tokens.count("\n".join(described))


def _hash(value: object) -> str:
    return sha256(msgspec.json.encode(value)).hexdigest()
