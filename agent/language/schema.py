"""The language as JSON Schema (draft 2020-12), for completion and hover in editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from agent.language.hover import explain_words
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
