"""Calculator and clock as tools."""

import re
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import available_timezones

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozy_domain.errors import ToolError
from cozy_domain.ids import Owner, TurnId
from cozy_domain.tools.builtin import CALCULATOR, CLOCK, calculator, clock, tell_time
from cozy_domain.tools.tool import Effect, ToolContext, ToolSpec, ToolTime

SUNDAY_NIGHT = int(datetime(2026, 11, 22, 23, 30, 5, tzinfo=UTC).timestamp()) * 1_000_000
NOW = ToolTime(SUNDAY_NIGHT, "Asia/Shanghai")
CONTEXT = ToolContext(Owner("a", "b"), TurnId(UUID(int=1)), NOW)


def test_the_owners_zone_is_the_default() -> None:
    assert tell_time(NOW) == "Monday, 2026-11-23 07:30:05, Asia/Shanghai (UTC+08:00)"


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_an_empty_zone_is_the_owners(nothing: str | None) -> None:
    assert tell_time(NOW, nothing) == tell_time(NOW)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "Sunday, 2026-11-22 23:30:05, UTC (UTC+00:00)"),
        ("utc", "Sunday, 2026-11-22 23:30:05, utc (UTC+00:00)"),
        ("America/New_York", "Sunday, 2026-11-22 18:30:05, America/New_York (UTC-05:00)"),
        ("Asia/Kolkata", "Monday, 2026-11-23 05:00:05, Asia/Kolkata (UTC+05:30)"),
        ("+08:00", "Monday, 2026-11-23 07:30:05, UTC+08:00"),
        ("UTC-3", "Sunday, 2026-11-22 20:30:05, UTC-03:00"),
        ("gmt+0530", "Monday, 2026-11-23 05:00:05, UTC+05:30"),
    ],
)
def test_another_zone_may_be_asked_for(zone: str, told: str) -> None:
    assert tell_time(NOW, zone) == told


def test_summer_time_is_known() -> None:
    july = int(datetime(2026, 7, 1, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000
    assert (
        tell_time(ToolTime(july), "Europe/Paris")
        == "Wednesday, 2026-07-01 14:00:00, Europe/Paris (UTC+02:00)"
    )


@pytest.mark.parametrize(
    ("zone", "similar"),
    [
        ("tokyo", "Asia/Tokyo"),
        ("New York", "America/New_York"),
        ("europe/paris", "Europe/Paris"),
        ("Europe/Pariss", "Europe/Paris"),
        ("Asia/Paris", "Europe/Paris"),
        ("Europe", "Europe/"),
    ],
)
def test_an_unknown_zone_names_similar_ones(zone: str, similar: str) -> None:
    with pytest.raises(ToolError, match=similar):
        tell_time(NOW, zone)


@pytest.mark.parametrize("zone", ["Narnia", "../../etc/passwd", "/etc/localtime", "a\x00b", "é", "x" * 64])
def test_a_name_that_is_no_zone_is_a_tool_error_and_never_repeated(zone: str) -> None:
    with pytest.raises(ToolError, match="no such time zone") as caught:
        tell_time(NOW, zone)
    assert f" {zone}" not in caught.value.message


@pytest.mark.parametrize("zone", ["+19", "UTC+18:01", "-99:59"])
def test_an_offset_that_no_place_has_is_refused(zone: str) -> None:
    with pytest.raises(ToolError, match="18 hours"):
        tell_time(NOW, zone)


def test_every_zone_of_the_database_can_be_told() -> None:
    for zone in available_timezones():
        assert "2026-11-2" in tell_time(NOW, zone)


@given(st.text(max_size=64))
def test_any_zone_gives_a_time_or_a_short_tool_error(zone: str) -> None:
    try:
        said = tell_time(NOW, zone)
    except ToolError as error:
        said = error.message
    assert re.search(r"2026-11-2\d|time zone|offset", said)
    assert len(said) < 200


def test_the_calculator_reads_its_expression() -> None:
    assert calculator(msgspec.Raw(b'{"expression": "6 * 7"}'), CONTEXT) == "42"


@pytest.mark.parametrize("arguments", [b"{}", b'{"timezone": null}'])
def test_the_clock_reads_a_missing_zone_as_the_owners(arguments: bytes) -> None:
    assert "Asia/Shanghai" in clock(msgspec.Raw(arguments), CONTEXT)


def test_the_clock_reads_its_zone() -> None:
    assert "Asia/Tokyo" in clock(msgspec.Raw(b'{"timezone": "Asia/Tokyo"}'), CONTEXT)


@pytest.mark.parametrize("spec", [CALCULATOR, CLOCK], ids=lambda spec: spec.name)
def test_the_built_in_tools_only_read_and_take_no_other_arguments(spec: ToolSpec) -> None:
    schema = msgspec.json.decode(spec.definition.parameters)
    assert spec.effect is Effect.READ
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert spec.definition.description
