"""The JSON Schema of rule tests, for editors."""

import json
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from agent.core.model.results import AlertPhase, Outcome, TargetState
from agent.language.source import read
from agent.ruletests.models import OutcomeName, PhaseName, StateName
from agent.ruletests.schema import json_schema
from tests.conftest import ROOT

HERE = Path(__file__).parent
VALIDATOR = Draft202012Validator(json_schema())
FILES = [*ROOT.glob("rules/*_test.yaml"), *ROOT.glob("examples/*/rules/*_test.yaml")]


@pytest.mark.parametrize(
    "file", [*FILES, HERE / "reports" / "desk_test.yaml"], ids=lambda f: f.stem
)
def test_good_files_pass(file: Path) -> None:
    data = read(str(file), file.read_bytes()).data
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


@pytest.mark.parametrize("name", ["head", "nothing_comes_in", "values", "events"])
def test_mistakes_of_shape_fail(name: str) -> None:
    file = HERE / "bad" / f"{name}_test.yaml"
    assert not VALIDATOR.is_valid(read(str(file), file.read_bytes()).data)


def test_every_field_has_a_title_and_a_description_for_hover() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            assert field["title"] == name
            assert field["description"], name


def test_the_committed_schema_is_the_one_that_the_models_give() -> None:
    """`kpi-agent schema --tests > docs/tests.schema.json` renews it."""
    assert json.loads((ROOT / "docs" / "tests.schema.json").read_text()) == json_schema()


def test_the_words_of_the_language_are_those_of_the_core() -> None:
    for words, enum in ((PhaseName, AlertPhase), (StateName, TargetState), (OutcomeName, Outcome)):
        assert set(get_args(words)) == {member.value for member in enum}
