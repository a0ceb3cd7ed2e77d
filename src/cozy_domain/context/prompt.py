"""The prompt of a turn (pure): what was gathered becomes messages that fit the model's window.

The order is S0 platform policy and persona, S1 profile snapshot, S2 summary, S3 history, S4 recall, S5 the turn itself,
S6 the author's post-history text. S0 to S2 are the stable head, and what changes every turn (S4, the time) stands behind
the history, so that a provider's prompt cache holds from turn to turn.

On the wire S0 is one system message; S1 and S2 share one message of the user, framed as data; S4 with the time is another,
in front of the user's own words, which keep a message of their own, byte for byte; S6 is a system message behind them.

A stateless call brings its own history. It is passed on as it is and never cut: it is its owner's, who is told
(``context_length_exceeded``) instead of finding that the character forgot.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from cozy_domain.context import head, past, recall
from cozy_domain.context.budget import Demand, Purse, allot, keep_newest, keep_pinned, prompt_budget, spend
from cozy_domain.context.bundle import Candidate, ContextBundle, Gathered, Moment, Section, SectionName
from cozy_domain.context.intent import triggered
from cozy_domain.errors import InputError
from cozy_domain.messages import Message, SystemMessage, ToolMessage, UserMessage, text_of
from cozy_domain.models.ports import TokenCounter
from cozy_domain.models.request import ToolDefinition
from cozy_domain.persona.persona import Budget, LoreEntry, Persona, PublishedPersona
from cozy_domain.profile import Profile

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
    """What stands in the prompt whatever else does. ``frame`` is the recall block without items: it holds the time."""

    head: tuple[Message, ...]
    live: tuple[Message, ...]
    post_history: tuple[Message, ...]
    frame_tokens: int
    sections: tuple[Section, ...]

    @property
    def tokens(self) -> int:
        return self.frame_tokens + sum(section.tokens for section in self.sections)


class _Past(msgspec.Struct, frozen=True):
    """Exchanges before the present one, each with its tokens."""

    exchanges: tuple[past.Exchange, ...]
    sizes: tuple[int, ...]

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(message for exchange in self.exchanges for message in exchange.messages)


def build(given: PromptInput, tokens: TokenCounter) -> ContextBundle:
    """The prompt, and the account of what stands in it. Never more tokens than the window leaves for it.

    Raises:
        InputError: ``context_length_exceeded``, what must stand in the prompt does not fit.
    """
    before, live = _split(given)
    history = _Past(before, tuple(tokens.count_messages(exchange.messages) for exchange in before))
    limit = prompt_budget(given.window, given.persona.persona.budgets.reply, given.reply)
    fixed = _fixed(given, live, limit, tokens)
    candidates = _candidates(given, (*history.messages, *live), tokens)
    chosen, cut = _fill(given.persona.persona, candidates, history, live, limit - fixed.tokens)
    return _bundle(given, fixed, history, cut, chosen, len(candidates) - len(chosen))


def _split(given: PromptInput) -> tuple[tuple[past.Exchange, ...], tuple[Message, ...]]:
    """The exchanges of the past, and the present one: the new messages, behind the waiting turn that they go on with."""
    if given.stateless:
        return (), given.new
    before = past.exchanges(given.gathered.history)
    present = given.new
    if before and past.goes_on(given.new):
        present = before[-1].messages + given.new
        before = before[:-1]
    whole = tuple(past.Exchange(it.seq, past.answered(it.messages)) for it in before)
    return whole, past.answered(present)


def _fixed(given: PromptInput, live: tuple[Message, ...], limit: int, tokens: TokenCounter) -> _Fixed:
    """With the profile snapshot and the summary, or without them when there is no room."""
    profile = given.persona.persona.budgets.profile
    background = head.background_of(given.snapshot, given.summary, profile, tokens)
    whole = _mandatory(given, live, background, tokens)
    if whole.tokens > limit:
        whole = _mandatory(given, live, (), tokens)
    if whole.tokens > limit:
        raise InputError(
            f"the messages need {whole.tokens} tokens, and the model's window leaves {max(0, limit)} for the prompt",
            code="context_length_exceeded",
            param="messages",
            hint="Send fewer or shorter messages, or choose a model with a larger context window.",
        )
    return whole


def _mandatory(
    given: PromptInput, live: tuple[Message, ...], background: tuple[Candidate, ...], tokens: TokenCounter
) -> _Fixed:
    persona = given.persona.persona
    messages = head.head_messages(given.platform, persona, background)
    after = head.filled(persona.prompt.post_history, persona)
    post_history = (SystemMessage(content=after),) if after.strip() else ()
    frame = UserMessage(content=recall.block((), given.now))
    return _Fixed(
        head=messages,
        live=(*given.system, *live),
        post_history=post_history,
        frame_tokens=tokens.count_messages((frame,)),
        sections=(
            *_head_sections(given, messages, background, tokens),
            _section("user", (*given.system, *live), tokens),
            _section("post_history", post_history, tokens),
        ),
    )


def _head_sections(
    given: PromptInput, messages: Sequence[Message], background: Sequence[Candidate], tokens: TokenCounter
) -> tuple[Section, ...]:
    """Platform policy and persona share a message, snapshot and summary the other: each is counted once."""
    system = tokens.count_messages(messages[:1])
    policy = min(system, tokens.count(given.platform))
    schemas = sum(_tool_tokens(tool, tokens) for tool in given.tools)
    data = tokens.count_messages(messages[1:])
    told = min(data, sum(item.tokens for item in background if item.source == "summary"))
    persona = (head.persona_text(given.persona.persona), given.tools)
    slots = [recall.line(item) for item in background if item.source == "profile"]
    return (
        Section("platform", policy, 1, _hash(given.platform)),
        Section("persona", system - policy + schemas, 1 + len(given.tools), _hash(persona)),
        Section("profile", data - told, len(slots), _hash(slots)),
        Section("summary", told, int(told > 0), _hash(given.summary)),
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


def _fill(
    persona: Persona, candidates: Sequence[Candidate], history: _Past, live: Sequence[Message], room: int
) -> tuple[tuple[Candidate, ...], int]:
    """The recalled items, in the order of the prompt, and how many exchanges are cut off.

    Pinned items come right after the history's floor and before everything that depends on what else was found.
    """
    budgets = persona.budgets
    purses = _purses(persona)
    kept_free = min(budgets.history.floor, sum(history.sizes))
    pins = recall.distinct([item for item in candidates if item.pinned])
    pinned = keep_pinned(pins, room - kept_free, purses)
    loose = [item for item in candidates if not item.pinned]
    loose = [item for item in recall.distinct((*pinned, *loose)) if not item.pinned]
    room -= sum(item.tokens for item in pinned)
    cut = keep_newest(history.sizes, _history_share(budgets.history, history, loose, purses, room))
    shown = _Past(history.exchanges[cut:], history.sizes[cut:])
    fresh = recall.unseen(loose, recall.flat(_words((*shown.messages, *live))))
    chosen = (*pinned, *spend(fresh, pinned, room - sum(shown.sizes), purses))
    return recall.in_order(chosen), cut


def _bundle(
    given: PromptInput,
    fixed: _Fixed,
    history: _Past,
    cut: int,
    chosen: tuple[Candidate, ...],
    dropped: int,
) -> ContextBundle:
    shown = _Past(history.exchanges[cut:], history.sizes[cut:])
    block = UserMessage(content=recall.block([recall.line(item) for item in chosen], given.now))
    present = past.last_said(fixed.live)
    recalled = fixed.frame_tokens + sum(item.tokens for item in chosen)
    sections = (
        *fixed.sections[:4],
        Section("history", sum(shown.sizes), len(shown.sizes), _hash(shown.messages), dropped=cut),
        Section("recall", recalled, len(chosen), _hash(block), dropped=dropped),
        *fixed.sections[4:],
    )
    return ContextBundle(
        messages=(
            *fixed.head,
            *shown.messages,
            *fixed.live[:present],
            block,
            *fixed.live[present:],
            *fixed.post_history,
        ),
        sections=sections,
        prompt_tokens=sum(section.tokens for section in sections),
        head_hash=head.head_hash(given.persona, fixed.head, given.tools),
        history_from=_history_from(given, history, cut),
        degraded=tuple(sorted(given.gathered.degraded, key=lambda it: (it.engine, it.reason))),
        used=tuple(item.origin for item in chosen),
    )


def _purses(persona: Persona) -> tuple[Purse, ...]:
    """Lore has its author's budget, else as much as knowledge has, and goes before it."""
    budgets, lore = persona.budgets, persona.knowledge.lore.budget
    book = budgets.knowledge if lore is None else Budget(ceiling=lore, priority=budgets.knowledge.priority)
    return (
        Purse("profile", budgets.profile),
        Purse("memory", budgets.memory),
        Purse("lore", book),
        Purse("knowledge", budgets.knowledge),
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


def _history_share(
    budget: Budget, history: _Past, loose: Sequence[Candidate], purses: Sequence[Purse], room: int
) -> int:
    """What history may fill beside everything that recall could show."""
    wants = [
        Demand(sum(item.tokens for item in loose if item.source == purse.source), purse.budget)
        for purse in purses
    ]
    return allot(room, (Demand(sum(history.sizes), budget), *wants))[0]


def _history_from(given: PromptInput, history: _Past, cut: int) -> int:
    """The session's own cut point while nothing more is cut off."""
    if not cut:
        return given.history_from
    if cut < len(history.exchanges):
        return history.exchanges[cut].seq
    last = max(turn.seq for turn in given.gathered.history)
    waiting = [turn.seq for turn in given.gathered.history if turn.seq > history.exchanges[-1].seq]
    return min(waiting, default=last + 1)


def _section(name: SectionName, messages: Sequence[Message], tokens: TokenCounter) -> Section:
    return Section(
        name, tokens.count_messages(messages) if messages else 0, len(messages), _hash(tuple(messages))
    )


def _tool_tokens(tool: ToolDefinition, tokens: TokenCounter) -> int:
    return TOOL_FRAME + tokens.count(f"{tool.name}\n{tool.description}\n{bytes(tool.parameters).decode()}")


def _words(messages: Sequence[Message]) -> str:
    return "\n".join("" if isinstance(it, ToolMessage) else text_of(it.content) for it in messages)


def _hash(value: object) -> str:
    return sha256(msgspec.json.encode(value)).hexdigest()
