"""KPIs whose series are large."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages


@pytest.mark.parametrize(
    ("value", "window", "expected"),
    [
        ("count(distinct clerk)", "1h every 5m", []),  # 12 panes of 65,556 bytes
        (
            "count(distinct clerk)",
            "1h every 3m",
            [
                "the state of one series may take 1.3 MB: 20 panes of 65,556 bytes at most",
            ],
        ),
        ("count(distinct clerk)", "month", []),
        ("count(*)", "1h every 1m", []),
    ],
)
def test_many_panes_with_sketches_are_warned_of(
    value: str, window: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"kpis: {{people: {{from: sale, value: {value}, window: {window}}}}}"
    assert messages(tmp_path, changes) == expected
