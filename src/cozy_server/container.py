"""Composition: the only module that names adapters.

Nothing here does I/O: everything is a Singleton that is cheap to construct, and what must be opened and closed is, by the
one lifespan in ``app``. Tests put other adapters in with ``override``. The functions stand in front of the class because
its body calls for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from dependency_injector import containers, providers
from msgspec.structs import replace

from cozy_adapters.anthropic import discovery as anthropic
from cozy_adapters.anthropic.chat import AnthropicLanguageModel
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
from cozy_adapters.mcp.configured import Configured
from cozy_adapters.mcp.listing import Rules
from cozy_adapters.mcp.toolbox import McpToolBox
from cozy_adapters.offline.embedder import OfflineEmbedder
from cozy_adapters.offline.language_model import OfflineLanguageModel
from cozy_adapters.openai.chat import OpenAILanguageModel
from cozy_adapters.openai.discovery import dialect_of, discover
from cozy_adapters.sql.audit import SqlAuditLog
from cozy_adapters.sql.blobs import SqlBlobStore
from cozy_adapters.sql.engine import OpenedDatabase, Role
from cozy_adapters.sql.history import SqlTurnHistory
from cozy_adapters.sql.jobs import SqlJobQueue
from cozy_adapters.sql.keys import SqlKeyStore
from cozy_adapters.sql.maintenance import SqliteMaintenance
from cozy_adapters.sql.maintenance import StoreMaintenance as StoreMaintenance  # for the command line
from cozy_adapters.sql.maintenance import StoreState as StoreState  # as above
from cozy_adapters.sql.personas import SqlPersonaRevisions
from cozy_adapters.sql.sessions import SqlSessionStore
from cozy_adapters.sql.sqlite import SqliteDatabase
from cozy_adapters.sql.turns import SqlTurnStore
from cozy_adapters.tokens import EstimatedTokenCounter
from cozy_adapters.upstream import missing
from cozy_domain.access.ports import LimitStore
from cozy_domain.access.seats import Seats
from cozy_domain.audio import AudioFormat
from cozy_domain.chat.generate import Generation, ModelDeadlines
from cozy_domain.chat.parts import ChatLimits, ChatParts
from cozy_domain.chat.pipeline import ChatPipeline
from cozy_domain.clock import Clock
from cozy_domain.context.assembly import ContextAssembly, Deadlines
from cozy_domain.embedding import Embedding
from cozy_domain.errors import ConfigError
from cozy_domain.jobs import JobQueue
from cozy_domain.learning.flush import LEARN, flush
from cozy_domain.learning.worker import Worker
from cozy_domain.models.ports import Embedder, LanguageModel
from cozy_domain.persona.catalog import LiveCatalog
from cozy_domain.routing.choice import parse_ref
from cozy_domain.routing.circuit import Circuit
from cozy_domain.routing.default import OFFLINE
from cozy_domain.routing.embedding import EmbeddingRoutes, embedding_routes
from cozy_domain.routing.switchover import Named, Switchover
from cozy_domain.speech.ports import AudioCodec, AudioEncoder, SpeechToText, TextToSpeech
from cozy_domain.speech.speak import Speaking, SpeakingDeadlines
from cozy_domain.speech.transcribe import Transcribing, TranscribingDeadlines
from cozy_domain.tools.ports import ToolBox
from cozy_domain.tools.tool import Effect, ToolServerState
from cozy_server.auth import DevelopmentDoor, Door, KeyDoor, Keys, RefusalLog
from cozy_server.data_folder import anchor_file, database_file, postgres_url
from cozy_server.health import Vitals
from cozy_server.model_choice import OLLAMA, FoundProvider, LiveConfiguration
from cozy_server.openai.speech import SpeechParts
from cozy_server.openai.transcription import TranscriptionParts
from cozy_server.persona_reload import PersonaReload
from cozy_server.problems import Note
from cozy_server.settings.tree import (
    DeadlineSettings,
    LimitSettings,
    McpSettings,
    ModelSettings,
    PersonaSettings,
    ProviderSettings,
    RedisSettings,
    Settings,
    SpeechSettings,
    TelemetrySettings,
    ToolSettings,
    is_chosen,
    kind_of,
)
from cozy_server.telemetry import access_log
from cozy_server.throttle.address import Addresses
from cozy_server.throttle.rates import Rates, rates_of
from cozy_server.throttle.shared import SharedLimits
from cozy_server.throttle.throttle import Throttle
from cozy_server.upkeep import Sealing

REDIS = "redis"
"""Its name among the breakers."""
SDKS = ("openai", "anthropic")
"""Kinds of providers that need a package of the same name."""


def store(settings: Settings, role: Role) -> OpenedDatabase:
    """What ``database.url`` names.

    Raises:
        ConfigError: it names nothing that we know, or the driver is not installed.
    """
    url = postgres_url(settings)
    if url is None:
        return SqliteDatabase(database_file(settings), role=role)
    try:
        from cozy_adapters.sql.postgres import PostgresDatabase, PostgresLimits
    except ModuleNotFoundError:
        raise ConfigError(
            "database.url names a Postgres, and its driver is not installed",
            hint="pip install 'cozy-engine[postgres]'",
        ) from None
    return PostgresDatabase(url, role=role, limits=PostgresLimits(pool_size=settings.database.pool_size))


def shared_limits(settings: Settings, rates: Rates, own: LimitStore, clock: Clock) -> SharedLimits | None:
    """On what ``redis.url`` names; None without it, and where nothing is limited.

    Raises:
        ConfigError: it is no Redis, or its client is not installed.
    """
    url = settings.redis.url
    if url is None or not rates.any:
        return None
    try:
        from cozy_adapters.redis.connections import RedisConnections
        from cozy_adapters.redis.limits import RedisLimitStore
    except ModuleNotFoundError:
        raise ConfigError(
            "redis.url is set, and the client for Redis is not installed",
            hint="pip install 'cozy-engine[redis]'",
        ) from None
    shared = RedisLimitStore(RedisConnections(url.reveal()), prefix=settings.redis.prefix)
    processes = settings.limits.processes
    return SharedLimits(shared, own, clock, deadline_s=settings.redis.deadline_s, processes=processes)


def maintenance(settings: Settings) -> StoreMaintenance:
    """Of what ``database.url`` names, for who is no server.

    Raises:
        ConfigError: as `store`.
    """
    url = postgres_url(settings)
    if url is None:
        return SqliteMaintenance(database_file(settings))
    store(settings, "reader")  # tells about a driver that is not there
    from cozy_adapters.sql.postgres_maintenance import PostgresMaintenance

    return PostgresMaintenance(url)


def redis_ping(settings: RedisSettings) -> Callable[[], Awaitable[object]] | None:
    """Asks what ``redis.url`` names whether it is there; None where nothing is named.

    Raises:
        ConfigError: it is no address, or the client is not installed.
    """
    if settings.url is None:
        return None
    try:
        from cozy_adapters.redis.connections import RedisConnections, Script
    except ModuleNotFoundError:
        raise ConfigError(
            "redis.url is set, and the client for Redis is not installed",
            hint="pip install 'cozy-engine[redis]'",
        ) from None
    connections = RedisConnections(settings.url.reveal(), most=1)

    async def ping() -> object:
        try:
            return await connections.run(Script("return redis.call('PING')"), [], [])
        finally:
            await connections.aclose()

    return ping


def language_models(settings: ModelSettings) -> dict[str, LanguageModel]:
    """One adapter for each provider of the settings by name; ``offline`` is always there. A key that happens to be in the
    environment is no reason not to start: without its package such a provider is left out, and `discovery` says why.

    Raises:
        ConfigError: the package of a provider's kind is not installed.
    """
    models: dict[str, LanguageModel] = {OFFLINE.provider: OfflineLanguageModel()}
    for name, provider in settings.providers.items():
        kind = kind_of(name, provider)
        problem = missing(kind) if kind in SDKS else None
        if problem is None:
            models[name] = _language_model(name, kind, provider)
        elif is_chosen(name, provider):
            raise ConfigError(f"models.providers.{name}: {problem}")
    return models


def embedders(models: Mapping[str, LanguageModel]) -> Callable[[str], Embedder | None]:
    """Each provider's embedder beside its language model, also of those that are found later."""

    def embedder(provider: str) -> Embedder | None:
        match models.get(provider):
            case OpenAILanguageModel() as model:
                return model.embedder()
            case OfflineLanguageModel():
                return OfflineEmbedder()
            case _:
                return None

    return embedder


def voices(
    settings: SpeechSettings, models: Mapping[str, LanguageModel], clock: Clock
) -> Switchover[TextToSpeech]:
    """The voices of the settings, in their order. The offline one is optional: without its package it is left out.

    Raises:
        ConfigError: one of them is no voice.
    """
    found = (_voice(name, models) for name in settings.tts)
    return Switchover("voice", [it for it in found if it], clock)


def recognisers(
    settings: SpeechSettings, models: Mapping[str, LanguageModel], clock: Clock
) -> Switchover[SpeechToText]:
    """The recognisers of the settings, in their order.

    Raises:
        ConfigError: one of them is no recogniser, or nothing is installed that reads sound files.
    """
    if settings.stt and not _is_installed("av"):
        raise ConfigError("speech.stt needs PyAV", hint="pip install 'cozy-engine[speech]'")
    return Switchover("recogniser", [_recogniser(name, models) for name in settings.stt], clock)


def audio_codec() -> AudioCodec | None:
    """None where nothing is installed that reads sound files."""
    if not _is_installed("av"):
        return None
    from cozy_adapters.codec.files import PyAvAudioCodec  # on first use: FFmpeg takes 0.1 s to load

    return PyAvAudioCodec()


def preload_speech() -> None:
    """Loads what encodes; it takes 0.1 s of CPU."""
    if _is_installed("av"):
        import cozy_adapters.codec.encoding  # noqa: F401


def audio_encoder(kind: AudioFormat) -> AudioEncoder:
    """
    Raises:
        ConfigError: the package that encodes is not installed.
    """
    if not _is_installed("av"):
        raise ConfigError("PyAV is not installed", hint="pip install 'cozy-engine[speech]'")
    from cozy_adapters.codec.encoding import encoder_of  # on first use: FFmpeg takes 0.1 s to load

    return encoder_of(kind)


def _offline_voice(name: str) -> Named[TextToSpeech] | None:
    if not (_is_installed("espeakng_loader") and _is_installed("av")):
        return None
    from cozy_adapters.espeak.speaker import EspeakTextToSpeech  # as above

    return Named(name, EspeakTextToSpeech())


def _voice(name: str, models: Mapping[str, LanguageModel]) -> Named[TextToSpeech] | None:
    if name == "espeak":
        return _offline_voice(name)
    ref = parse_ref(name)
    model = models.get(ref.provider) if ref else None
    if ref and isinstance(model, OpenAILanguageModel):
        return Named(name, model.text_to_speech(ref.id))
    raise ConfigError(
        f"speech.tts: '{name}' is neither 'espeak' nor provider/model of a provider that speaks; "
        f"there are: {_with_sound(models)}"
    )


def _recogniser(name: str, models: Mapping[str, LanguageModel]) -> Named[SpeechToText]:
    ref = parse_ref(name)
    model = models.get(ref.provider) if ref else None
    if ref and isinstance(model, OpenAILanguageModel):
        return Named(name, model.speech_to_text(ref.id))
    raise ConfigError(
        f"speech.stt: '{name}' is not provider/model of a provider that listens; "
        f"there are: {_with_sound(models)}"
    )


def _with_sound(models: Mapping[str, LanguageModel]) -> str:
    """The providers that speak and listen, for people."""
    names = sorted(it for it, model in models.items() if isinstance(model, OpenAILanguageModel))
    return ", ".join(names) or "none"


def _transcribing(
    codec: AudioCodec | None, recognisers: Switchover[SpeechToText], settings: SpeechSettings
) -> Transcribing | None:
    if codec is None:
        return None
    return Transcribing(codec, recognisers, TranscribingDeadlines(file_s=settings.transcript_s))


def _embedding_routes(settings: ModelSettings) -> EmbeddingRoutes:
    return embedding_routes(settings.embedding, tuple(settings.embeddings.items()))


def discovery(environment: Mapping[str, str]) -> Callable[[], Awaitable[tuple[FoundProvider, ...]]]:
    """Looks for providers that nobody configured: those whose key was set on purpose first, an Ollama that happens to run
    last."""

    async def discovered() -> tuple[FoundProvider, ...]:
        found = [
            FoundProvider(it.provider, it.found, None if it.problem else it.language_model(), it.problem)
            for it in await discover(environment)
        ]
        if it := anthropic.discover(environment):
            model = None if it.problem else it.language_model()
            found.append(FoundProvider(anthropic.PROVIDER, it.found, model, it.problem))
        return tuple(sorted(found, key=lambda provider: provider.name == OLLAMA))

    return discovered


def mcp_servers(settings: ToolSettings) -> McpToolBox:
    """One tool box of all MCP servers of the settings.

    Raises:
        ConfigError: the client is not installed.
    """
    if settings.mcp and not _is_installed("mcp"):
        raise ConfigError(
            "tools.mcp names MCP servers, and the client is not installed",
            hint="pip install 'cozy-engine[mcp]'",
        )
    return McpToolBox([_configured(name, server) for name, server in settings.mcp.items()])


async def tool_server_states(container: "Container", within_s: float = 15.0) -> tuple[ToolServerState, ...]:
    """Connects to the MCP servers of the settings, waits for at most ``within_s`` seconds, tells how they are, by name, and
    leaves them. For checks beside a server: one that runs tells how its own are at ``/health/engines``.

    Raises:
        ConfigError: the client is not installed.
    """
    servers = mcp_servers(container.settings().tools)
    async with servers.running():
        try:
            async with asyncio.timeout(within_s):
                await servers.tried()
        except TimeoutError:
            pass  # some are still "connecting", and are told so
        return servers.states()


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it was put out of the way
        return False


def _configured(name: str, server: McpSettings) -> Configured:
    effects = {tool: Effect(effect) for tool, effect in server.effects.items()}
    return Configured(
        name=name,
        rules=Rules(name, Effect(server.effect), effects, server.allow, server.pinned, server.trusted),
        command=server.command,
        environment={variable: value.reveal() for variable, value in server.env.items()},
        folder=server.cwd,
        url=server.url.reveal() if server.url else "",
        headers={header: value.reveal() for header, value in server.headers.items()},
        deadline_s=server.deadline_s,
    )


def _language_model(name: str, kind: str, provider: ProviderSettings) -> LanguageModel:
    if kind == "offline":
        return OfflineLanguageModel()
    key = provider.api_key.reveal() if provider.api_key else ""
    if kind == "anthropic":
        return AnthropicLanguageModel(name, key, base_url=provider.base_url)
    dialect = dialect_of(provider.base_url)
    if provider.token_parameter:
        dialect = replace(dialect, output_limit=provider.token_parameter)
    return OpenAILanguageModel(name, key, base_url=provider.base_url, dialect=dialect)


def _persona_folder(settings: PersonaSettings) -> Path | None:
    return Path(settings.folder) if settings.folder else None


def _milliseconds(engine: DeadlineSettings) -> int:
    return round(engine.deadline_s * 1_000)


def _probe(jobs: JobQueue) -> Callable[[], Awaitable[object]]:
    """The cheapest question to the store that it cannot answer without its file."""
    return lambda: jobs.list(limit=1)


def _circuits(
    generation: Generation,
    assembly: ContextAssembly,
    embedding: Embedding,
    voices: Switchover[TextToSpeech],
    shared: SharedLimits | None,
) -> Callable[[], Mapping[str, Circuit]]:
    return lambda: {
        **({REDIS: shared.circuit} if shared else {}),
        **{str(model): circuit for model, circuit in embedding.circuits().items()},
        **{str(model): circuit for model, circuit in generation.circuits().items()},
        **{str(engine): circuit for engine, circuit in assembly.circuits().items()},
        **{f"voice {name}": circuit for name, circuit in voices.circuits().items()},
    }


def _short_of(configuration: LiveConfiguration, personas: PersonaReload) -> Callable[[], bool]:
    return lambda: configuration.standing_in or personas.refused


def _tool_names(toolbox: ToolBox) -> Callable[[], tuple[str, ...]]:
    return lambda: tuple(tool.name for tool in toolbox.specs())


def _limits(own: LimitStore, shared: SharedLimits | None) -> LimitStore:
    return shared or own


def _rates(settings: LimitSettings, *, development: bool) -> Rates:
    return rates_of(settings, development=development)


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

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(TimeOrderedIds)
    tokens = providers.Singleton(EstimatedTokenCounter)

    rates = providers.Singleton(_rates, settings.provided.limits, development=development)
    seats = providers.Singleton(
        Seats, settings.provided.limits.turns_at_once, settings.provided.limits.turns_at_once_per_owner
    )
    own_limits = providers.Singleton(InMemoryLimitStore, clock)
    shared_limits = providers.Singleton(shared_limits, settings, rates, own_limits, clock)
    throttle = providers.Singleton(
        Throttle,
        providers.Callable(_limits, own_limits, shared_limits),
        rates,
        providers.Singleton(Addresses, settings.provided.server.trusted_proxies),
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
    models = providers.Singleton(language_models, settings.provided.models)
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
    voices = providers.Singleton(voices, settings.provided.speech, models, clock)
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
    recognisers = providers.Singleton(recognisers, settings.provided.speech, models, clock)
    transcribing = providers.Singleton(_transcribing, codec, recognisers, settings.provided.speech)
    transcription_parts = providers.Singleton(
        TranscriptionParts, transcribing, configuration.provided.snapshot
    )
    embedding_routes = providers.Callable(_embedding_routes, settings.provided.models)
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

    sealing = providers.Singleton(Sealing, audit, audit_anchor, audit_key, settings.provided.audit.seal_s)
    worker = providers.Singleton(Worker, jobs, providers.Object({LEARN: flush}), clock)
    persona_reload = providers.Singleton(
        PersonaReload,
        catalog,
        configuration,
        providers.Callable(_tool_names, toolbox),
        persona_files.provided.look,
        settings.provided.personas.reload_s,
        providers.Callable(tuple, settings.provided.tools.mcp),
    )
    vitals = providers.Singleton(
        Vitals,
        providers.Callable(_probe, jobs),
        providers.Callable(_circuits, generation, assembly, embedding, voices, shared_limits),
        clock,
        providers.Callable(_short_of, configuration, persona_reload),
        tool_servers.provided.states,
    )

    keys = providers.Singleton(Keys, key_store, clock)
    door = providers.Singleton(_door, keys, development=development)
    access_log = providers.Singleton(_access_log, settings.provided.telemetry, development=development)
    refusals = providers.Singleton(RefusalLog, audit, audit_key, ids, clock)
