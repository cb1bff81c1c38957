"""Words pydantic's errors for people: where, what is wrong, how to fix it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.language.models.file import FileSpec
from agent.language.problems import suggest
from agent.language.source import On, Place

_SHOULD_BE = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (name: value)",
    "model_type": "a mapping (name: value)",
    "list_type": "a list",
}
_SHAPES = ("union_tag_invalid", "dict_type", "model_type", "list_type")
"""Errors of a value that is no text, list or mapping where one is wanted."""
_TYPES = {
    "bigint": "integer", "char": "string", "currency": "decimal", "datetime": "timestamp",
    "double": "float", "int64": "integer", "long": "integer", "money": "decimal",
    "number": "float", "numeric": "decimal", "real": "float", "text": "string",
    "varchar": "string",
}  # fmt: skip
"""What other languages call the types of fields."""
_TAGS = {
    "<text>": "text",
    "<number>": "a number",
    "<list>": "a list",
    "<mapping>": "a mapping",
}


def explain(
    error: ValidationError, model: type[BaseModel], base: Place
) -> Iterator[tuple[Place, On, str, str | None]]:
    """The errors of one entry, as (place, key or value, message, hint); `base` is its place."""
    for detail in error.errors(include_url=False):
        parts, on = place_of(detail)
        message, hint = _words(detail, model, parts)
        place = (*base, *parts)
        # A missing field is shown at what it is missing from.
        yield (place[:-1] if detail["type"] == "missing" else place), on, message, hint


def place_of(detail: ErrorDetails) -> tuple[Place, On]:
    """Where an error is in what was validated, and whether it is about the key there."""
    parts = tuple(p for p in detail["loc"] if not (isinstance(p, str) and p.startswith("<")))
    if parts and parts[-1] == "[key]":
        return parts[:-1], "key"
    return parts, "key" if detail["type"] in ("extra_forbidden", "missing") else "value"


def fields_at(model: type[BaseModel], place: Place) -> dict[str, Any]:
    """The fields of the model that is written at a place below an instance of `model`."""
    return _fields(_model_at(model, place))


def _words(detail: ErrorDetails, model: type[BaseModel], parts: Place) -> tuple[str, str | None]:
    kind, context = detail["type"], detail.get("ctx", {})
    name = str(parts[-1]) if parts else ""
    if kind == "rules":
        return str(context["message"]), context.get("hint")
    if kind in ("extra_forbidden", "missing"):
        fields = fields_at(model, parts[:-1])
        if kind == "missing":
            return f"'{name}' is missing", f"add `{name}: {_example(fields.get(name))}`"
        part = "section" if model is FileSpec else "field"
        return f"unknown {part} '{name}'", suggest(name, fields, f"{part}s")
    if detail["input"] is None:
        return f"'{name}' has no value" if name else "has no value", "give it one, or leave it out"
    message, hint = _about_value(kind, detail["input"], context, detail["msg"])
    field = fields_at(model, parts[:-1]).get(name) if hint is None and kind in _SHAPES else None
    return message, hint or (
        f"for example `{name}: {_example(field)}`" if field and field.examples else None
    )


def _about_value(
    kind: str, given: Any, context: dict[str, Any], default: str
) -> tuple[str, str | None]:
    if kind == "literal_error":
        expected = context["expected"].replace(" or ", ", ").split(",")
        options = [part.strip(" '") for part in expected]
        if len(options) == 1:
            return f"should be {options[0]}, not {_show(given)}", None
        return f"{_show(given)} is not one of {', '.join(options)}", _near(given, options)
    if kind == "union_tag_invalid":
        expected = [_TAGS[tag.strip(" '")] for tag in context["expected_tags"].split(",")]
        return f"should be {' or '.join(expected)}, not {_show(given)}", None
    if kind in _SHOULD_BE:
        quote = kind == "string_type" and not isinstance(given, dict | list)
        hint = f'put it in quotes: "{_plain(given)}"' if quote else None
        if isinstance(given, str) and re.fullmatch(r"-?\d+(\.\d+)?|true|false", given):
            hint = "leave the quotes out"
        if kind == "float_type" and isinstance(given, str) and re.fullmatch(r"\d+(\.\d+)?%", given):
            hint = f"write `{float(given[:-1]) / 100:g}`"
        if kind == "list_type" and isinstance(given, str | int):
            hint = f"write `[{given}]`"
        return f"should be {_SHOULD_BE[kind]}, not {_show(given)}", hint
    return _about_size(kind, given, context, default), None


def _about_size(kind: str, given: Any, context: dict[str, Any], default: str) -> str:
    if kind == "too_short" and given:
        return f"should have {context['min_length']} values, not {len(given)}"
    if kind == "too_long":
        return f"should have {context['max_length']} values, not {len(given)}"
    words = {
        "greater_than": f"must be more than {context.get('gt')}, not {_show(given)}",
        "greater_than_equal": f"must be at least {context.get('ge')}, not {_show(given)}",
        "less_than_equal": f"must be at most {context.get('le')}, not {_show(given)}",
        "finite_number": "must be a finite number",
        "too_short": "is empty",
    }
    return words.get(kind, default)


def _near(given: Any, options: list[str]) -> str | None:
    same = _TYPES.get(str(given).lower())
    if same in options:
        return f"write '{same}'"
    hint = suggest(str(given), options, "values")
    return hint if hint.startswith("did you mean") else None


def _plain(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _show(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else _plain(value)


def _example(field: Any) -> str:
    examples = getattr(field, "examples", None)
    if not examples:
        return "…"
    if isinstance(examples[0], str):
        return examples[0]
    return re.sub(r'"(\w+)"', r"\1", json.dumps(examples[0]))


def _fields(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {}
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_at(model: type[BaseModel], parts: Place) -> type[BaseModel] | None:
    """The model of what is written at `parts` below an instance of `model`."""
    annotation: Any = model
    for part in parts:
        held = _element_of(annotation, list if isinstance(part, int) else dict)
        if held is None:
            field = _fields(_model_in(annotation)).get(str(part))
            held = None if field is None else field.annotation
        if held is None:
            return None
        annotation = held
    return _model_in(annotation)


def _element_of(annotation: Any, origin: type) -> Any:
    """The element type of a list or dict annotation, in any member of a union."""
    if get_origin(annotation) is origin:
        return get_args(annotation)[-1]
    if get_origin(annotation) in (dict, list):
        return None
    types = (_element_of(argument, origin) for argument in get_args(annotation))
    return next((type_ for type_ in types if type_ is not None), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model within Optional, Annotated, list, dict or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        inner = _model_in(argument)
        if inner is not None:
            return inner
    return None
