"""The position of the lookup topics as of which each record is joined, and its row as of there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import Resume, SourceProgress
from agent.core.fold.lookup_join import LookupJoins
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.model.plan import Plan
from tests.core.simulated import START_MS, plan_of

SPAN_MS = 60_000
RULES = """
version: 1
events:
  sale:
    topic: shop
    time: at
    fields: {store: string}
    lookup: {zone: zones.zone}
lookups:
  zones: {topic: zones, key: store, columns: {zone: string}}
kpis:
  sales: {from: sale, value: count(*), by: [zone], window: 1m}
"""


class Shop:
    """The joins of the sales, and the sources and the lookup topic that they read."""

    def __init__(self, plan: Plan, committed: str = "") -> None:
        self.zones = LookupTopics(plan.lookups)
        self.joins = LookupJoins(plan.contracts_of("shop"), plan.lookups, self.zones)
        resume = Resume(0, 0, None, None, lookups=committed)
        self.sources = {partition: SourceProgress.resumed(resume) for partition in (0, 1)}
        self._offset = 0

    def place(self, zone: str) -> None:
        """The store "a" is in a zone from START_MS on."""
        offsets = np.array([self._offset], np.int64)
        value = f'{{"zone": "{zone}"}}'.encode()
        batch = Batch("zones", [value], np.zeros(1, np.int32), offsets, offsets * 0, keys=[b"a"])
        assert self.zones.add(batch) == []
        self._offset += 1
        self.zones.advance({self.zones.log_partition("zones", 0): self._offset})

    def sell(self, *sales: tuple[int, int]) -> list[str | None]:
        """The zones of sales in the store "a", as (partition, offset)."""
        partitions, offsets = (np.array(column) for column in zip(*sales, strict=True))
        count = len(sales)
        batch = Batch("shop", [b"{}"] * count, partitions.astype(np.int32), offsets, offsets * 0)
        as_of = self.joins.read(batch, self.sources, SPAN_MS)
        table = pl.DataFrame(
            {"_row": range(count), "_time": [START_MS] * count, "store": ["a"] * count},
            schema={"_row": pl.UInt32, "_time": pl.Int64, "store": pl.String},
        )
        zones: list[str | None] = self.joins.join("sale", table, as_of)["zone"].to_list()
        return zones


def test_records_are_joined_as_of_the_position_that_is_read_when_they_come(tmp_path: Path) -> None:
    shop = Shop(plan_of(RULES, tmp_path))
    assert shop.joins.topics == {"zones"}
    assert shop.sell((0, 0)) == [None]
    shop.place("near")
    assert shop.sell((0, 1), (1, 0)) == ["near", "near"]
    shop.place("far")
    assert shop.sell((0, 2)) == ["far"]


def test_records_whose_steps_are_fixed_are_joined_as_before(tmp_path: Path) -> None:
    plan = plan_of(RULES, tmp_path)
    before = Shop(plan)
    before.place("near")
    before.sell((0, 0), (0, 1))
    before.sources[0].covered = 2
    committed = before.sources[0].fix_lookups()
    after = Shop(plan, committed)
    after.place("near")
    after.place("far")
    assert after.sell((0, 0), (0, 1), (0, 2)) == ["near", "near", "far"]


def test_without_lookup_topics_there_is_no_position(tmp_path: Path) -> None:
    rules = RULES.replace("{topic: zones,", "{file: zones.csv,")
    (tmp_path / "zones.csv").write_text("store,zone\na,near\n", encoding="utf-8")
    shop = Shop(plan_of(rules, tmp_path))
    assert shop.joins.topics == frozenset()
    assert shop.sell((0, 0), (1, 0)) == ["near", "near"]
    assert shop.sources[0].lookups.steps == []
