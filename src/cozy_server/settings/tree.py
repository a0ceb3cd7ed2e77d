"""The settings, section by section. A field's docstring below it is its line in the reference.

``_s`` is seconds, ``_bytes`` bytes. A `Secret` may be written as ``env:NAME`` or ``file:PATH``. A relative path starts where
the command runs.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cozy_server.settings.secret import Secret

Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1)]


class ServerSettings(msgspec.Struct, frozen=True):
    """Where and how it listens."""

    host: str = "127.0.0.1"
    """Address to listen on. A public one needs at least one API key."""
    port: Port = 8000
    """0 takes a free one."""
    role: Literal["all"] = "all"
    """What this process does: everything, the worker included."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may call, each exactly as `https://example.org`; none by default."""
    shutdown_timeout_s: Seconds = 30.0
    """How long after SIGTERM answers under way may take to finish; then they are cut and kept as interrupted."""
    drain_s: Annotated[float, Meta(ge=0, le=3_600)] = 1.0
    """How long after SIGTERM `/readyz` says 503 before new connections are refused, so that a load balancer notices."""
    header_timeout_s: Seconds = 30.0
    """A request whose headers take longer is cut."""
    body_timeout_s: Seconds = 65.0
    """A connection whose request body takes longer is cut; a JSON body is answered 408 after 60 s."""
    send_timeout_s: Seconds = 60.0
    """A connection whose client stops reading its answer for so long is cut."""
    keep_alive_s: Seconds = 75.0
    """How long an idle connection stays open; longer than a proxy's, so that it never meets a closing one."""
    header_bytes: Annotated[int, Meta(ge=1_024, le=1_048_576)] = 16_384
    """Most bytes of a request's line and headers together."""
    timezone: str = "UTC"
    """IANA zone of those who do not say theirs."""


class DataSettings(msgspec.Struct, frozen=True):
    """What is kept on this machine."""

    folder: str = ".cozy"
    """Database file and generated keys. Created for its owner alone (0700)."""


class DatabaseSettings(msgspec.Struct, frozen=True):
    """The store."""

    url: Secret | None = None
    """`sqlite:///PATH`, for one process, or `postgresql://USER:PASSWORD@HOST:PORT/NAME`, for any number of them (with
    one and the same audit key); by default the file `cozy.db` in the data folder."""
    pool_size: Annotated[int, Meta(ge=1, le=1_000)] = 10
    """Most connections of one process to Postgres."""


class RedisSettings(msgspec.Struct, frozen=True):
    """Shared limits and presence. Nothing uses it yet."""

    url: Secret | None = None
    """`redis://HOST:PORT/DB`."""


class ProviderSettings(msgspec.Struct, frozen=True):
    """Somebody who offers models."""

    kind: Literal["openai", "offline"] = "openai"
    """`openai` is OpenAI, and everything that speaks its chat completions."""
    base_url: str | None = None
    """For `openai`: up to and with `/v1`; by default OpenAI's own."""
    api_key: Secret | None = None
    """Some local servers need none."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] | None = None
    """How the provider calls the limit of an answer; by default the new name at OpenAI itself, the old one elsewhere."""


class ModelSettings(msgspec.Struct, frozen=True):
    """Who answers. A model is written `provider/id`."""

    default: str | None = None
    """The model that answers; by default it is looked for (`COZY_MODEL` is another name for this)."""
    providers: dict[str, ProviderSettings] = {}
    """By name, besides those that the environment shows."""
    routes: dict[str, tuple[str, ...]] = {}
    """Alias to models, tried in this order."""
    allowed: tuple[str, ...] = ()
    """Models that a request may name itself."""
    preferred: tuple[str, ...] = ()
    """When a provider lists many models: the first of these that it lists becomes the default."""
    embedding: str | None = None
    """The model behind `/v1/embeddings`; by default `offline/lexical`, which compares words and not meanings."""
    embeddings: dict[str, str] = {}
    """Other names for embedding models, each with its model: the names that your clients write, for example."""
    embedding_s: Seconds = 30.0
    """Deadline of one call of an embedding model, its retry included."""
    window_tokens: Annotated[int, Meta(ge=1_024)] = 32_768
    """Context window assumed of a model."""
    first_token_s: Seconds = 10.0
    """Deadline of one try to the first token."""
    chain_s: Seconds = 30.0
    """The same over the whole chain of models."""
    between_s: Seconds = 20.0
    """Longest silence between two pieces of an answer."""


class PersonaSettings(msgspec.Struct, frozen=True):
    """Who speaks."""

    folder: str | None = None
    """YAML files that add to the shipped personas and replace them by id."""


class ToolSettings(msgspec.Struct, frozen=True):
    """What the server runs for a model."""

    deadline_s: Seconds = 30.0
    """Of one call."""
    result_characters: Count = 16_000
    """A longer result is cut, with a note."""


class LimitSettings(msgspec.Struct, frozen=True):
    """What bounds a turn."""

    turn_s: Seconds = 300.0
    """Of a whole turn."""
    answer_characters: Count = 500_000
    """A longer answer is cut."""


class DeadlineSettings(msgspec.Struct, frozen=True):
    """One of the engines that a turn may ask, and may do without."""

    deadline_s: Seconds = 0.4
    """After which the turn goes on without it."""


class AuditSettings(msgspec.Struct, frozen=True):
    """The log that shows tampering."""

    key: Secret | None = None
    """64 hex digits (32 random bytes) that sign the records; by default `audit.key` in the data folder, which `cozy dev`
    generates and `cozy serve` insists on."""
    seal_s: Annotated[float, Meta(gt=0, le=5)] = 5.0
    """How often records are chained."""


class TelemetrySettings(msgspec.Struct, frozen=True):
    """What it says about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""


class UnusedSettings(msgspec.Struct, frozen=True):
    """Nothing can be set here yet."""


class Settings(msgspec.Struct, frozen=True):
    """The whole tree; its fields are the sections of `cozy.yaml`."""

    server: ServerSettings = ServerSettings()
    data: DataSettings = DataSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    models: ModelSettings = ModelSettings()
    personas: PersonaSettings = PersonaSettings()
    tools: ToolSettings = ToolSettings()
    limits: LimitSettings = LimitSettings()
    speech: UnusedSettings = UnusedSettings()
    voice: UnusedSettings = UnusedSettings()
    memory: DeadlineSettings = DeadlineSettings(deadline_s=0.4)
    knowledge: DeadlineSettings = DeadlineSettings(deadline_s=0.5)
    profile: DeadlineSettings = DeadlineSettings(deadline_s=0.3)
    plugins: UnusedSettings = UnusedSettings()
    audit: AuditSettings = AuditSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    canary: UnusedSettings = UnusedSettings()
