"""What a client saw, and whether the store agrees: the two sides of the promise that nothing is lost."""

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg


@dataclass
class Seen:
    """One request as the client saw it. ``finished``: the last frame (``[DONE]``) arrived."""

    turn: UUID | None = None
    session: UUID | None = None
    text: str = ""
    finished: bool = False


@dataclass
class Loss:
    """A broken promise, in words."""

    turn: UUID
    what: str


@dataclass
class Checked:
    finished: int = 0
    losses: list[Loss] = field(default_factory=list)


def check(database: Path, seen: list[Seen]) -> Checked:
    """Every turn that was seen finished must be stored whole: completed, with its words, audited, with its job."""
    found = Checked()
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        for one in seen:
            if one.turn is None or not one.finished:
                continue
            found.finished += 1
            found.losses += [Loss(one.turn, what) for what in _missing(connection, one, one.turn)]
    return found


@dataclass
class Stored:
    """What a Postgres holds, as far as it was promised. By turn: its state, and the last words of its answer."""

    states: dict[UUID, str]
    words: dict[UUID, str]
    audited: set[UUID]
    jobs: set[str]

    def counted(self) -> dict[str, int]:
        """How many turns are in which state."""
        return dict(Counter(self.states.values()))


async def stored_in(url: str) -> Stored:
    connection = await asyncpg.connect(url)
    try:
        turns = await connection.fetch("select id, state from turns")
        answers = await connection.fetch(
            "select distinct on (turn) turn, body from messages where role = 'assistant' order by turn, position desc"
        )
        records = await connection.fetch("select body::json->>'turn' from audit_records")
        jobs = await connection.fetch("select key from jobs")
    finally:
        await connection.close()
    return Stored(
        {row[0]: row[1] for row in turns},
        {row[0]: json.loads(row[1])["content"] for row in answers},
        {UUID(row[0]) for row in records if row[0]},
        {row[0] for row in jobs},
    )


def check_stored(stored: Stored, seen: list[Seen]) -> Checked:
    """The same promise as `check`, on what was read from Postgres."""
    found = Checked()
    for one in seen:
        if one.turn is None or not one.finished:
            continue
        found.finished += 1
        state = stored.states.get(one.turn)
        wrong = {
            "the turn is not stored": state is None,
            f"the turn is {state}": state not in {None, "completed"},
            "the words are not those that were seen": stored.words.get(one.turn) != one.text,
            "the turn is not audited": one.turn not in stored.audited,
            "nothing will be learned from the turn": f"session/{one.session}" not in stored.jobs,
        }
        found.losses += [Loss(one.turn, what) for what, so in wrong.items() if so]
    return found


def states(database: Path) -> dict[str, int]:
    """How many stored turns are in which state."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return dict(connection.execute("select state, count(*) from turns group by state").fetchall())


def _missing(connection: sqlite3.Connection, seen: Seen, turn: UUID) -> list[str]:
    row = connection.execute("select state, outcome from turns where id = ?", (turn.bytes,)).fetchone()
    if row is None:
        return ["the turn is not stored"]
    missing = [] if row[0] == "completed" else [f"the turn is {row[0]}"]
    if _stored_text(connection, turn) != seen.text:
        missing.append("the words are not those that were seen")
    if not _count(connection, "select count(*) from audit_records where body like ?", f'%"turn":"{turn}"%'):
        missing.append("the turn is not audited")
    if not _count(connection, "select count(*) from jobs where key = ?", f"session/{seen.session}"):
        missing.append("nothing will be learned from the turn")
    return missing


def _stored_text(connection: sqlite3.Connection, turn: UUID) -> str | None:
    query = "select body from messages where turn = ? and role = 'assistant' order by position desc limit 1"
    row = connection.execute(query, (turn.bytes,)).fetchone()
    return json.loads(row[0])["content"] if row else None


def _count(connection: sqlite3.Connection, query: str, value: str) -> int:
    return int(connection.execute(query, (value,)).fetchone()[0])
