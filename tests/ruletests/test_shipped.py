"""The rule tests of the example company and of the retail year pass, and leave nothing unseen."""

import pytest

from agent.cli import main
from tests.conftest import ROOT


@pytest.mark.parametrize("folder", ["rules", "examples/retail/rules"])
def test_the_shipped_rules_pass_their_tests(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["test", str(ROOT / folder), "--fail-under", "100"])
    assert code == 0, capsys.readouterr().out
