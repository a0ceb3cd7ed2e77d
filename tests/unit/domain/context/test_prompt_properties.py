"""The invariants of prompt building, each as a property over whole inputs."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cozy_domain.context import head
from cozy_domain.context.budget import prompt_budget
from cozy_domain.context.bundle import Candidate, ContextBundle, Gathered
from cozy_domain.context.past import NO_ANSWER
from cozy_domain.context.prompt import PromptInput, build
from cozy_domain.context.recall import line
from cozy_domain.errors import InputError
from cozy_domain.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    text_of,
)
from cozy_domain.persona.persona import Persona
from cozy_domain.profile import Profile
from cozy_domain.sessions.session import PastTurn
from tests.unit.domain.context import givens
from tests.unit.domain.context.givens import COUNTER

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ITEM = re.compile(r'<item source="([a-z]+)" origin="([^"]*)"(?: at="\d{4}-\d{2}-\d{2}")?>([^<>]*)</item>\n')


def built(it: PromptInput) -> ContextBundle | None:
    """None when the fixed parts do not fit."""
    try:
        return build(it, COUNTER)
    except InputError as refused:
        if (refused.code, refused.param) != ("context_length_exceeded", "messages"):
            raise
        return None


def limit_of(it: PromptInput) -> int:
    return prompt_budget(it.window, it.persona.persona.budgets.reply, it.reply)


def with_candidates(it: PromptInput, candidates: tuple[Candidate, ...]) -> PromptInput:
    gathered = msgspec.structs.replace(it.gathered, candidates=candidates)
    return msgspec.structs.replace(it, gathered=gathered)


def pinned_of(it: PromptInput, bundle: ContextBundle, source: str | None = None) -> set[str]:
    """Origins of the pinned items of the engines that stand in the prompt."""
    return {
        item.origin
        for item in it.gathered.candidates
        if item.pinned and item.source != source and item.origin in bundle.used
    }


def common(one: tuple[Message, ...], other: tuple[Message, ...]) -> int:
    """How many messages from the start are the same."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same


@few
@given(givens.inputs())
def test_the_prompt_never_takes_more_tokens_than_the_window_leaves(it: PromptInput) -> None:
    bundle = built(it)
    if bundle is None:
        return
    schemas = sum(
        COUNTER.count(f"{tool.name}\n{tool.description}\n{bytes(tool.parameters).decode()}")
        for tool in it.tools
    )
    assert COUNTER.count_messages(bundle.messages) + schemas <= bundle.prompt_tokens <= limit_of(it)
    assert bundle.prompt_tokens == sum(section.tokens for section in bundle.sections)


@few
@given(givens.inputs())
def test_only_fixed_parts_that_do_not_fit_are_refused(it: PromptInput) -> None:
    bare = msgspec.structs.replace(
        it,
        gathered=msgspec.structs.replace(it.gathered, candidates=()),
        snapshot=Profile(),
        summary="",
    )
    assert (built(it) is None) == (built(bare) is None)


@few
@given(givens.inputs())
def test_mandatory_sections_are_always_there_byte_for_byte(it: PromptInput) -> None:
    bundle = built(it)
    if bundle is None:
        return
    persona = it.persona.persona
    first, last = bundle.messages[0], bundle.messages[-1]
    assert isinstance(first, SystemMessage)
    assert text_of(first.content) == f"{it.platform}\n\n{head.persona_text(persona)}".strip()
    if persona.prompt.post_history.strip():
        assert last == SystemMessage(content=head.filled(persona.prompt.post_history, persona))
        assert bundle.messages[1:-1].count(last) == (*it.system, *it.new).count(last)
    kept = [
        message
        for message in bundle.messages
        if message in it.new and not (isinstance(message, ToolMessage) and message.content == NO_ANSWER)
    ]
    assert tuple(kept[len(kept) - len(it.new) :]) == it.new
    assert set(it.system) <= set(bundle.messages)


@few
@given(givens.inputs())
def test_the_same_input_gives_the_same_bytes(it: PromptInput) -> None:
    one, other = built(it), built(msgspec.structs.replace(it))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)


@few
@given(givens.inputs(), st.randoms())
def test_the_order_in_which_engines_answer_does_not_matter(it: PromptInput, chance: Random) -> None:
    shuffled = list(it.gathered.candidates)
    chance.shuffle(shuffled)
    assert built(with_candidates(it, tuple(shuffled))) == built(it)


@few
@given(givens.inputs(), st.sampled_from(("memory", "knowledge")))
def test_one_engine_less_never_removes_a_pinned_item_of_another(it: PromptInput, source: str) -> None:
    whole = built(it)
    assume(whole is not None)
    others = tuple(item for item in it.gathered.candidates if item.source != source)
    less = built(with_candidates(it, others))
    assert whole is not None
    assert less is not None
    assert pinned_of(it, whole, source) <= set(less.used)


@few
@given(givens.inputs(), st.integers(1, 2_000))
def test_more_budget_never_drops_a_pinned_item_that_was_kept(it: PromptInput, more: int) -> None:
    it = msgspec.structs.replace(it, reply=100)
    tight = built(it)
    assume(tight is not None)
    wide = built(msgspec.structs.replace(it, window=it.window + more))
    assert tight is not None
    assert wide is not None
    assert pinned_of(it, tight) <= set(wide.used)


@few
@given(givens.inputs(min_window=2_500), givens.inputs(min_window=2_500))
def test_the_head_is_the_same_in_every_turn_of_an_epoch(it: PromptInput, later: PromptInput) -> None:
    same = msgspec.structs.replace(
        later,
        persona=it.persona,
        platform=it.platform,
        tools=it.tools,
        snapshot=it.snapshot,
        summary=it.summary,
        window=20_000,
    )
    one, other = built(msgspec.structs.replace(it, window=20_000)), built(same)
    assert one is not None
    assert other is not None
    assert one.head_hash == other.head_hash
    shown = sum(section.items for section in one.sections if section.name in ("profile", "summary"))
    head_length = 2 if shown else 1
    assert one.messages[:head_length] == other.messages[:head_length]


@few
@given(givens.inputs(min_window=600))
def test_no_turn_and_no_tool_pair_is_split(it: PromptInput) -> None:
    it = msgspec.structs.replace(it, stateless=False)
    bundle = built(it)
    if bundle is None:
        return
    assert givens.open_calls(bundle.messages) == []
    for past in it.gathered.history:
        said = [m for m in past.messages if isinstance(m, UserMessage | AssistantMessage)]
        assert all(m in bundle.messages for m in said) or past.seq < bundle.history_from


@few
@given(givens.inputs())
def test_every_recalled_item_tells_where_it_comes_from(it: PromptInput) -> None:
    bundle = built(it)
    if bundle is None:
        return
    known = {(item.source, item.origin): item for item in it.gathered.candidates}
    found = ITEM.findall(givens.block_of(bundle))
    assert [html.unescape(origin) for _, origin, _ in found] == list(bundle.used)
    for source, origin, text in found:
        if source in ("memory", "knowledge"):
            assert html.unescape(text) == known[source, html.unescape(origin)].text


@few
@given(givens.inputs())
def test_a_block_holds_nothing_but_its_frame_and_escaped_items(it: PromptInput) -> None:
    bundle = built(it)
    if bundle is None:
        return
    for block in [text_of(m.content) for m in bundle.messages if givens.is_block(m)]:
        frame = ITEM.sub("", block.removeprefix("<context>\n").removesuffix("</context>"))
        assert "<" not in frame
        assert ">" not in frame
        assert block.count("<context>") == block.count("</context>") == 1


@few
@given(givens.inputs(min_window=2_000), givens.texts)
def test_recalled_text_never_stands_outside_its_delimiters(it: PromptInput, text: str) -> None:
    planted = givens.candidate("planted", f"MARK {text} MARK", score=1.0, pinned=True, origin="MARK")
    bundle = built(with_candidates(it, (planted, *it.gathered.candidates)))
    if bundle is None:
        return
    holding = [message for message in bundle.messages if "MARK" in text_of(message.content)]
    assert all(isinstance(message, UserMessage) and givens.is_block(message) for message in holding)
    for message in holding:
        assert line(planted) in text_of(message.content)


@few
@given(givens.inputs())
def test_only_authors_and_the_caller_speak_in_system_messages(it: PromptInput) -> None:
    bundle = built(msgspec.structs.replace(it, stateless=False))
    if bundle is None:
        return
    persona = it.persona.persona
    allowed = {bundle.messages[0], SystemMessage(content=head.filled(persona.prompt.post_history, persona))}
    assert {m for m in bundle.messages if isinstance(m, SystemMessage)} <= allowed | set(it.system)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(givens.words, givens.words, givens.candidates(4), st.booleans()), min_size=3, max_size=10
    ),
    givens.personas,
    st.integers(400, 2_500),
)
def test_the_next_turn_begins_with_the_head_and_history_of_this_one_unless_it_was_cut(
    talk: list[tuple[str, str, tuple[Candidate, ...], bool]], persona: Persona, window: int
) -> None:
    past: list[PastTurn] = []
    before: tuple[ContextBundle, int] | None = None
    since = 0
    for seq, (question, reply, found, by_tool) in enumerate(talk, start=1):
        asked = UserMessage(content=f"{seq} {question}")
        history = tuple(turn for turn in past if turn.seq >= since)
        bundle = built(
            givens.given(
                persona=givens.published(persona),
                gathered=Gathered(history=history, candidates=found),
                new=(asked,),
                window=window,
                history_from=since,
            )
        )
        if bundle is None:
            return
        if before is not None and bundle.history_from == since:
            assert common(before[0].messages, bundle.messages) >= before[1]
        section = next(it for it in bundle.sections if it.name == "history")
        kept = tuple(turn for turn in history if turn.seq >= bundle.history_from)
        before = bundle, 1 + sum(len(turn.messages) for turn in kept)
        assert len(kept) == section.items
        since = bundle.history_from
        call = ToolCall(id=f"c{seq}", name="clock", arguments="{}")
        used = (AssistantMessage(tool_calls=(call,)), ToolMessage(tool_call_id=call.id, content="noon"))
        past.append(givens.turn(seq, asked, *(used if by_tool else ()), AssistantMessage(content=reply)))


def test_the_bytes_do_not_depend_on_the_process() -> None:
    """Sets and hashes of strings differ between processes; nothing in a prompt may follow them."""
    script = Path(__file__).with_name("print_a_prompt.py")
    printed = {
        subprocess.run(
            [sys.executable, str(script)],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert len(next(iter(printed))) > 1_000
