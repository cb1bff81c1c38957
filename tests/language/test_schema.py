import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent.language.declared import files_of
from agent.language.models.file import FileSpec
from agent.language.schema import json_schema
from agent.language.source import read

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "rules"
VALIDATOR = Draft202012Validator(json_schema())
SHAPE_MISTAKES = [
    "field_misspelt",
    "nested_field_misspelt",
    "contract_field_misspelt",
    "section_misspelt",
    "defaults_misspelt",
    "topic_missing",
    "value_missing",
    "kpi_name_bad",
    "field_name_bad",
    "field_type_unknown",
    "number_as_text",
    "text_as_number",
    "duration_bad",
    "duration_without_unit",
    "window_bad",
    "unit_bad",
    "target_without_bound",
    "target_two_bounds",
    "rule_without_condition",
    "rule_two_kinds",
    "rule_severity_unknown",
    "version_unknown",
    "empty_value",
    "max_bytes_zero",
]


def data_of(file: Path) -> Any:
    return read(str(file), file.read_bytes()).data


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", sorted(files_of(RULES)), ids=lambda f: f.stem)
def test_good_files_pass(file: Path) -> None:
    assert [e.message for e in VALIDATOR.iter_errors(data_of(file))] == []


@pytest.mark.parametrize("name", SHAPE_MISTAKES)
def test_mistakes_of_shape_fail(name: str) -> None:
    assert not VALIDATOR.is_valid(data_of(HERE / "bad" / f"{name}.yaml"))


def test_anchors_have_a_place() -> None:
    assert VALIDATOR.is_valid({"x-base": {"anything": 1}})


def test_every_field_has_a_title_and_a_description_for_hover() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            assert field["title"] == name
            assert field["description"], name
    assert set(schema["properties"]) == set(FileSpec.model_fields)


def test_the_committed_schema_is_the_one_that_the_models_give() -> None:
    """`kpi-agent schema > docs/schema.json` renews it."""
    committed = json.loads((HERE.parents[1] / "docs" / "schema.json").read_text())
    assert committed == json_schema()
