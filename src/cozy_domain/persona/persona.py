"""A persona as its author writes it, schema ``persona/1``.

Unknown keys are kept under ``extensions``, so that a document survives a round trip through an older engine.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cozy_domain.ids import PersonaId
from cozy_domain.nearest import nearest

SCHEMA = "persona/1"
ID_PATTERN = "^[a-z0-9][a-z0-9_-]{0,63}$"
LOCALE_PATTERN = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"
"""The form of RFC 5646 tags that begin with a language of two or three letters; its registry is not looked into."""
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
ALWAYS_FILLED = ("char", "user")
"""In any case of letters; the persona's name, and words for the user."""
SERVER_END = "__"
"""Stands between the name of an MCP server, which does not hold it, and that of its tool."""
Share = Annotated[int, Meta(ge=0)]


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exchange that shows how the persona speaks."""

    user: str
    assistant: str


class Variable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value a prompt refers to as ``{{name}}``; ``max`` bounds the characters of what is filled in."""

    type: Literal["string", "number", "boolean"] = "string"
    default: str | float | bool | None = None
    max: Annotated[int, Meta(ge=1, le=4000)] = 200


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``post_history`` stands behind the user's message; ``openings`` are greetings, the first is the usual one."""

    system: str = ""
    style: str = ""
    examples: tuple[Example, ...] = ()
    post_history: str = ""
    variables: dict[str, Variable] = {}
    openings: tuple[str, ...] = ()


class ModelPreferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``route`` and ``fallbacks`` name aliases or ``provider/id``; None is the server's default route."""

    route: str | None = None
    fallbacks: tuple[str, ...] = ()
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_output: Annotated[int, Meta(ge=1)] | None = None
    reasoning: str | None = None
    stop: Annotated[tuple[str, ...], Meta(max_length=4)] = ()


class ToolPermissions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty ``allow`` means no tool; ``mcp`` are servers all of whose tools it may have; ``deny`` wins over both.
    ``limits`` are calls of a tool in one turn. ``when_tainted``: tools that may change something also in a turn that holds
    text from outside, or beside a server that nobody vouches for. ``cancel_on_barge_in``: tools that are stopped when the
    user of a call speaks over the answer that asked for them; others go on. ``sealed``: no child may allow more than this.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    approval: tuple[str, ...] = ()
    limits: dict[str, Annotated[int, Meta(ge=0)]] = {}
    mcp: tuple[str, ...] = ()
    when_tainted: tuple[str, ...] = ()
    cancel_on_barge_in: tuple[str, ...] = ()
    sealed: bool = False

    @property
    def usable(self) -> frozenset[str]:
        """Allowed and not denied."""
        return frozenset(self.allow) - frozenset(self.deny)


class MemoryRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``scopes``: ``owner`` reads what any persona learned, ``persona`` only what this one did."""

    enabled: bool = True
    scopes: tuple[Literal["owner", "persona"], ...] = ("owner",)
    types: tuple[str, ...] = ()
    top_k: Annotated[int, Meta(ge=1, le=100)] = 10
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.0


class MemoryWrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``debounce_s`` and ``ttl_days`` as named; ``sensitive``: what to do with a sensitive fact."""

    enabled: bool = True
    scopes: tuple[Literal["owner", "persona"], ...] = ("owner",)
    debounce_s: Annotated[int, Meta(ge=0, le=86_400)] = 60
    sensitive: Literal["drop", "mask", "ask"] = "drop"
    ttl_days: Annotated[int, Meta(ge=1)] | None = None


class MemoryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    read: MemoryRead = MemoryRead()
    write: MemoryWrite = MemoryWrite()
    profile_schema: tuple[str, ...] = ()


class LoreEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Background that is added when one of ``keys`` was said lately; ``constant`` always."""

    id: str
    text: str
    keys: tuple[str, ...] = ()
    constant: bool = False
    enabled: bool = True


class Lore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``scan_depth`` is how many of the last messages are searched for keys."""

    entries: tuple[LoreEntry, ...] = ()
    scan_depth: Annotated[int, Meta(ge=1, le=50)] = 4
    recursion: Annotated[int, Meta(ge=0, le=3)] = 0
    budget: Share | None = None


class KnowledgePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    collections: tuple[str, ...] = ()
    mode: Literal["off", "auto", "always"] = "auto"
    citations: bool = False
    top_k: Annotated[int, Meta(ge=1, le=50)] = 5
    lore: Lore = Lore()


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens of one prompt section. A section gets its floor first, by priority (higher first), then more up to its
    ceiling (None: as much as there is)."""

    floor: Share = 0
    ceiling: Share | None = None
    priority: int = 0


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``reply`` is what is kept free for the answer (its ceiling)."""

    history: Budget = Budget(floor=1_000, ceiling=None, priority=40)
    memory: Budget = Budget(floor=0, ceiling=1_000, priority=30)
    knowledge: Budget = Budget(floor=0, ceiling=2_000, priority=20)
    profile: Budget = Budget(floor=0, ceiling=500, priority=35)
    reply: Budget = Budget(floor=256, ceiling=4_096, priority=50)


class Voice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stt: str | None = None
    tts: str | None = None
    voice: str | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] = 1.0
    realtime: dict[str, str | float | bool] = {}
    turn_detection: dict[str, str | float | bool] = {}
    instructions_override: str | None = None


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Never enters a prompt."""

    author: str | None = None
    created: str | None = None
    source: str | None = None
    licence: str | None = None
    checksum: str | None = None
    notes: str | None = None


class Persona(msgspec.Struct, frozen=True):
    """A resolved persona: flat, nothing inherited any more. ``locale`` is a BCP 47 tag or ``mul`` for several."""

    id: Annotated[PersonaId, Meta(pattern=ID_PATTERN)]
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    locale: Annotated[str, Meta(pattern=LOCALE_PATTERN)] = "en"
    description: str = ""
    tags: tuple[str, ...] = ()
    personalise: bool = True
    """Whether memory, knowledge and profile are used when a request does not say."""
    prompt: Prompt = Prompt()
    model: ModelPreferences = ModelPreferences()
    tools: ToolPermissions = ToolPermissions()
    memory: MemoryPolicy = MemoryPolicy()
    knowledge: KnowledgePolicy = KnowledgePolicy()
    budgets: Budgets = Budgets()
    voice: Voice = Voice()
    meta: Provenance = Provenance()
    extensions: dict[str, msgspec.Raw] = {}


class PublishedPersona(msgspec.Struct, frozen=True):
    """A persona with its revision (from 1) and the hash (SHA-256, hex) of its resolved document."""

    persona: Persona
    revision: int
    hash: str
    published_at_us: int


def server_of(tool: str) -> str | None:
    """The MCP server that a tool of this name comes from: ``files`` of ``files__read``. Our own tools have none."""
    server, between, _ = tool.partition(SERVER_END)
    return server if between else None


class Fault(msgspec.Struct, frozen=True):
    """What breaks a rule that no single type can express, and where. A warning does not make a persona invalid."""

    path: tuple[str | int, ...]
    message: str
    code: str
    warning: bool = False
    suggestion: str = ""


def faults(persona: Persona) -> tuple[Fault, ...]:
    """All of them. Types and ranges are taken as checked."""
    return (
        *_budget_faults(persona.budgets),
        *_variable_faults(persona.prompt),
        *_undeclared(persona),
        *_lore_faults(persona.knowledge.lore),
        *_memory_faults(persona.memory.read),
        *_tool_faults(persona.tools),
    )


def _budget_faults(budgets: Budgets) -> Iterator[Fault]:
    for name in Budgets.__struct_fields__:
        budget: Budget = getattr(budgets, name)
        if budget.ceiling is not None and budget.floor > budget.ceiling:
            message = f"floor {budget.floor} is above ceiling {budget.ceiling}"
            yield Fault(("budgets", name), message, "persona_budgets")


def _variable_faults(prompt: Prompt) -> Iterator[Fault]:
    for name, variable in prompt.variables.items():
        path, code = ("prompt", "variables", name, "default"), "persona_prompt_variables_default"
        if variable.default is None:
            continue
        if _type_of(variable.default) != variable.type:
            yield Fault(path, f"is not a {variable.type}", code)
        elif len(str(variable.default)) > variable.max:
            yield Fault(path, f"is longer than {variable.max} characters", code)


def _undeclared(persona: Persona) -> Iterator[Fault]:
    """A slip in a name would stand in the prompt as it is written."""
    known = (*persona.prompt.variables, *ALWAYS_FILLED)
    for path, text in _filled_texts(persona):
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            if name not in persona.prompt.variables and name.casefold() not in ALWAYS_FILLED:
                near = nearest(name, known)
                message = f"'{{{{{name[:40]}}}}}' stays as it is: no variable has that name"
                suggestion = f"{{{{{near}}}}}" if near else ""
                yield Fault(path, message, "persona_variable", warning=True, suggestion=suggestion)


def _filled_texts(persona: Persona) -> Iterator[tuple[tuple[str | int, ...], str]]:
    prompt = persona.prompt
    yield ("prompt", "system"), prompt.system
    yield ("prompt", "style"), prompt.style
    for index, example in enumerate(prompt.examples):
        yield ("prompt", "examples", index, "user"), example.user
        yield ("prompt", "examples", index, "assistant"), example.assistant
    yield ("prompt", "post_history"), prompt.post_history
    for index, opening in enumerate(prompt.openings):
        yield ("prompt", "openings", index), opening
    for index, entry in enumerate(persona.knowledge.lore.entries):
        yield ("knowledge", "lore", "entries", index, "text"), entry.text


def _type_of(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def _lore_faults(lore: Lore) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, entry in enumerate(lore.entries):
        path = ("knowledge", "lore", "entries", index)
        if entry.id in seen:
            yield Fault((*path, "id"), f"'{entry.id}' is the id of an earlier entry", "persona_lore_id")
        if entry.enabled and not entry.constant and not entry.keys:
            message = "is never added: it has no keys and is not constant"
            yield Fault(path, message, "persona_lore_keys", warning=True)
        seen.add(entry.id)


def _memory_faults(read: MemoryRead) -> Iterator[Fault]:
    if read.types:
        message = "has no effect yet: facts have no types, so all of them are read"
        yield Fault(("memory", "read", "types"), message, "persona_without_effect", warning=True)


def _tool_faults(tools: ToolPermissions) -> Iterator[Fault]:
    usable = tools.usable
    for index, tool in enumerate(tools.allow):
        if tool not in usable:
            message = f"'{tool}' has no effect: it is denied"
            yield Fault(("tools", "allow", index), message, "persona_tools_denied", warning=True)
