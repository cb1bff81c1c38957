"""A record counts in every window that is open where it comes, whatever other KPIs there are."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from agent.core.model.results import Outcome
from tests.core.simulated import START_MS, World, plan_of, same, straight

HEAD = """
version: 1
defaults: {lateness: 10s, timezone: Europe/London}
events:
  sale:
    {topic: shop, time: at, id: id, duplicate_window: %s, fields: {amount: float, region: string}}
kpis:
"""
KPIS = {
    "pulse": "{from: sale, value: count(*), window: 10s}",
    "minutes": "{from: sale, value: sum(amount), window: 1m, by: [region]}",
    "hopping": "{from: sale, value: sum(amount), window: 6m every 90s}",
    "paid": "{from: sale, where: amount > 5, value: count(*), window: 10m}",
    "last_hour": "{from: sale, value: last(amount), window: 1h every 10m}",
    "daily": "{from: sale, value: sum(amount), window: day, by: [region]}",
}


def rules(*names: str, duplicate_window: str = "15m") -> str:
    return HEAD % duplicate_window + "".join(f"  {name}: {KPIS[name]}\n" for name in names)


def sale(at_ms: int, amount: float, name: str | None = None, region: str = "eu") -> bytes:
    body = {"type": "sale", "at": at_ms, "amount": amount, "region": region, "id": name}
    return msgspec.json.encode(body)


def a_log(rng: random.Random, tag: str) -> list[bytes]:
    """Half an hour, with disorder of up to ten minutes and ids that come again, also with another
    time."""
    records: list[bytes] = []
    now = START_MS
    while now < START_MS + 1_800_000:
        now += rng.choice([0, 2_000, 15_000, 70_000])
        at = now - rng.choice([0, 0, 0, 5_000, 30_000, 120_000, 600_000])
        number = len(records) if rng.random() < 0.8 else rng.randint(0, len(records))
        amount = rng.choice([1.0, 2.5, 40.0])
        records.append(sale(at, amount, f"{tag}{number}", rng.choice(["eu", "us"])))
    return records


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("duplicate_window", ["15m", "2m"])
def test_a_kpi_alone_has_the_values_that_it_has_beside_others(
    seed: int, duplicate_window: str, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    logs = [a_log(rng, "a"), a_log(rng, "b")]
    together = straight(plan_of(rules(*KPIS, duplicate_window=duplicate_window), tmp_path), logs)
    for name in KPIS:
        alone = straight(plan_of(rules(name, duplicate_window=duplicate_window), tmp_path), logs)
        beside = {key: value for key, value in together.windows().items() if key[0] == name}
        assert beside.keys() == alone.windows().keys()
        assert all(same(value, beside[key]) for key, value in alone.windows().items())
        assert alone.late_rows[name] == together.late_rows[name]


def values(world: World, kpi: str) -> dict[int, tuple[float | None, int]]:
    return {key[2]: value for key, value in world.windows().items() if key[0] == kpi}


def test_a_record_is_late_for_one_kpi_and_counts_in_another(tmp_path: Path) -> None:
    log = [sale(START_MS + s * 1000, 1.0) for s in (0, 240, 160, 1_300)]
    world = straight(plan_of(rules("pulse", "minutes", "paid"), tmp_path), [log])
    assert world.outcomes == {Outcome.FOLDED: 4}
    assert world.late_rows == {"pulse": 1, "minutes": 1}  # not `paid`, which does not ask for it


def test_a_record_counts_in_those_windows_of_a_kpi_that_are_open(tmp_path: Path) -> None:
    # When the third record comes, the frontier is 4:31 after the start.
    log = [sale(START_MS + s * 1000, a) for s, a in ((0, 1.0), (281, 2.0), (60, 100.0), (900, 4.0))]
    world = straight(plan_of(rules("hopping"), tmp_path), [log])
    by_end = {(end - START_MS) // 1000: v[0] for end, v in values(world, "hopping").items()}
    assert {end: by_end[end] for end in (90, 180, 270, 360, 450)} == {
        90: 1.0,
        180: 1.0,
        270: 1.0,
        360: 103.0,
        450: 2.0,
    }
    assert world.outcomes == {Outcome.FOLDED: 4}
    assert world.late_rows == {"hopping": 1}


def test_a_record_is_late_where_every_window_has_closed(tmp_path: Path) -> None:
    log = [sale(START_MS + s * 1000, 1.0) for s in (0, 240, 20)]
    world = straight(plan_of(rules("pulse", "minutes"), tmp_path), [log])
    assert world.outcomes == {Outcome.FOLDED: 2, Outcome.LATE: 1}
    assert world.late_rows == {"pulse": 1, "minutes": 1}


def test_a_repeat_counts_once_in_a_window_that_is_open(tmp_path: Path) -> None:
    first = sale(START_MS, 1.0, "a")
    log = [first, sale(START_MS + 240_000, 1.0), first, sale(START_MS + 290_000, 1.0)]
    log += [sale(START_MS + 300_000, 8.0, "a"), sale(START_MS + 86_400_000 * 2, 0.0)]
    world = straight(plan_of(rules("pulse", "daily"), tmp_path), [log])
    # The repeat is late for ten seconds, and one for the day; the id used again is a new event for
    # ten seconds alone.
    assert world.outcomes == {Outcome.FOLDED: 5, Outcome.DUPLICATE: 1}
    assert [v for v in values(world, "daily").values() if v[1]] == [(3.0, 3)]
    assert sum(v[1] for v in values(world, "pulse").values()) == 4


def test_an_id_is_remembered_for_the_duplicate_window_at_most(tmp_path: Path) -> None:
    def log(again_s: int) -> list[bytes]:
        first = sale(START_MS, 1.0, "a")
        return [
            first,
            sale(START_MS + again_s * 1000, 1.0),
            first,
            sale(START_MS + 86_400_000 * 2, 0.0),
        ]

    plan = plan_of(rules("daily", duplicate_window="2m"), tmp_path)
    assert straight(plan, [log(129)]).outcomes[Outcome.DUPLICATE] == 1
    assert straight(plan, [log(130)]).outcomes[Outcome.DUPLICATE] == 0


def test_a_restart_reads_a_slice_and_the_duplicate_window_again_not_the_month(
    tmp_path: Path,
) -> None:
    log = [sale(START_MS + minute * 60_000, 1.0, f"n{minute}") for minute in range(120)]
    world = World(plan_of(rules("daily", duplicate_window="5m"), tmp_path), [log])
    worker = world.worker()
    world.read(worker, {0: len(log)})
    commit = world.flush(worker)[0]
    assert len(log) - 13 <= commit.offset < len(log)
