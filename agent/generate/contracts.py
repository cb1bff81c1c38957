"""What the rules expect of events, for their producers: JSON Schemas and an AsyncAPI document.

A schema is of one event type, and accepts what the agent takes without a complaint: what it would
reject, and an optional field that it would read as null because of its type, is a violation.
Unknown fields are free. `contract_values` has the schemas of values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from agent.core.model.events import Contract
from agent.core.model.paths import Elements, Path, Root, Selector, Step
from agent.core.model.plan import Plan
from agent.generate.contract_values import (
    ID,
    Schema,
    described,
    of_field,
    of_time,
    of_type,
    or_null,
    time_of_day,
)
from agent.generate.files import Files, mark

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "3.0.0"
ASYNCAPI_FILE = "asyncapi.json"
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"


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
        **described(contract.description),
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
        **described(contract.description),
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
        yield contract.type_path, of_type(contract.type_value), True
    for source in contract.times:
        is_only = len(contract.times) == 1
        time = _of_schema(contract, of_time(source))
        yield source.path, time if is_only else or_null(time), is_only
        if source.time_of_day is not None:
            clock = time_of_day(source)
            yield source.time_of_day, clock if is_only else or_null(clock), is_only
    for path in contract.ids:
        yield path, or_null(ID), False
    for field in contract.fields:
        leaf = _of_schema(contract, of_field(field))
        yield field.path, leaf if field.required else or_null(leaf), field.required


def _of_schema(contract: Contract, leaf: Schema) -> Schema:
    """A value's schema; in an envelope with a schema, that one says the unit of small numbers."""
    if contract.envelope is None or not contract.envelope.has_schema:
        return leaf
    return {name: value for name, value in leaf.items() if name != "anyOf"}


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
