"""What the rules expect of events, for their producers: JSON Schemas and an AsyncAPI document.

A schema is of one event type, and accepts what the agent takes without a complaint: what it would
reject, and an optional field that it would read as null because of its type, is a violation.
Unknown fields are free. JSON Schema knows less in two points: it takes 1.0 for an integer, and any
text for a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.core.model.events import Contract, Field
from agent.core.model.field_types import BooleanFormat, NumberFormat, TextRule
from agent.core.model.paths import Elements, Path, Root, Selector, Step
from agent.core.model.plan import Plan
from agent.generate.files import Files, mark

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "3.0.0"
ASYNCAPI_FILE = "asyncapi.json"
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"

_TYPES: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "boolean": {"type": "boolean"},
    "decimal": {"type": ["number", "string"]},
    "timestamp": {"type": ["string", "number"]},
    "date": {"type": ["string", "number"]},
}
_ID: Schema = {"type": ["string", "integer"]}
_TIME: Schema = {
    "type": ["string", "number"],
    "description": "When it happened: ISO 8601, RFC 3339, or an epoch.",
}


def contract_files(plan: Plan) -> Files:
    """One JSON Schema for each event type, and the AsyncAPI document of all topics."""
    keys = _keys(plan)
    files = {
        f"{keys[name]}.schema.json": _text(event_schema(contract))
        for name, contract in sorted(plan.contracts.items())
    }
    return {**files, ASYNCAPI_FILE: _text(asyncapi(plan))}


def event_schema(contract: Contract) -> Schema:
    """The JSON Schema (draft 2020-12) of an event's JSON; of what an envelope holds, not of the
    envelope."""
    schema: Schema = {
        "$schema": DIALECT,
        "$comment": mark("contracts"),
        "title": contract.name,
        **_described(contract.description),
        "type": "object",
    }
    for path, leaf, required in _places(contract):
        if not path or not isinstance(path[0], Root):
            _put(schema, path, leaf, required)
    return schema


def asyncapi(plan: Plan) -> Schema:
    """The AsyncAPI document of what the agent receives: topics, messages, headers and keys."""
    keys = _keys(plan)
    patterns = {c.topics.pattern for c in plan.contracts.values()} - {None}
    channels = {
        key: _channel(plan, topic, topic in patterns, keys)
        for topic, key in _unique([*plan.topics, *sorted(filter(None, patterns))]).items()
    }
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Events that KPIs are computed from",
            "version": "1.0.0",
            "description": f"What the KPI agent expects of each topic; {mark('contracts')}.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"receive-{key}": {"action": "receive", "channel": {"$ref": f"#/channels/{key}"}}
            for key in channels
        },
        "components": {
            "messages": {keys[name]: _message(c) for name, c in sorted(plan.contracts.items())}
        },
    }


def _channel(plan: Plan, topic: str, is_pattern: bool, keys: Mapping[str, str]) -> Schema:
    names = [keys[contract.name] for contract in plan.contracts_of(topic)]
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    if not is_pattern:
        return {"address": topic, "messages": messages}
    # AsyncAPI: the address of what is not known yet is null.
    about = f"Every topic whose whole name matches {topic}."
    return {"address": None, "description": about, "messages": messages}


def _message(contract: Contract) -> Schema:
    payload = event_schema(contract)
    del payload["$comment"]
    message: Schema = {
        "name": contract.name,
        "title": contract.name,
        **_described(contract.description),
        "contentType": f"application/{contract.format}",
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": payload},
    }
    if headers := _of_root(contract, lambda root: root.part == "header"):
        message["headers"] = headers
    if key := _of_root(contract, lambda root: root.part in ("key", "key_text")):
        message["bindings"] = {"kafka": {"key": key, "bindingVersion": "0.5.0"}}
    team = {"x-owner": contract.owner, "x-team": contract.team}
    return {**message, **{name: value for name, value in team.items() if value}}


def _of_root(contract: Contract, wanted: Callable[[Root], bool]) -> Schema:
    """The schema of a part of the record outside the event; empty if nothing is read of it."""
    schema: Schema = {}
    for path, leaf, required in _places(contract):
        if not path or not isinstance(root := path[0], Root) or not wanted(root):
            continue
        if root.part == "header":
            # Headers are text whatever their fields are.
            _put(schema, (root.name,), {"type": "string", **_const(leaf)}, required)
        elif root.part == "key_text":
            schema.update({"type": "string", **_const(leaf)})
        else:
            _put(schema, path[1:], leaf, required)
    return schema


def _const(leaf: Schema) -> Schema:
    return {name: leaf[name] for name in ("const", "enum") if name in leaf}


def _places(contract: Contract) -> Iterator[tuple[Path, Schema, bool]]:
    """Everything that a contract reads: path, schema, and whether it is required."""
    if contract.type_path is not None:
        yield contract.type_path, _type(contract.type_value), True
    for source in contract.times:
        is_only = len(contract.times) == 1
        yield source.path, _TIME if is_only else _or_null(_TIME), is_only
    for path in contract.ids:
        yield path, _or_null(_ID), False
    for field in contract.fields:
        leaf = _leaf(field)
        yield field.path, leaf if field.required else _or_null(leaf), field.required


def _type(value: str) -> Schema:
    ways = _ways(value)
    return {"enum": ways} if len(ways) > 1 else {"const": value}


def _leaf(field: Field) -> Schema:
    if field.as_sql is not None:  # what is made of a value says little of the value
        field = replace(field, text=None, minimum=None, maximum=None)
    leaf: Schema = {**_described(field.description), **_typed(field)}
    for name, bound in (("minimum", field.minimum), ("maximum", field.maximum)):
        if bound is not None:
            leaf[name] = int(bound) if bound.is_integer() else bound
    if field.unit:
        leaf["x-unit"] = field.unit
    return leaf


def _typed(field: Field) -> Schema:
    element, _, is_list = field.type.partition("[")
    if is_list:
        return {"type": "array", "items": _or_null(_TYPES[element])}
    if isinstance(field.format, NumberFormat):
        return {"type": ["number", "string"]}
    if isinstance(field.format, BooleanFormat):
        return {
            "enum": [way for v in (*field.format.true, *field.format.false) for way in _ways(v)]
        }
    return {**_TYPES[field.type], **({} if field.text is None else _text_rule(field.text))}


def _text_rule(rule: TextRule) -> Schema:
    known = {
        "enum": None if rule.ignore_case else list(rule.values) or None,
        "pattern": rule.pattern,
        "minLength": rule.min_length,
        "maxLength": rule.max_length,
    }
    return {name: value for name, value in known.items() if value is not None}


def _ways(value: str) -> list[Any]:
    """The values that match a text: `3` is "3"."""
    if re.fullmatch(r"-?(0|[1-9][0-9]*)|true|false", value):
        return [value, json.loads(value)]
    return [value]


def _or_null(leaf: Schema) -> Schema:
    types = leaf.get("type", [])
    types = [types] if isinstance(types, str) else types
    nullable = {**leaf, "type": [*types, "null"]} if types else dict(leaf)
    if "enum" in leaf:
        nullable["enum"] = [*leaf["enum"], None]
    return nullable


def _put(schema: Schema, steps: Path, leaf: Schema, required: bool) -> None:
    """Add the schema at the end of a path; if it is not required, each part of the path may be null
    or missing."""
    if not steps:
        schema.setdefault("allOf", []).append(leaf) if _is_leaf(schema) else schema.update(leaf)
        return
    step, rest = steps[0], steps[1:]
    _put(_below(schema, step, required), rest, leaf, required)


def _is_leaf(schema: Schema) -> bool:
    """Whether the schema has a leaf here already, as of a time that is also a field."""
    return any(name in schema for name in ("type", "const", "enum"))


def _below(schema: Schema, step: Step | Root, required: bool) -> Schema:
    """The schema of the next step of a path."""
    kind = "object" if isinstance(step, str) else "array"
    known = schema.get("type")
    if required:
        schema["type"] = kind
    elif known is None:
        schema["type"] = [kind, "null"]
    if isinstance(step, str):
        if required and step not in schema.setdefault("required", []):
            schema["required"].append(step)
        below: Schema = schema.setdefault("properties", {}).setdefault(step, {})
        return below
    if isinstance(step, Elements):
        items: Schema = schema.setdefault("items", {})
        return items
    if isinstance(step, Selector):
        # Of the elements that have the selector's member, each: the first is one of them.
        is_it = {"properties": {step.key: {"const": step.value}}, "required": [step.key]}
        element: Schema = {}
        schema.setdefault("allOf", []).append({"items": {"if": is_it, "then": element}})
        if required:
            schema["allOf"].append({"contains": is_it})
        return element
    index = int(step) if isinstance(step, int) else 0
    prefix: list[Schema] = schema.setdefault("prefixItems", [])
    prefix.extend({} for _ in range(index + 1 - len(prefix)))
    if required:
        schema["minItems"] = max(schema.get("minItems", 0), index + 1)
    return prefix[index]


def _described(text: str) -> Schema:
    return {"description": text} if text else {}


def _keys(plan: Plan) -> dict[str, str]:
    """By event type, its name in files and AsyncAPI."""
    return _unique(sorted(plan.contracts))


def _unique(names: Iterable[str]) -> dict[str, str]:
    """By name, a unique name for files and AsyncAPI."""
    keys: dict[str, str] = {}
    for name in names:
        key, number = _key(name), 2
        while key.lower() in {known.lower() for known in keys.values()}:
            key, number = f"{_key(name)}-{number}", number + 1
        keys[name] = key
    return keys


def _key(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "event"


def _text(document: Schema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
