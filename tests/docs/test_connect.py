"""The examples of how to connect are settings that the agent takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.settings import load_settings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "connect.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_settings_file(tmp_path: Path, example: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(example)
    assert load_settings(file).security_protocol in ("SSL", "SASL_SSL")


def test_every_way_to_log_in_has_an_example() -> None:
    named = {m for text in EXAMPLES for m in re.findall(r"sasl_mechanism: (\S+)", text)}
    assert named == {"SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI"}
