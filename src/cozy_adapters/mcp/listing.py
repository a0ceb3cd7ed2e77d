"""From what a server lists to the tools that are offered (pure).

Names, descriptions and schemas come from a stranger and end in every prompt, so they are bounded. A name is made such that
a provider accepts it, and always the same way, whatever else is listed. Hints are believed only where they make a tool
more dangerous than the settings say. A tool that says something else than it did when it was first seen is withheld,
because nobody allowed that ("rug pull").
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cozy_domain.models.request import ToolDefinition
from cozy_domain.persona.persona import SERVER_END
from cozy_domain.tools.tool import Effect, ToolSpec

MAX_TOOLS = 128
"""Of one server; OpenAI takes no more in a request."""
MAX_NAME = 64
"""OpenAI function names: ``^[a-zA-Z0-9_-]{1,64}$``."""
MAX_DESCRIPTION = 4_096
"""Characters; a longer one is cut."""
MAX_SCHEMA = 32_768
"""Bytes of a tool's parameters."""
MAX_DEFINITIONS = 262_144
"""Bytes of all definitions of a server together: some 65,000 tokens, more than most windows hold beside a history."""
MAX_PINS = 1_000
"""Different tools of one server since the start; one that lists new names for ever is stopped here."""
MAX_TOLD = 20
"""Withheld tools that are told one by one."""

_STRICTNESS = tuple(Effect)
_HASHED = 8
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_SHOWN = 64


class Listed(msgspec.Struct, frozen=True):
    """A tool as its server describes it; ``parameters`` is the JSON text of a schema. The hints are None when not given."""

    name: str
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b'{"type":"object"}')
    read_only: bool | None = None
    destructive: bool | None = None


class Rules(msgspec.Struct, frozen=True):
    """What the settings say of a server's tools: ``effect`` of those that ``effects`` does not name; only those in
    ``allow``, if it names any; ``pinned``: whether a changed tool is withheld; ``vouched``: whether its descriptions are
    trusted."""

    server: str
    effect: Effect = Effect.WRITE
    effects: Mapping[str, Effect] = {}
    allow: tuple[str, ...] = ()
    pinned: bool = True
    vouched: bool = False


class Offered(msgspec.Struct, frozen=True):
    """``specs`` by name; ``originals`` are the server's own names of them; ``withheld`` are lines for people; ``pins`` are
    hashes of all tools seen so far, ``changed`` the tools that differ from them."""

    specs: tuple[ToolSpec, ...] = ()
    originals: Mapping[str, str] = {}
    withheld: tuple[str, ...] = ()
    pins: Mapping[str, str] = {}
    changed: tuple[str, ...] = ()


def offered(
    listed: Sequence[Listed], rules: Rules, pins: Mapping[str, str], *, whole: bool = True
) -> Offered:
    """What is offered of ``listed``. ``whole``: whether that is all that the server has."""
    picking = _Picking(rules, pins)
    for tool in listed:
        if not rules.allow or tool.name in rules.allow:
            picking.take(tool)
    if whole:
        picking.withheld += _missing(rules, {tool.name for tool in listed})
    else:
        picking.withheld.insert(0, f"all behind the first {len(listed):,}: the list did not end")
    kept = picking.kept
    return Offered(
        specs=tuple(kept[name][0] for name in sorted(kept)),
        originals={name: original for name, (_, original) in kept.items()},
        withheld=_told(picking.withheld),
        pins=picking.pins,
        changed=tuple(picking.changed),
    )


def offered_name(server: str, tool: str) -> str:
    """``server__tool``. Where that is no name of a function, the rest of it with a hash of the server's own name: the same
    whatever other tools there are."""
    name = f"{server}{SERVER_END}{tool}"
    clean = _NOT_IN_A_NAME.sub("_", name)
    if clean == name and len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(tool.encode(errors="replace")).hexdigest()[:_HASHED]
    return f"{clean[: MAX_NAME - _HASHED - 1]}_{mark}"


def effect_of(tool: Listed, rules: Rules) -> Effect:
    """As the settings say for the tool; else for the server, or what the tool says itself if that is stricter."""
    if tool.name in rules.effects:
        return rules.effects[tool.name]
    hinted = Effect.READ
    if tool.destructive and not tool.read_only:
        hinted = Effect.DANGEROUS
    elif tool.read_only is False:
        hinted = Effect.WRITE
    return max(hinted, rules.effect, key=_STRICTNESS.index)


class _Picking:
    """Takes tools in the order in which the server lists them."""

    def __init__(self, rules: Rules, pins: Mapping[str, str]) -> None:
        self.kept: dict[str, tuple[ToolSpec, str]] = {}
        self.pins = dict(pins)
        self.withheld: list[str] = []
        self.changed: list[str] = []
        self._rules = rules
        self._size = 0

    def take(self, tool: Listed) -> None:
        name, pin = offered_name(self._rules.server, tool.name), _pin(tool)
        spec = ToolSpec(
            ToolDefinition(name, _clean(tool.description), tool.parameters),
            effect_of(tool, self._rules),
            self._rules.server,
            vouched=self._rules.vouched,
        )
        changed = self.pins.get(tool.name, pin) != pin
        if changed:
            self.changed.append(_shown(tool.name))
        reason = self._why_not(tool, name, _cost(spec))
        if reason is None and changed and self._rules.pinned:
            reason = "it changed since it was first seen; the next start of this process takes it as it is"
        if reason is not None:
            self.withheld.append(f"{_shown(tool.name)}: {reason}")
            return
        self.pins[tool.name] = pin
        self.kept[name] = (spec, tool.name)
        self._size += _cost(spec)

    def _why_not(self, tool: Listed, name: str, cost: int) -> str | None:
        if not tool.name:
            return "it has no name"
        if name in self.kept:
            return "it is listed twice"
        if len(bytes(tool.parameters)) > MAX_SCHEMA:
            return f"its parameters have more than {MAX_SCHEMA:,} bytes"
        if not _is_of_object(tool.parameters):
            return "its parameters are no schema of an object"
        if len(self.kept) >= MAX_TOOLS:
            return f"a server may offer {MAX_TOOLS} tools; name those you want in tools.mcp.{self._rules.server}.allow"
        if self._size + cost > MAX_DEFINITIONS:
            return f"all tools of a server together may have {MAX_DEFINITIONS:,} bytes of definitions"
        if tool.name not in self.pins and len(self.pins) >= MAX_PINS:
            return f"the server has listed more than {MAX_PINS:,} different tools"
        return None


def _missing(rules: Rules, listed: set[str]) -> Iterator[str]:
    """A slip in the settings would leave a tool out, or with another effect than was meant."""
    for field, names in (("allow", rules.allow), ("effects", tuple(rules.effects))):
        for name in names:
            if name not in listed:
                yield f"{_shown(name)}: {field} names it, and the server does not list it"


def _told(withheld: list[str]) -> tuple[str, ...]:
    more = len(withheld) - MAX_TOLD
    return (*withheld[:MAX_TOLD], f"{more:,} more") if more > 0 else tuple(withheld)


def _is_of_object(parameters: msgspec.Raw) -> bool:
    try:
        return msgspec.json.decode(parameters, type=_Schema).type == "object"
    except msgspec.MsgspecError:
        return False


class _Schema(msgspec.Struct, frozen=True):
    type: str = ""


def _cost(spec: ToolSpec) -> int:
    return len(spec.name) + len(spec.definition.description.encode()) + len(bytes(spec.definition.parameters))


def _pin(tool: Listed) -> str:
    return hashlib.sha256(
        msgspec.json.encode(msgspec.structs.replace(tool, description=_clean(tool.description)))
    ).hexdigest()


def _clean(text: str) -> str:
    """What no JSON text can hold (lone surrogates) and no database (NUL) is replaced; the rest is bounded."""
    clean = text.encode(errors="replace").decode().replace("\x00", "\ufffd")
    return clean if len(clean) <= MAX_DESCRIPTION else clean[: MAX_DESCRIPTION - 1] + "…"


def _shown(name: str) -> str:
    return repr(_clean(name)[:_SHOWN])
