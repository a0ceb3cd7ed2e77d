"""From documents to personas: inheritance, unknown keys, validity (pure).

A document is joined to the schema's defaults and to its ancestors, the farthest first: maps merge, scalars replace, lists
replace unless written as ``{append: [...]}`` or ``{remove: [...]}``. What the parent denies stays denied; what a sealed
parent does not allow is an error in a child. The result is flat, so resolving it again gives the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, reduce
from hashlib import sha256

import msgspec

from cozy_domain.ids import PersonaId
from cozy_domain.persona.document import (
    Entry,
    InvalidPersonaError,
    MapNode,
    PersonaDocument,
    Problem,
    ScalarNode,
    from_json,
    problem_at,
    to_json,
)
from cozy_domain.persona.fit import fit, unstorable
from cozy_domain.persona.inherit import bare, inherit, widenings
from cozy_domain.persona.persona import SCHEMA, Fault, Persona, PublishedPersona, faults
from cozy_domain.persona.schema import Parent, nearest, set_apart
from cozy_domain.persona.surroundings import Surroundings, what_lacks

MAX_ANCESTORS = 4
_UNNAMED = Persona(id=PersonaId(""), name="")


class Examination(msgspec.Struct, frozen=True):
    """``personas`` are those without an error, by id; ``problems`` all of all documents, by file and line."""

    personas: tuple[Persona, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")


def resolve(
    documents: Iterable[PersonaDocument], published: Iterable[PublishedPersona] = ()
) -> tuple[Persona, ...]:
    """Every persona, by id; the order of the documents does not matter. ``published`` as in `examine`.

    Raises:
        InvalidPersonaError: with every error of every document.
    """
    examination = examine(documents, published)
    if examination.errors:
        raise InvalidPersonaError(examination.errors)
    return examination.personas


def examine(
    documents: Iterable[PersonaDocument],
    published: Iterable[PublishedPersona] = (),
    around: Surroundings | None = None,
) -> Examination:
    """What the documents resolve to and what is wrong with them. ``published`` has what `pinned_parents` asked for; what
    the server lacks that they name is found where ``around`` tells what it has."""
    written = sorted(map(_written, documents), key=lambda one: (one.id, one.root.mark))
    problems = list(_twice(written))
    family = _Family(
        documents={one.id: one for one in written},
        published={(one.persona.id, one.revision): one.persona for one in published},
        around=around,
    )
    resolved = {persona.id: persona for one in written if (persona := _resolved(one, family, problems))}
    return Examination(tuple(resolved[id] for id in sorted(resolved)), _in_order(problems))


def all_problems(
    unreadable: InvalidPersonaError,
    published: Iterable[PublishedPersona] = (),
    around: Surroundings | None = None,
) -> tuple[Problem, ...]:
    """Those of the files that could not be read, and of the others too. What extends a persona that is not among these is
    passed over: its parent may stand in a file that could not be read."""
    others = examine(_with_their_parents(unreadable.readable), published, around)
    return tuple(sorted((*unreadable.problems, *others.problems)))


def pinned_parents(documents: Iterable[PersonaDocument]) -> tuple[tuple[PersonaId, int], ...]:
    """The parents that documents extend as of a revision: these are looked up, not among the documents."""
    parents = (_written(document).parent for document in documents)
    return tuple(sorted({(PersonaId(p.id), p.revision) for p in parents if p and p.revision is not None}))


def canonical(persona: Persona) -> bytes:
    """The resolved document: compact JSON, sorted keys, everything written out. Equal personas give equal bytes."""
    return to_json(as_document(persona).root)


def fingerprint(document: bytes) -> str:
    """SHA-256, hex."""
    return sha256(document).hexdigest()


def restore(document: bytes) -> Persona:
    """The persona that `canonical` was given.

    Raises:
        msgspec.ValidationError: the document is none of this schema.
    """
    return msgspec.json.decode(document, type=Persona)


def as_document(persona: Persona, file: str = "") -> PersonaDocument:
    """A persona as if somebody had written all of it."""
    root = from_json(msgspec.json.encode(persona), file or persona.id)
    return PersonaDocument(root.mark.file, root.replacing("schema", ScalarNode(SCHEMA, root.mark)))


def as_written(persona: Persona, file: str = "") -> PersonaDocument:
    """The same with no more than its author would write: what is as by default is left out."""
    whole = as_document(persona, file).root
    brief = _beside(whole.without("schema"), _defaults())
    schema = Entry("schema", ScalarNode(SCHEMA, whole.mark), whole.mark)
    return PersonaDocument(whole.mark.file, MapNode((schema, *brief.entries), whole.mark))


def _beside(node: MapNode, default: MapNode) -> MapNode:
    entries = []
    for entry in node.entries:
        known = default.get(entry.key)
        if known is None or bare(known) != bare(entry.value):
            inner = entry.value
            if isinstance(inner, MapNode) and isinstance(known, MapNode):
                inner = _beside(inner, known)
            entries.append(Entry(entry.key, inner, entry.mark))
    return MapNode(tuple(entries), node.mark)


# One document


class _Written(msgspec.Struct, frozen=True):
    """A document with its unknown keys set apart, outside of lists."""

    id: str
    root: MapNode
    parent: Parent | None
    problems: tuple[Problem, ...] = ()


class _Family(msgspec.Struct, frozen=True):
    documents: dict[str, _Written]
    published: dict[tuple[PersonaId, int], Persona]
    around: Surroundings | None = None


def _written(document: PersonaDocument) -> _Written:
    problems: list[Problem] = []
    root = set_apart(_with_whole_parent(document.root), in_lists=False, problems=problems)
    return _Written(document.id, root, _parent(root), tuple(problems))


def _with_their_parents(documents: tuple[PersonaDocument, ...]) -> tuple[PersonaDocument, ...]:
    """Without those whose line of ancestors leads out of ``documents``."""
    ids = {document.id for document in documents}
    known = tuple(
        document
        for document in documents
        if (parent := _written(document).parent) is None or parent.revision is not None or parent.id in ids
    )
    return known if len(known) == len(documents) else _with_their_parents(known)


def _with_whole_parent(root: MapNode) -> MapNode:
    """``extends: anna`` is short for ``extends: {id: anna}``."""
    extends = root.get("extends")
    if isinstance(extends, ScalarNode) and isinstance(extends.value, str):
        return root.replacing("extends", MapNode((Entry("id", extends, extends.mark),), extends.mark))
    return root


def _parent(root: MapNode) -> Parent | None:
    """None also when it is written wrongly, which `fit` names."""
    extends = root.get("extends")
    if not isinstance(extends, MapNode):
        return None
    match extends.get("id"), extends.get("revision"):
        case ScalarNode(value=str(id)), None | ScalarNode(value=None):
            return Parent(id)
        case ScalarNode(value=str(id)), ScalarNode(value=int(revision)):
            return Parent(id, revision)
        case _:
            return None


def _resolved(written: _Written, family: _Family, problems: list[Problem]) -> Persona | None:
    """The persona, or None with an error among what was added to ``problems``."""
    found = list(written.problems)
    line = _lineage(written, family, found)
    root = _joined(line, found)
    found.extend((*unstorable(root), *fit(root)))
    persona = None if _has_error(found) else _persona(root)
    if persona:
        lacking = what_lacks(persona, family.around) if family.around else ()
        wrong = (*faults(persona), *_unsealing(persona, line[:-1]), *lacking)
        found.extend(_problem(root, fault) for fault in wrong)
    problems.extend(found)
    return None if _has_error(found) else persona


def _lineage(written: _Written, family: _Family, problems: list[Problem]) -> tuple[_Written, ...]:
    """The document behind its ancestors, the farthest first; alone when they cannot be told."""
    line = [written]
    while line[-1].parent:
        parent = _ancestor(line, line[-1].parent, family)
        if isinstance(parent, Problem):
            problems.append(parent)
            return (written,)
        line.append(parent)
    return tuple(reversed(line))


def _ancestor(line: list[_Written], parent: Parent, family: _Family) -> _Written | Problem:
    """The parent of the last of the line, or why there is none."""
    found = _find(line[-1], parent, family)
    if isinstance(found, Problem):
        return found
    if found in line:
        circle = " → ".join(one.id for one in (*line[line.index(found) :], found))
        return _broken(line[-1], f"goes in a circle: {circle}")
    if len(line) > MAX_ANCESTORS:
        return _broken(line[0], f"has more than {MAX_ANCESTORS} ancestors")
    return found


def _find(child: _Written, parent: Parent, family: _Family) -> _Written | Problem:
    if parent.revision is None:
        near = nearest(parent.id, family.documents)
        found = family.documents.get(parent.id)
        return found or _broken(child, f"persona '{parent.id}' does not exist", near)
    persona = family.published.get((PersonaId(parent.id), parent.revision))
    if persona is None:
        return _broken(child, f"revision {parent.revision} of '{parent.id}' was never published")
    return _Written(parent.id, as_document(persona, f"{parent.id}@{parent.revision}").root, None)


def _broken(child: _Written, message: str, suggestion: str = "") -> Problem:
    mark = child.root.at(("extends",)).mark
    return problem_at(mark, ("extends",), message, "persona_extends", suggestion)


def _joined(line: tuple[_Written, ...], problems: list[Problem]) -> MapNode:
    root = reduce(lambda parent, one: inherit(parent, one.root, problems), line, _defaults())
    return set_apart(root, in_lists=True, problems=problems)


@cache
def _defaults() -> MapNode:
    return as_document(_UNNAMED).root.without("id", "name", "schema")


def _persona(root: MapNode) -> Persona:
    return msgspec.json.decode(to_json(root), type=Persona)


def _unsealing(persona: Persona, ancestors: tuple[_Written, ...]) -> Iterator[Fault]:
    """Checked against each ancestor: one between may have broken a seal itself. One with other mistakes is passed over."""
    for end in range(1, len(ancestors) + 1):
        ancestor = _joined(ancestors[:end], [])
        if not unstorable(ancestor) and not fit(ancestor):
            yield from widenings(_persona(ancestor).tools, persona.tools)


# Problems


def _twice(written: Iterable[_Written]) -> Iterator[Problem]:
    written = tuple(written)
    counts = Counter(one.id for one in written)
    for one in written:
        if one.id and counts[one.id] > 1:
            others = sorted(
                other.root.mark.file for other in written if other.id == one.id and other is not one
            )
            message = f"'{one.id}' is also the id in {', '.join(others)}"
            yield problem_at(one.root.at(("id",)).mark, ("id",), message, "persona_id")


def _problem(root: MapNode, fault: Fault) -> Problem:
    mark = root.at(fault.path).mark
    return problem_at(mark, fault.path, fault.message, fault.code, fault.suggestion, warning=fault.warning)


def _has_error(problems: Iterable[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each once, though every child finds the mistakes of its ancestors again, in lists perhaps at another index."""
    once = {(p.file, p.line, p.column, p.code, p.message): p for p in sorted(problems, reverse=True)}
    return tuple(sorted(once.values()))
