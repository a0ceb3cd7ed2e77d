"""A domain request as the bytes of POST /v1/messages (pure)."""

import msgspec

from cozy_adapters.anthropic.caching import mark
from cozy_adapters.anthropic.content import Blocks, Json, JsonObject, system_blocks, turns
from cozy_domain.messages import AssistantMessage, Message
from cozy_domain.models.request import ModelRequest, Sampling, ToolChoice, ToolDefinition

MOST_TOKENS = 16_000
"""Tokens, thinking included, of an answer that nobody limited; the API insists on a limit. The figure of Anthropic's own
examples with thinking ("Adaptive thinking", read 2026-11)."""
_EFFORTS = {"none": "low", "minimal": "low"}
"""Ours that the API has no word for: the newest models cannot be told not to think."""


class Encoded(msgspec.Struct, frozen=True):
    """``dropped`` names the parameters that the model no longer takes."""

    body: bytes
    dropped: tuple[str, ...] = ()


def encode_request(request: ModelRequest, most_tokens: int = MOST_TOKENS) -> Encoded:
    """The body of a streamed call. The request's own fields stand behind ``extra``, so that none of those replaces one.

    Raises:
        ProviderRefusedError: a part of a message has no form that the API takes.
    """
    tools, choice = _tools(request)
    system, said = system_blocks(request.messages), turns(request.messages, request.model)
    mark(tools, system, said, request.messages)
    sampling, dropped = _sampling(request.model, request.sampling)
    body: JsonObject = dict(request.sampling.extra)
    body |= {
        "model": request.model,
        "max_tokens": request.sampling.max_output or most_tokens,
        "messages": [{"role": turn.role, "content": [*turn.blocks]} for turn in said],
        "stream": True,
    }
    optional: JsonObject = {
        "system": [*system] or None,
        "tools": [*tools] or None,
        "tool_choice": choice,
        "stop_sequences": list(request.sampling.stop) or None,
        "output_config": _output(request.sampling),
        "metadata": {"user_id": request.end_user} if request.end_user else None,
    }
    body |= {name: value for name, value in (optional | sampling).items() if value is not None}
    return Encoded(msgspec.json.encode(body), dropped)


def takes_sampling(model: str) -> bool:
    """Whether ``temperature`` and ``top_p`` may be sent. API version 2026-10-21, which the official package asks for,
    refuses them for every Claude (Anthropic, "Migrating to API version 2026-10-21"); other servers of this API have
    models that take them."""
    return "claude" not in model.casefold()


def _sampling(model: str, sampling: Sampling) -> tuple[JsonObject, tuple[str, ...]]:
    wishes = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    asked: JsonObject = {name: value for name, value in wishes.items() if value is not None}
    return (asked, ()) if takes_sampling(model) else ({}, tuple(asked))


def _output(sampling: Sampling) -> JsonObject | None:
    config: JsonObject = {}
    if effort := sampling.reasoning_effort:
        config["effort"] = _EFFORTS.get(effort, effort)
    if sampling.response_format.kind == "json_schema":
        config["format"] = {"type": "json_schema", "schema": sampling.response_format.schema}
    return config or None


def _tools(request: ModelRequest) -> tuple[Blocks, JsonObject | None]:
    """The tools, and how to choose among them. The API knows no selection but one tool by name, so only those are sent that
    may be chosen."""
    choice = request.tool_choice
    if not request.tools:
        return _forgotten(request.messages)
    named = choice.mode != "none" and choice.names
    offered = [tool for tool in request.tools if not named or tool.name in choice.names]
    return [_tool(tool) for tool in offered], _choice(choice, request.parallel_tool_calls)


def _forgotten(messages: tuple[Message, ...]) -> tuple[Blocks, JsonObject | None]:
    """Tools that the conversation used and that are on offer no more: the API wants to know every tool that was called."""
    calls = (call for it in messages if isinstance(it, AssistantMessage) for call in it.tool_calls)
    tools: Blocks = [_tool(ToolDefinition(name)) for name in dict.fromkeys(call.name for call in calls)]
    return tools, {"type": "none"} if tools else None


def _choice(choice: ToolChoice, parallel: bool | None) -> JsonObject | None:
    """``auto`` is what the API does unasked."""
    if choice.mode == "none":
        return {"type": "none"}
    wanted: JsonObject = {"type": "any" if choice.mode == "required" else "auto"}
    if choice.mode == "required" and len(choice.names) == 1:
        wanted = {"type": "tool", "name": choice.names[0]}
    if parallel is False:
        wanted["disable_parallel_tool_use"] = True
    return None if wanted == {"type": "auto"} else wanted


def _tool(tool: ToolDefinition) -> JsonObject:
    described: JsonObject = {"name": tool.name, "input_schema": _schema(tool.parameters)}
    if tool.description:
        described["description"] = tool.description
    if tool.strict:
        described["strict"] = True
    return described


def _schema(parameters: msgspec.Raw) -> Json:
    """With the ``type`` that the API insists on, and others do without."""
    try:
        keys = msgspec.json.decode(parameters, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return parameters
    return parameters if "type" in keys else {"type": "object", **keys}
