"""Step 3 of a turn: what is known, gathered and made into the prompt."""

from datetime import timedelta

from msgspec.structs import replace

from cozy_domain.chat.deadline import stored
from cozy_domain.chat.parts import ChatParts
from cozy_domain.chat.plan import TurnPlan
from cozy_domain.chat.replay import waited_for, with_waiting_round
from cozy_domain.context.assembly import Wanted
from cozy_domain.context.bundle import ContextBundle, Gathered
from cozy_domain.context.past import asking, exchanges, results_of
from cozy_domain.context.prompt import PromptInput, build
from cozy_domain.errors import InputError
from cozy_domain.messages import AssistantMessage, BlobRef, Message, ToolMessage, UserMessage, text_of
from cozy_domain.models.request import Feature
from cozy_domain.sessions.blobs import Blob, attached, references, shown


async def gather(parts: ChatParts, plan: TurnPlan, seq: int) -> Gathered:
    """What the engines and the history have for this turn, which is the ``seq``-th of its session.

    Raises:
        StorageUnavailableError: the history did not come.
    """
    text = plan.conversation.query or await _asked_before(parts, plan, seq)
    return await parts.assembly.gather(
        Wanted(
            owner=plan.request.owner,
            persona=plan.speaker.persona,
            session=plan.session,
            before=seq,
            text=text,
            personalise=plan.personalised,
        )
    )


async def prompt(parts: ChatParts, plan: TurnPlan, gathered: Gathered) -> ContextBundle:
    """The prompt, with the round that waited for the client's tools put back into it.

    Raises:
        InputError: it does not fit the model's window, or its tool results answer nothing.
        StorageUnavailableError: the waiting round did not come, or the images of earlier turns did not.
    """
    request = plan.request
    given = PromptInput(
        persona=plan.speaker,
        gathered=gathered,
        new=await _said(parts, plan, gathered),
        now=plan.moment,
        system=plan.conversation.instructions,
        stateless=request.session is None,
        tools=plan.offer.definitions,
        window=parts.limits.window_tokens,
        reply=request.sampling.max_output,
        history_from=plan.session.history_from if plan.session else 0,
    )
    bundle = build(given, parts.tokens)
    wanted = references(bundle.messages)
    return replace(bundle, messages=await _whole(parts, plan, bundle.messages, wanted)) if wanted else bundle


def holds_words_of_strangers(plan: TurnPlan, gathered: Gathered, bundle: ContextBundle) -> bool:
    """Whether the prompt holds new text that is neither the user's nor the operator's: passages of knowledge, or what a
    client's tool brought."""
    passages = {it.origin for it in gathered.candidates if it.source == "knowledge"}
    brought = any(isinstance(message, ToolMessage) for message in plan.conversation.new)
    return brought or not passages.isdisjoint(bundle.used)


async def _whole(
    parts: ChatParts,
    plan: TurnPlan,
    messages: tuple[Message, ...],
    wanted: tuple[tuple[BlobRef, Feature], ...],
) -> tuple[Message, ...]:
    """With the images, recordings and files of earlier turns, as far as some model of the chain takes them."""
    features = frozenset[Feature]().union(*map(parts.generation.features, plan.chain))
    digests = shown(wanted, features)
    found: tuple[Blob, ...] = ()
    if digests:
        found = await stored(parts.blobs.read(plan.request.owner, digests), parts.limits.storage_s)
    return attached(messages, {blob.sha256: blob.data for blob in found})


async def _asked_before(parts: ChatParts, plan: TurnPlan, seq: int) -> str:
    """What the user said in the turn that these tool results go on with."""
    session = plan.session
    if session is None or not plan.personalised:
        return ""
    work = parts.history.turns(plan.request.owner, session.id, session.history_from, seq)
    past = await stored(work, parts.limits.storage_s)
    said = (message for turn in reversed(past) for message in reversed(turn.messages))
    return next((text_of(message.content) for message in said if isinstance(message, UserMessage)), "")


async def _said(parts: ChatParts, plan: TurnPlan, gathered: Gathered) -> tuple[Message, ...]:
    said, request = plan.conversation.said, plan.request
    if request.session is not None:
        _refuse_unasked(said, gathered, request.messages)
        return said
    calls = waited_for(said)
    if not calls:
        return said
    since = plan.at - timedelta(seconds=parts.limits.waiting_round_s)
    work = parts.history.waiting_round(request.owner, calls, since)
    found = await stored(work, parts.limits.storage_s)
    return with_waiting_round(said, found) if found else said


def _refuse_unasked(new: tuple[Message, ...], gathered: Gathered, messages: tuple[Message, ...]) -> None:
    """Results must answer calls of the session. Those of a history that the client brings along, from before there was a
    session, are left out when the user goes on."""
    calls = results_of(new)
    if not calls or asking(exchanges(gathered.history), calls) is not None:
        return
    theirs = {call.id for it in messages if isinstance(it, AssistantMessage) for call in it.tool_calls}
    if len(new) > len(calls) and theirs.issuperset(calls):
        return
    first = next(
        i for i, it in enumerate(messages) if isinstance(it, ToolMessage) and it.tool_call_id == calls[0]
    )
    raise InputError(
        "This session does not wait for these tool results.",
        param=f"messages[{first}].tool_call_id",
        hint="Answer the calls of the session's own messages.",
    )
