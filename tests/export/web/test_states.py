"""The words of states, for pages and scripts."""

from __future__ import annotations

import json

from agent.core.model.results import TargetState
from agent.export.web.shown import MARKED, SCRIPT, STATES


def test_every_state_has_words_and_scripts_have_the_same() -> None:
    assert STATES.keys() == {*TargetState, "none"} == MARKED.keys()
    assert json.loads(SCRIPT.removeprefix("export const STATES = ").rstrip(";\n")) == STATES


def test_a_mark_says_what_a_colour_does() -> None:
    assert MARKED["met"] == "✓ on target"
    assert MARKED["none"] == "no target"
