"""What a child document takes from its parent (pure)."""

from collections.abc import Iterator
from typing import assert_never

from cozy_domain.persona.document import (
    Entry,
    ListNode,
    MapNode,
    Node,
    Path,
    Problem,
    ScalarNode,
    problem_at,
)
from cozy_domain.persona.persona import Fault, ToolPermissions, server_of

_OWN = ("id", "schema", "extends")  # never inherited
_EDITS = {"append", "remove"}
_DENY: Path = ("tools", "deny")


def inherit(parent: MapNode, child: MapNode, problems: list[Problem]) -> MapNode:
    """The child with everything that it does not say itself. What the parent denies stays denied."""
    problems.extend(_lifted_denials(parent, child))
    merged = _merge_maps(parent.without(*_OWN), child, (), problems)
    return _denying(merged, _items(parent, _DENY))


def widenings(parent: ToolPermissions, child: ToolPermissions) -> tuple[Fault, ...]:
    """Where a child of a sealed parent may do more than the parent; empty when the parent is not sealed."""
    return tuple(_widenings(parent, child)) if parent.sealed else ()


def bare(node: Node) -> Node:
    """The same values without places, to compare."""
    match node:
        case ScalarNode():
            return ScalarNode(node.value)
        case ListNode():
            return ListNode(tuple(bare(item) for item in node.items))
        case MapNode():
            entries = sorted(node.entries, key=lambda entry: entry.key)
            return MapNode(tuple(Entry(entry.key, bare(entry.value)) for entry in entries))
        case _:
            assert_never(node)


def _merge(parent: Node, child: Node, path: Path, problems: list[Problem]) -> Node:
    match parent, child:
        case MapNode(), MapNode():
            return _merge_maps(parent, child, path, problems)
        case ListNode(), MapNode() if _is_edit(child):
            return _edited(parent, child, path, problems)
        case _:
            return child


def _merge_maps(parent: MapNode, child: MapNode, path: Path, problems: list[Problem]) -> MapNode:
    merged = {entry.key: entry for entry in parent.entries}
    for entry in child.entries:
        old = merged.get(entry.key)
        value = _merge(old.value, entry.value, (*path, entry.key), problems) if old else entry.value
        merged[entry.key] = Entry(entry.key, value, entry.mark)
    return MapNode(tuple(merged.values()), child.mark)


def _is_edit(node: MapNode) -> bool:
    edits = (entry.key in _EDITS and isinstance(entry.value, ListNode) for entry in node.entries)
    return bool(node.entries) and all(edits)


def _edited(old: ListNode, edit: MapNode, path: Path, problems: list[Problem]) -> ListNode:
    values = [bare(item) for item in old.items]
    present = set(values)
    unwanted = {bare(item): item for item in _items(edit, ("remove",))}
    for value, item in unwanted.items():
        if value not in present:
            message = "has nothing to remove: the parent's list does not contain this"
            problems.append(problem_at(item.mark, path, message, "persona_remove", warning=True))
    kept = (item for item, value in zip(old.items, values, strict=True) if value not in unwanted)
    return ListNode((*kept, *_items(edit, ("append",))), edit.mark)


def _lifted_denials(parent: MapNode, child: MapNode) -> Iterator[Problem]:
    denied = {bare(item) for item in _items(parent, _DENY)}
    for item in _items(child, (*_DENY, "remove")):
        if bare(item) in denied:
            yield problem_at(
                item.mark, _DENY, "a child cannot lift its parent's denial", "persona_tools_deny"
            )


def _denying(merged: MapNode, denied: tuple[Node, ...]) -> MapNode:
    tools = merged.get("tools")
    own = tools.get("deny") if isinstance(tools, MapNode) else None
    if not isinstance(tools, MapNode) or not isinstance(own, ListNode):
        return merged  # a mistake that `fit` names
    said = {bare(item) for item in own.items}
    inherited = tuple(item for item in denied if bare(item) not in said)
    return merged.replacing("tools", tools.replacing("deny", ListNode((*inherited, *own.items), own.mark)))


def _items(root: MapNode, path: Path) -> tuple[Node, ...]:
    """The items of the list at ``path``; none when there is no list."""
    node: Node | None = root
    for step in path:
        node = node.get(str(step)) if isinstance(node, MapNode) else None
    return node.items if isinstance(node, ListNode) else ()


def _widenings(parent: ToolPermissions, child: ToolPermissions) -> Iterator[Fault]:
    code = "persona_tools_sealed"
    if not child.sealed:
        yield Fault(("tools", "sealed"), "a child cannot unseal what its parent sealed", code)
    gained, places, approved = child.usable - parent.usable, frozenset(parent.mcp), frozenset(child.approval)
    for index, tool in enumerate(child.allow):
        if tool in gained and server_of(tool) not in places:
            yield Fault(("tools", "allow", index), f"'{tool}' is not allowed by the sealed parent", code)
    for index, place in enumerate(child.mcp):
        if place not in places:
            yield Fault(("tools", "mcp", index), f"'{place}' is not allowed by the sealed parent", code)
    for index, tool in enumerate(child.when_tainted):
        if tool not in parent.when_tainted:
            path = ("tools", "when_tainted", index)
            yield Fault(path, f"'{tool}' is not allowed there by the sealed parent", code)
    for tool in parent.approval:
        if tool not in approved:
            yield Fault(("tools", "approval"), f"the sealed parent has '{tool}' approved first", code)
    for tool, limit in parent.limits.items():
        if child.limits[tool] > limit:
            yield Fault(("tools", "limits", tool), f"is above {limit}, the limit of the sealed parent", code)
