"""The rule tests of the example company and of the retail year pass, and leave little unseen."""

import pytest

from agent.cli import main
from tests.conftest import ROOT


@pytest.mark.parametrize("folder", ["rules", "examples/retail/rules"])
def test_the_shipped_rules_pass_their_tests(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["test", str(ROOT / folder), "--fail-under", "90"])
    assert code == 0, capsys.readouterr().out


def test_rules_that_look_back_aside_and_at_others_can_be_tested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind of rule, and overrides, `depends_on`, flapping and maintenance."""
    code = main(["test", str(ROOT / "tests" / "ruletests" / "strategy")])
    assert code == 0, capsys.readouterr().out
