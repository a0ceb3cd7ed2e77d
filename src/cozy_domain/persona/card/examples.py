"""Example conversations of a card, V1's ``mes_example`` (pure)."""

from collections.abc import Iterator

import msgspec

from cozy_domain.persona.persona import Example

_START = "<start>"
_USER, _CHARACTER = "{{user}}", "{{char}}"


class _Said(msgspec.Struct):
    by_user: bool
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()


def examples_of(text: str, names: tuple[str, ...]) -> tuple[Example, ...] | None:
    """The exchanges in ``text``, whose placeholders are plain; None when some of it is none. ``names`` are what the
    character may be called beside ``{{char}}``."""
    found: list[Example] = []
    for block in _blocks(text):
        said = _said(block, (_CHARACTER, *names))
        pairs = None if said is None else _pairs(said)
        if pairs is None:
            return None
        found.extend(pairs)
    return tuple(found)


def as_text(examples: tuple[Example, ...]) -> str:
    return "\n".join(f"{_START.upper()}\n{_USER}: {it.user}\n{_CHARACTER}: {it.assistant}" for it in examples)


def _blocks(text: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in text.split("\n"):
        if line.strip().lower() == _START:
            yield block
            block = []
        else:
            block.append(line)
    yield block


def _said(lines: list[str], character: tuple[str, ...]) -> list[_Said] | None:
    said: list[_Said] = []
    for line in lines:
        user, own = _after(line, (_USER,)), _after(line, character)
        if user is not None or own is not None:
            by_user = user is not None
            if not said or said[-1].by_user != by_user:
                said.append(_Said(by_user, []))
            said[-1].lines.append((user or own or "").strip())
        elif said:
            said[-1].lines.append(line.rstrip())
        elif line.strip():
            return None
    return said


def _after(line: str, speakers: tuple[str, ...]) -> str | None:
    start = line.lstrip()
    for speaker in speakers:
        end = len(speaker) + 1
        if speaker and start[:end].casefold() == f"{speaker}:".casefold():
            return start[end:]
    return None


def _pairs(said: list[_Said]) -> list[Example] | None:
    if len(said) % 2 or (said and not said[0].by_user):
        return None
    pairs = [
        Example(asked.text, answered.text) for asked, answered in zip(said[::2], said[1::2], strict=True)
    ]
    return pairs if all(it.user and it.assistant for it in pairs) else None
