"""The domain's reply → OpenAI's (pure)."""

from collections.abc import Sequence

from msgspec import UNSET

from cozy_domain.audit.events import Degradation
from cozy_domain.chat.events import ToolRan, TurnEnded, TurnStarted
from cozy_domain.chat.reply import ChatReply, ReplyChoice
from cozy_domain.ids import TurnId
from cozy_domain.messages import FinishReason, Usage
from cozy_domain.models.deltas import TokenLogprob
from cozy_domain.sessions.turn import Timings
from cozy_server.openai.wire import reply as wire
from cozy_server.openai.wire.request import ChatCompletionIn


def to_completion(reply: ChatReply, asked: ChatCompletionIn) -> wire.ChatCompletion:
    """The JSON answer to ``asked``, whose model name and metadata it repeats."""
    started, ended = cozy_started(reply.started), cozy_ended(reply.started, reply.ended, reply.tools)
    legacy = asked.functions is not None
    return wire.ChatCompletion(
        id=completion_id(reply.started.turn),
        created=int(reply.started.at.timestamp()),
        model=asked.model,
        choices=tuple(_choice(index, choice, legacy=legacy) for index, choice in enumerate(reply.choices)),
        usage=usage_out(reply.ended.outcome.usage),
        cozy=wire.CozyOut(
            session_id=started.session_id,
            turn_id=started.turn_id,
            persona=ended.persona,
            revision=ended.revision,
            model=ended.model,
            degraded=ended.degraded,
            timings=ended.timings,
            tools=ended.tools,
        ),
        service_tier=reply.ended.outcome.service_tier or UNSET,
        system_fingerprint=reply.ended.outcome.fingerprint or UNSET,
        metadata=asked.metadata or UNSET,
    )


def completion_id(turn: TurnId) -> str:
    return f"chatcmpl-{turn.hex}"


def finish_reason(finish: FinishReason, *, calls: bool, legacy: bool) -> str:
    """``tool_calls`` whenever there are any: agent loops branch on it, and some providers say ``stop``. An answer that was
    cut off says so, because its calls may be cut off too."""
    if not calls or finish in ("length", "content_filter"):
        return finish
    return "function_call" if legacy else "tool_calls"


def cozy_started(started: TurnStarted) -> wire.CozyStarted:
    return wire.CozyStarted(
        session_id=str(started.session) if started.session else None, turn_id=str(started.turn)
    )


def cozy_ended(started: TurnStarted, ended: TurnEnded, tools: Sequence[ToolRan] = ()) -> wire.CozyEnded:
    outcome = ended.outcome
    return wire.CozyEnded(
        persona=started.pin.persona,
        revision=started.pin.revision,
        model=outcome.model,
        degraded=tuple(map(_degradation, outcome.degraded)),
        timings=_timings(outcome.timings),
        tools=tuple(map(_tool_ran, tools)) or UNSET,
    )


def usage_out(usage: Usage) -> wire.UsageOut:
    """Zeros when the provider told nothing: clients read these numbers without asking whether they are there."""
    return wire.UsageOut(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=wire.PromptDetails(usage.cached_tokens, usage.cache_write_tokens),
        completion_tokens_details=wire.CompletionDetails(usage.reasoning_tokens),
    )


def logprobs_out(logprobs: tuple[TokenLogprob, ...]) -> wire.LogprobsOut | None:
    if not logprobs:
        return None
    return wire.LogprobsOut(
        tuple(
            wire.TokenLogprobOut(
                item.token,
                item.logprob,
                item.bytes,
                tuple(wire.TopLogprobOut(top.token, top.logprob, top.bytes) for top in item.top),
            )
            for item in logprobs
        )
    )


def _choice(index: int, choice: ReplyChoice, *, legacy: bool) -> wire.ChoiceOut:
    calls = choice.tool_calls
    message = wire.MessageOut(content=choice.text, refusal=choice.refusal)
    if calls and legacy:
        call = wire.FunctionCallOut(calls[0].name, calls[0].arguments)
        message = wire.MessageOut(content=choice.text, refusal=choice.refusal, function_call=call)
    elif calls:
        out = tuple(
            wire.ToolCallOut(call.id, wire.FunctionCallOut(call.name, call.arguments)) for call in calls
        )
        message = wire.MessageOut(content=choice.text, refusal=choice.refusal, tool_calls=out)
    return wire.ChoiceOut(
        index=index,
        message=message,
        finish_reason=finish_reason(choice.finish, calls=bool(calls), legacy=legacy),
        logprobs=logprobs_out(choice.logprobs),
    )


def _tool_ran(ran: ToolRan) -> wire.ToolRanOut:
    return wire.ToolRanOut(ran.name, ran.arguments, ran.outcome, ran.duration_ms)


def _degradation(degradation: Degradation) -> wire.DegradationOut:
    return wire.DegradationOut(degradation.engine, degradation.reason, degradation.after_ms)


def _timings(timings: Timings) -> wire.TimingsOut:
    return wire.TimingsOut(timings.context_ms, timings.first_token_ms, timings.total_ms)
