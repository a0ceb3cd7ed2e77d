"""The class. Its body calls for the functions of its areas, which the modules beside it hold."""

from collections.abc import Mapping
from pathlib import Path

from dependency_injector import containers, providers

from cozy_adapters.clock import SystemClock
from cozy_adapters.files.audit_anchor import FileAuditAnchor
from cozy_adapters.files.cards import FileCards
from cozy_adapters.files.personas import YamlPersonaFiles
from cozy_adapters.ids import TimeOrderedIds
from cozy_adapters.inmemory.knowledge import InMemoryKnowledgeBase
from cozy_adapters.inmemory.limits import InMemoryLimitStore
from cozy_adapters.inmemory.memory import InMemoryChatMemory
from cozy_adapters.inmemory.profile import InMemoryProfileStore
from cozy_adapters.inmemory.toolbox import JoinedToolBox, builtin_tools
from cozy_adapters.json_schema import JsonSchemaArgumentCheck
from cozy_adapters.sql.audit import SqlAuditLog
from cozy_adapters.sql.blobs import SqlBlobStore
from cozy_adapters.sql.engine import Role
from cozy_adapters.sql.history import SqlTurnHistory
from cozy_adapters.sql.jobs import SqlJobQueue
from cozy_adapters.sql.keys import SqlKeyStore
from cozy_adapters.sql.personas import SqlPersonaRevisions
from cozy_adapters.sql.sessions import SqlSessionStore
from cozy_adapters.sql.turns import SqlTurnStore
from cozy_adapters.tokens import EstimatedTokenCounter
from cozy_domain.access.seats import Seats
from cozy_domain.chat.generate import Generation, ModelDeadlines
from cozy_domain.chat.parts import ChatLimits, ChatParts
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.context.assembly import ContextAssembly, Deadlines
from cozy_domain.embedding import Embedding
from cozy_domain.learning.flush import LEARN, flush
from cozy_domain.learning.worker import Worker
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.speech.speak import Speaking, SpeakingDeadlines
from cozy_server.auth import DevelopmentDoor, Door, KeyDoor, Keys, RefusalLog
from cozy_server.container.health import circuits, short_of
from cozy_server.container.limits import limits, rates, redis_ping, shared_limits
from cozy_server.container.models import discovery, embedders, embedding_routes_of, language_models
from cozy_server.container.speech import (
    audio_codec,
    audio_encoder,
    engine_names,
    listening,
    recognisers,
    transcribing,
    voices,
)
from cozy_server.container.store import maintenance, probe, store
from cozy_server.container.tools import mcp_servers, tool_names
from cozy_server.container.voice import Simulation, activity, calling, peer_connections
from cozy_server.data_folder import anchor_file
from cozy_server.fastrtc.conversations import Conversations
from cozy_server.fastrtc.lines import Lines
from cozy_server.fastrtc.offer import WebRtc
from cozy_server.fastrtc.socket import Sockets
from cozy_server.fastrtc.telephone import Telephone
from cozy_server.fastrtc.waiting import WaitingRoom
from cozy_server.health import Vitals
from cozy_server.model_choice import LiveConfiguration
from cozy_server.openai.listening import ListeningParts
from cozy_server.openai.speech import SpeechParts
from cozy_server.openai.transcription import TranscriptionParts
from cozy_server.persona_reload import PersonaReload
from cozy_server.problems import Note
from cozy_server.settings.tree import (
    DeadlineSettings,
    PersonaSettings,
    Settings,
    TelemetrySettings,
)
from cozy_server.telemetry import access_log
from cozy_server.throttle.address import Addresses
from cozy_server.throttle.throttle import Throttle
from cozy_server.upkeep import Sealing


def _milliseconds(engine: DeadlineSettings) -> int:
    return round(engine.deadline_s * 1_000)


def _persona_folder(settings: PersonaSettings) -> Path | None:
    return Path(settings.folder) if settings.folder else None


def _access_log(settings: TelemetrySettings, *, development: bool) -> Note | None:
    wanted = not development if settings.access_log is None else settings.access_log
    return access_log() if wanted and settings.log_level in ("debug", "info") else None


def _door(keys: Keys, *, development: bool) -> Door:
    return DevelopmentDoor(keys) if development else KeyDoor(keys)


class Container(containers.DeclarativeContainer):
    """``settings`` and ``audit_key`` come from outside. ``development`` opens the door that asks for no key; providers are
    looked for in ``environment``; ``default_origin`` tells people where ``models.default`` is written."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    audit_key: providers.Dependency[bytes] = providers.Dependency(instance_of=bytes)
    development: providers.Provider[bool] = providers.Object(False)
    environment: providers.Provider[Mapping[str, str]] = providers.Object({})
    default_origin: providers.Provider[str] = providers.Object("the settings")

    simulation: providers.Provider[Simulation | None] = providers.Object(None)

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(TimeOrderedIds)
    tokens = providers.Singleton(EstimatedTokenCounter)

    rates = providers.Singleton(rates, settings.provided.limits, development=development)
    seats = providers.Singleton(
        Seats, settings.provided.limits.turns_at_once, settings.provided.limits.turns_at_once_per_owner
    )
    own_limits = providers.Singleton(InMemoryLimitStore, clock)
    shared_limits = providers.Singleton(shared_limits, settings, rates, own_limits, clock)
    addresses = providers.Singleton(Addresses, settings.provided.server.trusted_proxies)
    throttle = providers.Singleton(
        Throttle,
        providers.Callable(limits, own_limits, shared_limits),
        rates,
        addresses,
        clock,
        seats,
    )

    database_role: providers.Provider[Role] = providers.Object("server")
    database = providers.Singleton(store, settings, database_role)
    maintenance = providers.Singleton(maintenance, settings)
    redis_ping = providers.Singleton(redis_ping, settings.provided.redis)
    turns = providers.Singleton(SqlTurnStore, database)
    history = providers.Singleton(SqlTurnHistory, database)
    blobs = providers.Singleton(SqlBlobStore, database)
    sessions = providers.Singleton(SqlSessionStore, database)
    audit = providers.Singleton(SqlAuditLog, database)
    audit_anchor = providers.Singleton(FileAuditAnchor, providers.Callable(anchor_file, settings))
    jobs = providers.Singleton(SqlJobQueue, database)
    key_store = providers.Singleton(SqlKeyStore, database)
    revisions = providers.Singleton(SqlPersonaRevisions, database)

    memory = providers.Singleton(InMemoryChatMemory)
    knowledge = providers.Singleton(InMemoryKnowledgeBase)
    profile = providers.Singleton(InMemoryProfileStore)
    tool_servers = providers.Singleton(mcp_servers, settings.provided.tools)
    own_tools = providers.Singleton(builtin_tools)
    toolbox = providers.Singleton(JoinedToolBox, own_tools, tool_servers)
    arguments = providers.Singleton(JsonSchemaArgumentCheck)

    persona_files = providers.Singleton(
        YamlPersonaFiles, providers.Callable(_persona_folder, settings.provided.personas)
    )
    cards = providers.Singleton(FileCards)
    catalog = providers.Singleton(LiveCatalog, persona_files, revisions, clock)
    models = providers.Singleton(language_models, settings.provided.models, simulation)
    configuration = providers.Singleton(
        LiveConfiguration,
        catalog,
        models,
        providers.Callable(discovery, environment),
        settings.provided.models,
        default_origin,
    )
    snapshot = providers.Callable(LiveConfiguration.snapshot, configuration)

    generation = providers.Singleton(
        Generation,
        models,
        clock,
        providers.Singleton(
            ModelDeadlines,
            first_token_s=settings.provided.models.first_token_s,
            chain_s=settings.provided.models.chain_s,
            between_s=settings.provided.models.between_s,
        ),
    )
    embedders = providers.Callable(embedders, models)
    embedding = providers.Singleton(
        Embedding, embedders, clock, deadline_s=settings.provided.models.embedding_s
    )
    voices = providers.Singleton(voices, settings.provided.speech, models, clock, simulation)
    speaking = providers.Singleton(
        Speaking,
        voices,
        providers.Singleton(
            SpeakingDeadlines,
            first_sound_s=settings.provided.speech.first_sound_s,
            between_s=settings.provided.speech.between_s,
        ),
        settings.provided.speech.texts_at_once,
    )
    speech = providers.Singleton(
        SpeechParts, speaking, providers.Object(audio_encoder), tokens, configuration.provided.snapshot
    )
    codec = providers.Singleton(audio_codec)
    recognisers = providers.Singleton(recognisers, settings.provided.speech, models, clock, simulation)
    transcribing = providers.Singleton(transcribing, codec, recognisers, settings.provided.speech)
    transcription_parts = providers.Singleton(
        TranscriptionParts, transcribing, configuration.provided.snapshot
    )
    detector = providers.Singleton(activity)
    listening = providers.Singleton(listening, detector, recognisers, transcribing)
    listening_parts = providers.Singleton(
        ListeningParts,
        listening,
        codec,
        providers.Callable(engine_names, recognisers),
        configuration.provided.snapshot,
        clock,
    )
    embedding_routes = providers.Callable(embedding_routes_of, settings.provided.models)
    assembly = providers.Singleton(
        ContextAssembly,
        history,
        memory,
        knowledge,
        profile,
        tokens,
        clock,
        providers.Singleton(
            Deadlines,
            memory_ms=providers.Callable(_milliseconds, settings.provided.memory),
            knowledge_ms=providers.Callable(_milliseconds, settings.provided.knowledge),
            profile_ms=providers.Callable(_milliseconds, settings.provided.profile),
        ),
    )
    pipeline = providers.Singleton(
        ChatPipeline,
        providers.Singleton(
            ChatParts,
            turns=turns,
            history=history,
            blobs=blobs,
            audit=audit,
            revisions=revisions,
            assembly=assembly,
            generation=generation,
            toolbox=toolbox,
            arguments=arguments,
            tokens=tokens,
            snapshot=configuration.provided.snapshot,
            clock=clock,
            ids=ids,
            audit_key=audit_key,
            timezone=settings.provided.server.timezone,
            limits=providers.Singleton(
                ChatLimits,
                turn_s=settings.provided.limits.turn_s,
                turns_at_once=settings.provided.limits.turns_at_once,
                turns_at_once_each=settings.provided.limits.turns_at_once_per_owner,
                answer_characters=settings.provided.limits.answer_characters,
                tool_s=settings.provided.tools.deadline_s,
                tool_result_characters=settings.provided.tools.result_characters,
                window_tokens=settings.provided.models.window_tokens,
            ),
        ),
        seats,
    )

    calling = providers.Singleton(
        calling,
        settings.provided.voice,
        pipeline,
        history,
        detector,
        recognisers,
        transcribing,
        voices,
        configuration.provided.snapshot,
        clock,
        ids,
        development=development,
    )

    peer_connections = providers.Singleton(peer_connections, settings.provided.voice, clock)
    conversations = providers.Singleton(Conversations, calling, providers.Singleton(Lines, clock))
    webrtc = providers.Singleton(WebRtc, conversations, peer_connections)
    fastrtc_sockets = providers.Singleton(
        Sockets,
        conversations,
        codec,
        clock,
        providers.Singleton(WaitingRoom),
        addresses,
        settings.provided.voice.socket_input_rate,
        settings.provided.voice.socket_output_rate,
    )
    telephone = providers.Singleton(
        Telephone, fastrtc_sockets, settings.provided.voice, development=development
    )

    sealing = providers.Singleton(Sealing, audit, audit_anchor, audit_key, settings.provided.audit.seal_s)
    worker = providers.Singleton(Worker, jobs, providers.Object({LEARN: flush}), clock)
    persona_reload = providers.Singleton(
        PersonaReload,
        catalog,
        configuration,
        providers.Callable(tool_names, toolbox),
        persona_files.provided.look,
        settings.provided.personas.reload_s,
        providers.Callable(tuple, settings.provided.tools.mcp),
    )
    vitals = providers.Singleton(
        Vitals,
        providers.Callable(probe, jobs),
        providers.Callable(circuits, generation, assembly, embedding, voices, recognisers, shared_limits),
        clock,
        providers.Callable(short_of, configuration, persona_reload),
        tool_servers.provided.states,
    )

    keys = providers.Singleton(Keys, key_store, clock)
    door = providers.Singleton(_door, keys, development=development)
    access_log = providers.Singleton(_access_log, settings.provided.telemetry, development=development)
    refusals = providers.Singleton(RefusalLog, audit, audit_key, ids, clock)
