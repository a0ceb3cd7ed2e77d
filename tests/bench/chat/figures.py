"""What is run, what is read off it, and what it should be (pure).

A `Cell` is one load; a `Row` one figure of the table, from the cells of one server in one round and, where it is about what
a gateway adds, from the same cells asked of the provider itself.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import msgspec

from tests.bench.chat.load import Measured

TURNS = 20
"""History of every session."""
SESSION_MAY_COST = 1.5
"""The session cell's share of a target (issue 3, point 4)."""


class Cell(msgspec.Struct, frozen=True):
    """``direct``: the provider itself is asked too, for what is added to it."""

    stream: bool
    at_once: int
    words: int
    first_ms: int = 0
    gap_ms: int = 0
    seconds: float = 0.9
    direct: bool = False

    def wish(self) -> str:
        return f"[[words={self.words} first_ms={self.first_ms} gap_ms={self.gap_ms}]]"


CELLS: Mapping[str, Cell] = {
    "json": Cell(stream=False, at_once=16, words=16, seconds=1.5),
    "json_60_one": Cell(stream=False, at_once=1, words=16, first_ms=60, direct=True),
    "json_60_many": Cell(stream=False, at_once=64, words=16, first_ms=60, seconds=1.6, direct=True),
    "json_300": Cell(stream=False, at_once=1, words=16, first_ms=300),
    "flat_out": Cell(stream=True, at_once=1, words=256),
    "paced_one": Cell(stream=True, at_once=1, words=64, first_ms=60, gap_ms=10, seconds=1.4, direct=True),
    "paced_many": Cell(stream=True, at_once=16, words=64, first_ms=60, gap_ms=10, seconds=1.5, direct=True),
    "stream_300": Cell(stream=True, at_once=1, words=16, first_ms=300),
}
"""Short ones, and many rounds: a machine that is shared changes its pace within seconds, and what a server needs in one long
run then says more of the machine than of the server."""


class Sample(msgspec.Struct, frozen=True):
    """One run of one cell; ``cpu_ms`` is the server's, None where it cannot be told."""

    measured: Measured
    cpu_ms: float | None = None


class Samples:
    """One server in one round, and the provider itself."""

    def __init__(self, of: Mapping[str, Sample], direct: Mapping[str, Sample]) -> None:
        self._of = of
        self._direct = direct

    def cpu_per_answer(self, cell: str) -> float | None:
        sample = self._of[cell]
        answers = sample.measured.answers
        return None if sample.cpu_ms is None or not answers else sample.cpu_ms / answers

    def cpu_us_per_delta(self, cell: str) -> float | None:
        each = self.cpu_per_answer(cell)
        return None if each is None else each * 1_000 / CELLS[cell].words

    def rate(self, cell: str) -> float | None:
        measured = self._of[cell].measured
        return measured.answers / measured.seconds

    def told(self, cell: str, what: str, share: str = "p50") -> float | None:
        return _time(self._of[cell], what, share)

    def added(self, cell: str, what: str, share: str = "p50") -> float | None:
        ours, alone = self.told(cell, what, share), _time(self._direct[cell], what, share)
        return None if ours is None or alone is None else ours - alone


class Row(msgspec.Struct, frozen=True):
    """``target`` is the stateless cell's; ``more`` says that more is better."""

    name: str
    label: str
    unit: str
    read: Callable[[Samples], float | None]
    target: float | None = None
    more: bool = False


ROWS: Sequence[Row] = (
    Row("json_cpu", "JSON, CPU per request", "ms", lambda it: it.cpu_per_answer("json"), 2.5),
    Row("json_rate", "JSON, 16 at once", "requests/s", lambda it: it.rate("json"), 400, more=True),
    Row(
        "added_one",
        "added latency, 60 ms upstream, 1 at a time, p50",
        "ms",
        lambda it: it.added("json_60_one", "whole"),
        6,
    ),
    Row(
        "added_many",
        "added latency, 60 ms upstream, 64 at once, p50",
        "ms",
        lambda it: it.added("json_60_many", "whole"),
        40,
    ),
    Row("delta_cpu", "stream flat out, CPU per delta", "µs", lambda it: it.cpu_us_per_delta("flat_out"), 25),
    Row(
        "first_one",
        "added time to first token, 1 at a time, p50",
        "ms",
        lambda it: it.added("paced_one", "first"),
        7,
    ),
    Row(
        "first_many",
        "added time to first token, 16 at once, p50",
        "ms",
        lambda it: it.added("paced_many", "first"),
        15,
    ),
    Row(
        "way_p50",
        "a delta's way through, 16 at once, p50",
        "ms",
        lambda it: it.added("paced_many", "way"),
        0.4,
    ),
    Row(
        "way_p95",
        "a delta's way through, 16 at once, p95",
        "ms",
        lambda it: it.added("paced_many", "way", "p95"),
        1.0,
    ),
    Row(
        "end",
        "last delta to end of response, 16 at once, p50",
        "ms",
        lambda it: it.told("paced_many", "end"),
        5,
    ),
    Row("e2e_60", "end to end, 60 ms upstream, p50", "ms", lambda it: it.told("json_60_one", "whole")),
    Row("first_60", "first token, 60 ms upstream, p50", "ms", lambda it: it.told("paced_one", "first")),
    Row("e2e_300", "end to end, 300 ms upstream, p50", "ms", lambda it: it.told("json_300", "whole"), 500),
    Row("first_300", "first token, 300 ms upstream, p50", "ms", lambda it: it.told("stream_300", "first")),
)


class Figure(msgspec.Struct, frozen=True):
    """Medians over the rounds. ``met`` and ``session_met`` are None where there is no target."""

    name: str
    label: str
    unit: str
    floor: float | None
    stateless: float | None
    session: float | None
    target: float | None
    met: bool | None
    session_met: bool | None

    @property
    def ratio(self) -> float | None:
        """Of the stateless cell to the floor."""
        return self.stateless / self.floor if self.floor and self.stateless is not None else None


def figures(rounds: Sequence[Mapping[str, Samples]]) -> list[Figure]:
    """``rounds`` hold the servers by name: floor, stateless and session."""
    return [_figure(row, rounds) for row in ROWS]


def table(found: Sequence[Figure]) -> str:
    """Markdown."""
    lines = ["| | unit | floor | stateless | × floor | session | target |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {it.label} | {it.unit} | {_shown(it.floor)} | {_marked(it.stateless, it.met)} | {_shown(it.ratio)} "
        f"| {_marked(it.session, it.session_met)} | {_shown(it.target)} |"
        for it in found
    ]
    return "\n".join(lines)


def _figure(row: Row, rounds: Sequence[Mapping[str, Samples]]) -> Figure:
    floor, stateless, session = (_median(row, rounds, name) for name in ("floor", "stateless", "session"))
    looser = 1 / SESSION_MAY_COST if row.more else SESSION_MAY_COST
    return Figure(
        name=row.name,
        label=row.label,
        unit=row.unit,
        floor=floor,
        stateless=stateless,
        session=session,
        target=row.target,
        met=_met(row, stateless, 1.0),
        session_met=_met(row, session, looser),
    )


def _median(row: Row, rounds: Sequence[Mapping[str, Samples]], name: str) -> float | None:
    values = [value for one in rounds if (value := row.read(one[name])) is not None]
    return round(median(values), 3) if values else None


def _met(row: Row, value: float | None, factor: float) -> bool | None:
    if row.target is None or value is None:
        return None
    return value >= row.target * factor if row.more else value <= row.target * factor


def _time(sample: Sample, what: str, share: str) -> float | None:
    value: float | None = getattr(getattr(sample.measured, what), share)
    return value


def _marked(value: float | None, met: bool | None) -> str:
    return f"**{_shown(value)}**" if met is False else _shown(value)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
