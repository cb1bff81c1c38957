"""`kpi-agent size`: a table with reasons, JSON, values of the chart, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from agent.cli import main

RULES = """\
version: 1
events:
  sold: {topic: tills, time: at, id: receipt, fields: {price: float, shop: string}}
kpis:
  takings: {from: sold, value: sum(price), by: [shop], window: 1m, max_series: 500}
  sales: {from: sold, value: count(*), window: 1m}
  mean: {from: [takings], value: takings * 2, by: [shop], window: 1m}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "tills.yaml").write_text(RULES)
    monkeypatch.chdir(tmp_path)


def size(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["size", *options]) == 0
    return capsys.readouterr().out


def test_every_row_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = size(capsys, "--events-per-second", "20000").splitlines()
    assert lines[1].split()[:2] == ["workers", "2"]
    column = lines[0].index("why")
    assert all(len(line[column:]) > 10 for line in lines[1:])


def test_the_series_of_each_kpi_and_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    base = ("--events-per-second", "20000", "--format", "json")

    def windows(*series: str) -> float:
        return float(json.loads(size(capsys, *base, *series))["windows"]) * 60

    assert windows() == pytest.approx(100 + 1 + 100)
    assert windows("--series", "7") == pytest.approx(7 + 1 + 7)
    assert windows("--series", "7", "--series", "mean=9") == pytest.approx(7 + 1 + 9)
    assert windows("--series", "takings=9000") == pytest.approx(500 + 1 + 100)  # its max_series


def test_the_chart_takes_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load(size(capsys, "--events-per-second", "1e6", "--format", "helm"))
    needed = json.loads(size(capsys, "--events-per-second", "1e6", "--format", "json"))
    assert values["replicas"] == needed["workers"] > 2
    assert values["settings"] == {"state_partitions": needed["state_partitions"]}
    requests, limits = values["resources"]["requests"], values["resources"]["limits"]
    assert int(requests["cpu"].removesuffix("m")) >= needed["cores_each"] * 1000
    mib = [int(sizes["memory"].removesuffix("Mi")) for sizes in (requests, limits)]
    assert mib[0] * 2**20 >= needed["memory_bytes_each"]
    assert mib[1] * 2**20 >= needed["memory_limit_bytes_each"]


def test_fewer_partitions_than_workers_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size", "--events-per-second", "1e6", "--source-partitions", "3"]) == 0
    assert "3 source partitions limit stage 1 to 3 of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        ("", 2, "required: --events-per-second"),
        ("--events-per-second many", 2, "'many' is no rate: write a number above 0"),
        ("--events-per-second nan", 2, "'nan' is no rate"),
        ("--events-per-second 1 --series 5x", 2, "'5x' is no number from 1"),
        ("--events-per-second 1 --flush-interval 0", 2, "write seconds, 0.05 to 60"),
        ("--events-per-second 1 --state-partitions 257", 2, "no number from 1 to 256"),
        ("--events-per-second 1 --series takngs=5", 1, "did you mean 'takings'?"),
        ("--events-per-second 1e9", 1, "needs more than 256 workers"),
    ],
)
def test_bad_input_is_named_with_what_would_be_right(
    options: str, code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended: object = main(["size", *options.split()])
    except SystemExit as stopped:
        ended = stopped.code
    assert ended == code
    assert error in capsys.readouterr().err
