"""The language as JSON Schema (draft 2020-12), for completion and hover in editors.

`enumDescriptions` and `markdownDescription` are what the YAML and JSON language servers of VS Code
read beside the standard keywords; other readers of JSON Schema pass over them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from agent.language.declared import Declared
from agent.language.models.file import FileSpec

ID = "https://kpi-agent.example/schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of one file of rules.

    It accepts the short and the long forms, and refuses unknown fields. Only `kpi-agent check`
    finds errors that involve more than one value (a field that is not in the contract, bounds in
    order).
    """
    schema = schema_of(FileSpec, ID, "Rules of kpi-agent")
    _one_kind(schema["$defs"])
    return schema


def schema_of(file: type[BaseModel], id: str, title: str) -> dict[str, Any]:
    """The schema of the files of one language, as editors like it."""
    schema = file.model_json_schema(by_alias=True, mode="validation")
    for model in (schema, *schema["$defs"].values()):
        _tidy(model)
    explain_words(schema)
    schema["patternProperties"] = {
        "^x-": {
            "description": "Ignored: a place for anchors (&name) that aliases (*name) refer to."
        }
    }
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": id,
        **schema,
        "title": title,
    }


def _tidy(model: dict[str, Any]) -> None:
    """Leave out null where it only means "not given": writing `null` is a mistake in YAML."""
    model["title"] = model.get("title", "").removesuffix("Spec")
    for name, field in model.get("properties", {}).items():
        field["title"] = name
        if "patternProperties" in field:
            field["additionalProperties"] = False
        options = field.get("anyOf")
        if options is not None and {"type": "null"} in options:
            options.remove({"type": "null"})
            if len(options) == 1:
                del field["anyOf"]
                field.update({**options[0], **field})
        if field.get("default", 0) is None:
            del field["default"]


def _one_kind(definitions: dict[str, Any]) -> None:
    """Require exactly one of several fields: a rule has a condition or `no_data_for`."""
    conditions = [{"required": [key]} for key in ("when", "pace", "objective")]
    definitions["RuleSpec"]["oneOf"] = [{"anyOf": conditions}, {"required": ["no_data_for"]}]
    for target in ("TargetSpec", "TargetStepSpec"):
        definitions[target]["oneOf"] = [
            {"required": ["at_most"]},
            {"required": ["at_least"]},
            {"required": ["between"]},
        ]


Schema = dict[str, Any]

WORDS: Mapping[str, str] = {
    "string": "Text.",
    "integer": "A whole number.",
    "float": "A number.",
    "boolean": "true or false.",
    "json": "One JSON object a record.",
    "cloudevents": "CloudEvents: structured, batched, or binary by headers.",
    "connect": "Kafka Connect's schema and payload.",
    "debezium": "Change events of database rows.",
    "list": "An array of events.",
    "c": "A row was created.",
    "u": "A row was updated.",
    "d": "A row was deleted.",
    "r": "A row was read by a snapshot.",
    "avro": "One Avro record a record, of a schema beside the rules or of a registry.",
    "protobuf": "One Protobuf message a record, of a schema beside the rules or of a registry.",
    "decimal": "A decimal number, whose sums are exact.",
    "timestamp": "An instant.",
    "date": "A day of the calendar.",
    "s": "Seconds.",
    "ms": "Milliseconds.",
    "us": "Microseconds.",
    "ns": "Nanoseconds.",
    "topic": "The record's topic.",
    "partition": "The record's partition.",
    "schema": "The name of the record in its schema.",
    "offset": "The record's offset in its partition.",
    "higher": "More is better: revenue, satisfaction.",
    "lower": "Less is better: waiting times, complaints.",
    "day": "A day of the calendar, in the time zone; of 23 to 25 hours.",
    "week": "From Monday on.",
    "month": "A month of the calendar.",
    "quarter": "Three months, from January, April, July or October on.",
    "year": "From the first of January on.",
    "monday": "Every Monday.",
    "tuesday": "Every Tuesday.",
    "wednesday": "Every Wednesday.",
    "thursday": "Every Thursday.",
    "friday": "Every Friday.",
    "saturday": "Every Saturday.",
    "sunday": "Every Sunday.",
    "page": "Calls somebody, now.",
    "critical": "Somebody should act now.",
    "warning": "Somebody should look at it today.",
    "info": "Worth knowing; nobody is called.",
    "closed": "Evaluate each window once, when it is complete.",
    "current": "Evaluate the window while it is open, about ten times.",
    "keep": "A window without data changes nothing.",
    "resolve": "A window without data ends the alert.",
    "alert": "A window without data counts as if `when` held.",
    "public": "Everybody may see it.",
    "private": "Only the person that a series is about, and the owner.",
    "hashed": "People appear under a keyed hash.",
    "named": "People appear by name.",
    "series": "Watch each known series by itself.",
    "kpi": "Watch the KPI as a whole.",
    "no_data": "The window has no value.",
    "met": "Within the target, and outside its warning band.",
    "at_risk": "Within the target, but in its warning band.",
    "missed": "Outside the target.",
    "inactive": "It does not hold.",
    "pending": "It holds, not yet for long enough.",
    "firing": "It has held for long enough.",
    "resolved": "It fired, and is over.",
    "inhibited": "It would fire, but a rule that it depends on does.",
    "folded": "Counted.",
    "rejected": "Breaks the contract.",
    "late": "Came after its window had closed.",
    "duplicate": "Its id was seen.",
    "empty": "A tombstone, or no content.",
    "ignored": "Of a type that no contract has.",
}
"""A description of each enum value of the languages."""


def explain_words(schema: Any) -> None:
    """Give every choice of words its descriptions, and every field with examples a text with them,
    all through a schema."""
    if isinstance(schema, list):
        for part in schema:
            explain_words(part)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("enum"), list):
        schema["enumDescriptions"] = [WORDS.get(word, "") for word in schema["enum"]]
    examples = schema.get("examples")
    if isinstance(examples, list) and isinstance(schema.get("description"), str):
        shown = [
            example if isinstance(example, str) else json.dumps(example) for example in examples
        ]
        text = f"{schema['description']}\n\nFor example `{'`, `'.join(shown)}`"
        schema["markdownDescription"] = text
    for value in list(schema.values()):
        explain_words(value)


def with_names(schema: Schema, declared: Declared) -> Schema:
    """Offer the names of a rule set where the language refers to them; others stay allowed."""
    events, kpis, rules = (sorted(declared.names[s]) for s in ("events", "kpis", "rules"))
    fields = sorted(
        {
            f
            for e in declared.events.values()
            for f in (*e.model.fields, *e.model.lookup, *e.model.computed)
        }
    )
    for model, name, form, names in (
        ("RuleSpec", "kpi", "string", kpis),
        ("KpiSpec", "from", "string", events),
        ("KpiSpec", "from", "array", kpis),
        ("KpiSpec", "by", "array", fields),
        ("KpiSpec", "person", "string", fields),
        ("KpiSpec", "objective", "string", sorted(declared.names["objectives"])),
        ("EventsSpec", "type", "string", events),
        ("TestSpec", "rules", "array", rules),
    ):
        field = schema["$defs"].get(model, {}).get("properties", {}).get(name)
        if field is not None:
            _offer(field, form, names)
    _offer_keys(schema, "ObjectiveSpec", "kpis", {k: _title(declared, k) for k in kpis})
    objectives = dict.fromkeys(sorted(declared.names["objectives"]), "An objective.")
    _offer_keys(schema, "ObjectiveSpec", "objectives", objectives)
    _offer_keys(schema, "EventsSpec", None, dict.fromkeys(fields, "A field of the event."))
    series = {_series(declared, k): _title(declared, k) for k in kpis}
    for model, name in (
        ("TestSpec", "series"),
        ("ExpectSpec", "windows"),
        ("ExpectSpec", "targets"),
    ):
        _offer_keys(schema, model, name, series)
    return schema


def _offer(field: Schema, form: str, names: Iterable[str]) -> None:
    """Make a string field, or the elements of a list, an enum of names or any other string."""
    options = [field, *field.get("oneOf", ()), *field.get("anyOf", ())]
    [option] = [choice for choice in options if choice.get("type") == form]
    text = option["items"] if form == "array" else option
    del text["type"]
    text["anyOf"] = [{"enum": list(names)}, {"type": "string"}]


def _offer_keys(schema: Schema, model: str, name: str | None, keys: Mapping[str, str]) -> None:
    """Offer keys of a mapping: of a model itself, or of a field that is one."""
    held = schema["$defs"].get(model)
    if held is not None and name is not None:
        held = held["properties"].get(name)
    if held is None:
        return
    value = held.get("additionalProperties")
    value = value if isinstance(value, dict) else {}
    known = held.setdefault("properties", {})
    for key, description in keys.items():
        known.setdefault(key, {**value, "title": key, "description": description})


def _title(declared: Declared, kpi: str) -> str:
    entry = declared.kpis.get(kpi)
    return (entry.model.title or entry.model.description or kpi) if entry else kpi


def _series(declared: Declared, kpi: str) -> str:
    """A KPI with its dimensions, to be filled in."""
    entry = declared.kpis.get(kpi)
    while entry is not None and isinstance(entry.model.from_, list):
        entry = declared.kpis.get(entry.model.from_[0])
    by = (entry.model.by if entry else None) or ()
    inside = ", ".join(f'{dimension}=""' for dimension in by)
    return f"{kpi}{{{inside}}}" if inside else kpi
