"""Tests of every kind of rule; those of the shipped rules are run by `make check-generated`."""

import pytest

from agent.cli import main
from tests.conftest import ROOT


def test_rules_that_look_back_aside_and_at_others_can_be_tested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind of rule, and overrides, `depends_on`, flapping and maintenance."""
    code = main(["test", str(ROOT / "tests" / "ruletests" / "strategy")])
    assert code == 0, capsys.readouterr().out
