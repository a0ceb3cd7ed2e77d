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
PerMinute = Annotated[int, Meta(ge=0, le=1_000_000)]


class ServerSettings(msgspec.Struct, frozen=True):
    """Where and how it listens."""

    host: str = "127.0.0.1"
    """Address to listen on. A public one needs at least one API key."""
    port: Port = 8000
    """0 takes a free one."""
    role: Literal["all"] = "all"
    """What this process does: everything, the worker included."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages that may call, each exactly as `https://example.org`; none by default. `null` is not one page but
    every page of a file and every sandboxed one, of whomever."""
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
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (`10.0.0.0/8`) of proxies in front, whose `X-Forwarded-For` tells from where a request comes;
    without them a proxy's own address counts for all of its clients."""


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
    """What processes share and can do without: limits. While it does not answer, each process limits by itself."""

    url: Secret | None = None
    """`redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://` with TLS, or `unix://PATH`; Redis 6.2 or newer."""
    prefix: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$")] = "cozy"
    """Keys begin with it: give each installation that uses the same Redis another one."""
    deadline_s: Annotated[float, Meta(gt=0, le=5)] = 0.1
    """Of one question; a request waits no longer for Redis than this."""


class ProviderSettings(msgspec.Struct, frozen=True):
    """Somebody who offers models."""

    kind: Literal["openai", "anthropic", "offline"] | None = None
    """`openai` is OpenAI, and everything that speaks its chat completions; `anthropic` is Anthropic, and everything that
    speaks its Messages API. By default `anthropic` for the provider of that name, else `openai`."""
    base_url: str | None = None
    """For `openai` up to and with `/v1`; for `anthropic` without it; by default the provider's own."""
    api_key: Secret | None = None
    """Some local servers need none."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] | None = None
    """How the provider calls the limit of an answer; by default the new name at OpenAI itself, the old one elsewhere."""


def kind_of(name: str, provider: ProviderSettings) -> Literal["openai", "anthropic", "offline"]:
    """What the provider ``name`` speaks."""
    return provider.kind or ("anthropic" if name == "anthropic" else "openai")


def is_chosen(name: str, provider: ProviderSettings) -> bool:
    """Whether somebody configured it. The others may come of a key that happens to be in the environment, which is no
    reason not to start."""
    return provider.kind is not None or name != kind_of(name, provider)


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
    reload_s: Annotated[float, Meta(ge=0, le=3_600)] = 2.0
    """How often the folder is looked at: a change is live within twice that, or, with a mistake in it, logged, while the
    personas from before stay. 0 is never."""


ToolEffect = Literal["read", "write", "network", "dangerous"]


class McpSettings(msgspec.Struct, frozen=True):
    """An MCP server: a program of this machine (`command`) or an address (`url`)."""

    command: tuple[str, ...] = ()
    """The program and its arguments, which run as this process does."""
    env: dict[str, Secret] = {}
    """Its variables. Of this process's own it gets only those that every program needs, such as `PATH` and `HOME`."""
    cwd: str | None = None
    """The folder where it starts; by default the one where this process did."""
    url: Secret | None = None
    """Streamable HTTP, for example `https://example.org/mcp`."""
    headers: dict[str, Secret] = {}
    """Sent with every request, for example `Authorization`."""
    effect: ToolEffect = "write"
    """What its tools may change. The server's own hints count only where they are stricter."""
    effects: dict[str, ToolEffect] = {}
    """The same for single tools, by the server's own names; the server's hints do not count."""
    allow: tuple[str, ...] = ()
    """Only these of its tools, by the server's own names; by default all."""
    deadline_s: Seconds = 30.0
    """Of one call; `tools.deadline_s` holds too."""
    pinned: bool = True
    """A tool whose description or parameters change is withheld until this process is started again; if false it is taken as
    it is now, with a warning."""
    trusted: bool = False
    """You vouch for what it writes into the descriptions of its tools. If false, where they are offered, tools that change
    something of other servers and of this one itself run only when the persona names them in `tools.when_tainted`."""


class ToolSettings(msgspec.Struct, frozen=True):
    """What the server runs for a model."""

    deadline_s: Seconds = 30.0
    """Of one call."""
    result_characters: Count = 16_000
    """A longer result is cut, with a note."""
    mcp: dict[str, McpSettings] = {}
    """MCP servers by name (lower-case letters, digits and -). They can be written in the configuration file only, because
    they say which programs run."""


class LimitSettings(msgspec.Struct, frozen=True):
    """How much one may ask, and what bounds a turn. A minute's requests may come at once; then the bucket fills at a steady
    pace. `cozy dev` limits no requests unless one of the first three is set."""

    owner_per_minute: PerMinute | None = None
    """Requests of one owner: a key's account, or each person of a key that serves many. With `cozy serve` 60 unless set; 0
    is no limit."""
    address_per_minute: PerMinute | None = None
    """Requests from one address (an IPv6 one: its /64), failed ones included; those of keys that serve many are not
    counted, nor refused for it once the process knows the key. With `cozy serve` 100 unless set; 0 is no limit."""
    serving_account_per_minute: PerMinute | None = None
    """Requests of all people together whom an account's keys that serve many ask for. With `cozy serve` 600 unless set; 0
    is no limit."""
    processes: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """How many processes share the limits through Redis: while it does not answer, each admits its part of them."""
    turns_at_once: Annotated[int, Meta(ge=1, le=100_000)] = 600
    """Answers under way in one process, of chat, speech, transcription and embeddings together; one more is refused at once
    with 503. Each needs some 100 kB."""
    turns_at_once_per_owner: Annotated[int, Meta(ge=1, le=100_000)] = 100
    """Of one owner, as above; one more is refused with 429."""
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
    access_log: bool | None = None
    """A line for each request: method, route, status, milliseconds, request id and account, and nothing of what was said;
    by default in `cozy serve`, and not in `cozy dev`. It is of level `info`."""


class SpeechSettings(msgspec.Struct, frozen=True):
    """Who speaks, and who listens."""

    tts: tuple[str, ...] = ("espeak",)
    """Voices; the first that is well speaks: `espeak` (offline, where its package is installed), `sherpa` (a model of your
    own) or `provider/model`, for example `openai/tts-1`."""
    texts_at_once: Annotated[int, Meta(ge=1, le=10_000)] = 32
    """Texts that are being made into sound at once in one process; one more is refused at once with 503. The offline voice
    makes them in turn, one sentence in up to 0.2 s."""
    first_sound_s: Seconds = 10.0
    """Deadline of a voice to the first sound of a sentence; then the next one is asked."""
    between_s: Seconds = 20.0
    """Longest silence of a voice in the middle of a sentence."""
    stt: tuple[str, ...] = ("pocketsphinx",)
    """Recognisers; the first that is well and hears the language listens: `pocketsphinx` (offline, English, demo quality,
    where its package is installed), `sherpa` or `faster-whisper` (models of your own), or `provider/model`, for example
    `openai/whisper-1`."""
    transcript_s: Seconds = 30.0
    """Deadline of a recogniser for a file, to which a second is added for each second of sound; then the next one is
    asked."""
    sherpa_stt: str | None = None
    """Folder of a recogniser for sherpa-onnx, which `stt` calls `sherpa`: tokens.txt, and a model or encoder, decoder and
    joiner."""
    sherpa_languages: tuple[str, ...] = ()
    """Those that this recogniser hears, as ISO 639-1; none where it finds out by itself. Others are left to the next one."""
    sherpa_tts: str | None = None
    """Folder of a voice for sherpa-onnx, which `tts` calls `sherpa`: a VITS (Piper) or Kokoro model, tokens.txt, and
    espeak-ng-data or lexicon.txt."""
    faster_whisper: str | None = None
    """Folder of a Whisper model for CTranslate2, which `stt` calls `faster-whisper`."""


class IceServerSettings(msgspec.Struct, frozen=True):
    """A STUN or TURN server of yours. TURN needs a user name and a password, or the secret that it shares with this
    server."""

    urls: tuple[str, ...] = ()
    """For example `stun:turn.example.org:3478` or `turn:turn.example.org:3478?transport=udp`."""
    username: str = ""
    """Of a TURN server with a fixed password."""
    password: Secret | None = None
    """Every caller is told it."""
    secret: Secret | None = None
    """Instead: each caller gets a password of his own for `lifetime_s` (coturn: `use-auth-secret`)."""
    lifetime_s: Annotated[int, Meta(ge=60, le=86_400)] = 3_600
    """How long such a password may be used to begin a call."""
    own: bool = False
    """This server connects through it as well, because callers cannot reach its own addresses. One that does not answer
    delays every call by up to 5 s."""


class VoiceSettings(msgspec.Struct, frozen=True):
    """Calls: how many, and how long. A persona may say less, and what is said (``voice.realtime``)."""

    calls_at_once: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """In one process; one more is refused."""
    calls_per_owner: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Of one owner at once. With `cozy serve` 3 unless set, with `cozy dev` as many as in all."""
    busy_percent: Annotated[int, Meta(ge=1, le=100)] = 90
    """Of its time: a process that is busy for more takes no further call."""
    longest_s: Annotated[float, Meta(gt=0, le=86_400)] = 1_800.0
    """A call ends after so long, with a goodbye."""
    idle_s: Annotated[float, Meta(gt=0, le=3_600)] = 15.0
    """So long nobody says anything before the persona asks whether somebody is there."""
    idle_prompts: Annotated[int, Meta(ge=0, le=100)] = 2
    """How often it asks."""
    idle_close_s: Annotated[float, Meta(gt=0, le=86_400)] = 120.0
    """A call in which so long nobody said anything ends."""
    reconnect_s: Annotated[float, Meta(ge=0, le=600)] = 20.0
    """So long a call whose line is lost waits for another one."""
    speculate: bool = True
    """Whether an answer is begun before it is certain that the user has finished; what is wasted is billed all the same."""
    phrases: tuple[str, ...] = ()
    """All that callers can say, for recognisers that can be held to it, such as the offline one, which knows English words
    and numbers in words; none: anything."""
    recordings: str = ""
    """A folder into which every call is written down, for `cozy replay`; empty: none is. It holds what was said, without
    sound, and nothing deletes it."""
    mount: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=200)] = ""
    """A prefix below which FastRTC's routes answer as well, such as `/rtc`, for pages that were written for
    `Stream.mount(app, path="/rtc")`."""
    socket_input_rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 24_000
    """Of the sound that pages send over `/websocket/offer`, in Hz, where they do not say: FastRTC's never do, and are
    written for one rate. Its demonstrations have 24,000 both ways; the program in its documentation sends what the
    microphone has, mostly 48,000."""
    socket_output_rate: Annotated[int, Meta(ge=8_000, le=48_000)] = 24_000
    """Of the sound that they are sent."""
    ice: dict[str, IceServerSettings] = {}
    """Servers that help callers to connect, by any name; none by default, which is enough where they reach this one."""
    twilio_token: Secret | None = None
    """The auth token of a Twilio account, with which its requests are signed: telephones call `/telephone/incoming`. Without
    it there is no such thing."""
    twilio_url: str = ""
    """The address of this server as Twilio knows it, such as `https://voice.example.org`; by default `https://` and the name
    that it calls."""
    twilio_persona: str = "default"
    """Who answers telephones."""
    twilio_account: str = "telephone"
    """The account that their calls belong to; in it each number is a person of its own."""


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
    speech: SpeechSettings = SpeechSettings()
    voice: VoiceSettings = VoiceSettings()
    memory: DeadlineSettings = DeadlineSettings(deadline_s=0.4)
    knowledge: DeadlineSettings = DeadlineSettings(deadline_s=0.5)
    profile: DeadlineSettings = DeadlineSettings(deadline_s=0.3)
    plugins: UnusedSettings = UnusedSettings()
    audit: AuditSettings = AuditSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    canary: UnusedSettings = UnusedSettings()
