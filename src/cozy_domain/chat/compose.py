"""A chat pipeline for an application that embeds the domain: fixed personas and models, no configuration file."""

from collections.abc import Iterable, Mapping

from cozy_domain.chat.generate import Generation
from cozy_domain.chat.parts import ChatLimits, ChatParts
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.chat.ports import ChatPorts
from cozy_domain.context.assembly import ContextAssembly
from cozy_domain.errors import ConfigError
from cozy_domain.models.ports import LanguageModel
from cozy_domain.models.request import ModelRef
from cozy_domain.persona.catalog import publish_all
from cozy_domain.persona.persona import Persona
from cozy_domain.routing.choice import RouteTable, Snapshot, clashes

_USUAL = ChatLimits()


async def compose(
    ports: ChatPorts,
    *,
    personas: Iterable[Persona],
    providers: Mapping[str, LanguageModel],
    models: tuple[ModelRef, ...],
    audit_key: bytes,
    limits: ChatLimits = _USUAL,
) -> ChatPipeline:
    """Publishes the personas and puts the pipeline together; turns are possible inside its ``running()``.

    ``models`` answer in this order, each from the provider it names. ``audit_key`` signs the audit records; keep it if
    they are kept.

    Raises:
        ConfigError: there is no model, or a name has two meanings.
        StorageUnavailableError: the personas' revisions could not be stored.
    """
    catalog = await publish_all(personas, ports.revisions, ports.clock)
    snapshot = Snapshot(catalog, RouteTable(default=models, allowed=models))
    if problems := clashes(snapshot):
        raise ConfigError("; ".join(problems))
    assembly = ContextAssembly(
        ports.history, ports.memory, ports.knowledge, ports.profile, ports.tokens, ports.clock
    )
    return ChatPipeline(
        ChatParts(
            turns=ports.turns,
            history=ports.history,
            blobs=ports.blobs,
            audit=ports.audit,
            revisions=ports.revisions,
            assembly=assembly,
            generation=Generation(providers, ports.clock),
            toolbox=ports.toolbox,
            arguments=ports.arguments,
            tokens=ports.tokens,
            snapshot=lambda: snapshot,
            clock=ports.clock,
            ids=ports.ids,
            audit_key=audit_key,
            limits=limits,
        )
    )
