"""An OpenAPI document as a page for people: operations with what they take, then the objects they speak of (pure)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from cozy_server.page import page, prose

METHODS = ("get", "post", "put", "patch", "delete")
_PREFIX = "#/components/schemas/"
_ANY = "any JSON"

Json = Mapping[str, Any]


def html(described: Json) -> str:
    """One page with every operation of an OpenAPI document, and every object that these take or answer."""
    info = described["info"]
    schemas = described.get("components", {}).get("schemas", {})
    sections: dict[str, list[str]] = {}
    for path, item in described["paths"].items():
        for method, operation in operations(item):
            tag = (operation.get("tags") or ["More"])[0]
            sections.setdefault(tag, []).append(_article(path, method, operation, schemas))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(articles)}" for tag, articles in sections.items())
    objects = "".join(_object(name, schemas[name]) for name in reached(described["paths"], schemas))
    return page(
        info["title"],
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{prose(info.get('description', ''))} For machines: <a href='/openapi.json'>/openapi.json</a>. "
        f"<a href='/docs/errors'>Error codes</a>.</p>{body}"
        + (f"<h2>Objects</h2>{objects}" if objects else ""),
    )


def operations(item: Json) -> Iterator[tuple[str, Json]]:
    """The methods of one path."""
    return ((method, item[method]) for method in METHODS if method in item)


def reached(node: object, schemas: Json) -> list[str]:
    """The names of all ``schemas`` that a part of a document refers to, and these to."""
    found: dict[str, None] = {}
    waiting = list(_names(node))
    while waiting:
        name = waiting.pop(0)
        if name in schemas and name not in found:
            found[name] = None
            waiting.extend(_names(schemas[name]))
    return list(found)


def _article(path: str, method: str, operation: Json, schemas: Json) -> str:
    told = operation.get("description") or operation.get("summary") or ""
    answers = "".join(_answer(status, it) for status, it in operation.get("responses", {}).items())
    return (
        f"<h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3><p>{prose(told)}</p>"
        f"{_parameters(operation.get('parameters', ()))}{_body(operation, schemas)}"
        f"<h4>Answers</h4><table>{answers}</table>"
    )


def _parameters(parameters: Iterable[Json]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(it['name'])}</code></td><td>{escape(it['in'])}</td>"
        f"{_rest(it.get('schema', {}), it.get('description'), required=bool(it.get('required')))}"
        for it in parameters
    )
    return f"<h4>Parameters</h4><table>{_head('Name', 'Where')}{rows}</table>" if rows else ""


def _body(operation: Json, schemas: Json) -> str:
    schema = _schema_of(operation.get("requestBody", {}))
    if schema is None:
        return ""
    known = schemas.get(schema.get("$ref", "").removeprefix(_PREFIX), schema)
    return f"<h4>Body: {_type(schema)}</h4>{_fields(known)}"


def _answer(status: str, answer: Json) -> str:
    schema = _schema_of(answer)
    shown = "" if schema is None else _type(schema)
    told = prose(answer.get("description", ""))
    return f"<tr><td><code>{escape(status)}</code></td><td>{shown}</td><td>{told}</td></tr>"


def _object(name: str, schema: Json) -> str:
    shown = f"<h3 id='object-{escape(name)}'>{escape(name)}</h3>"
    return f"{shown}<p>{prose(schema.get('description', ''))}</p>{_fields(schema)}"


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td>"
        f"{_rest(field, field.get('description'), required=name in required)}"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table>{_head('Name')}{rows}</table>" if rows else "<p>No fields but what tells it apart.</p>"


def _head(*first: str) -> str:
    cells = "".join(f"<th>{it}</th>" for it in (*first, "Type", "Required", "Description"))
    return f"<tr>{cells}</tr>"


def _rest(schema: Json, description: str | None, *, required: bool) -> str:
    default = schema.get("default")
    told = prose(description or "")
    if default is not None:
        told += f" Default <code>{escape(json.dumps(default))}</code>."
    return f"<td>{_type(schema)}</td><td>{'yes' if required else 'no'}</td><td>{told}</td></tr>"


def _type(schema: Json) -> str:
    """What a value may be; that it may be null says nothing more than that it is not required."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_PREFIX))
        return f"<a href='#object-{name}'>{name}</a>"
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices:
        return " or ".join(f"<code>{escape(json.dumps(it))}</code>" for it in choices)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " or ".join(_type(it) for it in several if it.get("type") != "null")
    kind = schema.get("type", _ANY)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}{_bounds(schema, 'Items')}"
    if kind == "object" and schema.get("additionalProperties"):
        return f"object, each value {_type(schema['additionalProperties'])}"
    names = kind if isinstance(kind, list) else [kind]
    return escape(" or ".join(names)) + _bounds(schema, "Length", " characters") + _bounds(schema, "imum")


def _bounds(schema: Json, what: str, unit: str = "") -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if low is None and high is None:
        return ""
    if low is None:
        return f", at most {high}{unit}"
    return f", at least {low}{unit}" if high is None else f", {low} to {high}{unit}"


def _schema_of(content: Json) -> Json | None:
    schemas = [it["schema"] for it in content.get("content", {}).values() if "schema" in it]
    return schemas[0] if schemas else None


def _names(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_PREFIX)
        for inner in node.values():
            yield from _names(inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from _names(inner)
