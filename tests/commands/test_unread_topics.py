"""Commands that read files name the topics of ignored records that no contract reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import main

RULES = """
version: 1
events:
  sale: {topic: shop, time: at}
kpis:
  sales: {from: sale, value: count(*), window: 1m}
rules:
  few_sales: {kpi: sales, when: value < 1}
"""


@pytest.mark.parametrize("command", ["replay", "backtest", "backfill", "explain few_sales"])
def test_a_command_names_the_topics_that_no_contract_reads(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    dump = tmp_path / "dump.ndjson"
    event = '"value": {"type": "sale", "at": 1700000000000}'
    dump.write_text(f'{{"topic": "shop", {event}}}\n{{"topic": "shop-old", {event}}}\n')
    arguments = [*command.split(), "--rules", str(tmp_path)]
    main([*arguments, str(dump)])
    named = "ignored records of topics that no contract reads: shop-old (1). To read a file"
    assert named in capsys.readouterr().err
    main([*arguments, f"shop={dump}"])
    assert "shop-old" not in capsys.readouterr().err
