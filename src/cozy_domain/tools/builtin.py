"""The two tools that every persona may be given: a calculator and a clock (pure).

The clock tells the time that it is given. It reads the rules of time zones from the system, or from the ``tzdata`` package
that the ``server`` extra brings; where neither is there it knows UTC and fixed offsets.
"""

import difflib
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache

import msgspec

from cozy_domain.errors import ToolError
from cozy_domain.models.request import ToolDefinition
from cozy_domain.tools.arithmetic import calculate
from cozy_domain.tools.tool import Effect, ToolContext, ToolSpec, ToolTime

CALCULATOR = ToolSpec(
    ToolDefinition(
        name="calculator",
        description=(
            "Computes an arithmetic expression, exactly where possible; a result that begins with ≈ is rounded. "
            "Operators: + - * / // % ** and brackets; % is the remainder, ^ is the same as **. "
            "Functions: sqrt, cbrt, abs, round(x, digits), floor, ceil, min, max, sum, mean, factorial, gcd, exp, ln, "
            "log10, log2, log(x, base), sin, cos, tan, asin, acos, atan (in radians), radians(degrees), "
            "degrees(radians). Constants: pi, e. No variables, units, percent signs or thousands separators."
        ),
        parameters=msgspec.Raw(
            b'{"type":"object","properties":{"expression":{"type":"string","minLength":1,"maxLength":1000,'
            b'"description":"For example: 1000 * (1 + 0.05 / 12) ** 120"}},'
            b'"required":["expression"],"additionalProperties":false}'
        ),
    ),
    Effect.READ,
)

CLOCK = ToolSpec(
    ToolDefinition(
        name="clock",
        description="Tells the current date, time, weekday and UTC offset in the user's time zone, or in another one.",
        parameters=msgspec.Raw(
            b'{"type":"object","properties":{"timezone":{"type":["string","null"],"maxLength":64,"description":'
            b'"IANA name, for example Europe/Paris or Asia/Shanghai; leave it out for the user\'s own time zone"}},'
            b'"additionalProperties":false}'
        ),
    ),
    Effect.READ,
)

# Not strftime: its names follow the locale of the process.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.ASCII | re.IGNORECASE)
_WIDEST = timedelta(hours=18)
"""Offsets of RFC 3339 go to 23:59; no zone ever had more than 15:14 (tz database)."""
_NEAREST = 3


class _Calculation(msgspec.Struct, frozen=True):
    expression: str


class _Place(msgspec.Struct, frozen=True):
    timezone: str | None = None


def calculator(arguments: msgspec.Raw, context: ToolContext) -> str:  # noqa: ARG001 - all tools are called alike
    """``calculate`` as a tool."""
    return calculate(msgspec.json.decode(arguments, type=_Calculation).expression)


def clock(arguments: msgspec.Raw, context: ToolContext) -> str:
    """``tell_time`` as a tool."""
    return tell_time(context.now, msgspec.json.decode(arguments, type=_Place).timezone)


def tell_time(now: ToolTime, place: str | None = None) -> str:
    """``Sunday, 2026-11-22 16:11:34, Europe/Paris (UTC+01:00)``; without ``place`` in the owner's zone.

    Raises:
        ToolError: no such time zone; names similar ones.
    """
    name = (place or "").strip() or now.timezone
    local = (_EPOCH + timedelta(microseconds=now.unix_us)).astimezone(_zone(name))
    return f"{_WEEKDAYS[local.weekday()]}, {local:%Y-%m-%d %H:%M:%S}, {_label(name, local)}"


def _label(name: str, local: datetime) -> str:
    offset = f"UTC{local.isoformat()[-6:]}"
    return offset if _OFFSET.fullmatch(name) else f"{name} ({offset})"


def _zone(name: str) -> tzinfo:
    if name.upper() in {"UTC", "GMT", "Z"}:
        return UTC
    if match := _OFFSET.fullmatch(name):
        return _fixed(match)
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path or a NUL; a folder of the tz database
        raise _unknown_zone(name) from None


def _fixed(match: re.Match[str]) -> tzinfo:
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    if offset > _WIDEST:
        raise ToolError("a UTC offset has at most 18 hours")
    return timezone(-offset if match[1] == "-" else offset)


def _unknown_zone(name: str) -> ToolError:
    near = _similar(name)
    if not near:
        return ToolError("no such time zone; use an IANA name like Europe/Paris, or an offset like +08:00")
    return ToolError(f"no such time zone; similar: {', '.join(near)}")


def _similar(name: str) -> list[str]:
    """Zones of that city first, then zones that are written alike."""
    wanted = name.lower().replace(" ", "_")
    zones = _zones()
    city = wanted.rpartition("/")[2]
    same = [zone for low, zone in zones.items() if low.rpartition("/")[2] == city]
    alike = [zones[low] for low in difflib.get_close_matches(wanted, zones, _NEAREST, cutoff=0.7)]
    return list(dict.fromkeys(same + alike))[:_NEAREST]


@cache
def _zones() -> dict[str, str]:
    """Every zone by its name in lower case."""
    return {name.lower(): name for name in sorted(zoneinfo.available_timezones())}
