"""Several topics for one event: those that match, those that appear, those that are deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime

import duckdb
import pytest

from .agents import Agent
from .feeds import Json, published, read
from .shops import Shops, delete_topics
from .stage import Stage
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

AHEAD_SECONDS = 10

RULES = """\
version: 1
defaults: {lateness: 1s}
events:
  sale:
    topic: {pattern: "PREFIX.*"}
    time: at
    fields: {shop: string, amount: float, country: {path: {record: topic}, type: string}}
  refund:
    topic: [PREFIXno, PREFIXdk]
    time: at
kpis:
  sales: {from: sale, value: sum(amount), by: [country, shop], window: 2s}
  all: {from: sale, value: count(*), window: 2s}
  refunds: {from: refund, value: count(*), window: 2s}
"""

TRUTH = """
select 'sales', country, shop, "at" - "at" % 2000, sum(amount) from records group by all
union all select 'all', null, null, "at" - "at" % 2000, count(*) from records group by all
"""


def _truth(stage: Stage, topics: Sequence[str]) -> dict[tuple[object, ...], float]:
    """What DuckDB says of every window of the events in some topics."""
    rows = [{**json.loads(r.value), "country": r.topic} for r in read(stage.broker.address, topics)]
    file = stage.folder / "records.ndjson"
    file.write_text("\n".join(map(json.dumps, rows)))
    with duckdb.connect() as db:
        db.execute(f"create view records as from read_ndjson('{file}')")
        return {tuple(key): value for *key, value in db.execute(TRUTH).fetchall()}


def _closed(stage: Stage) -> dict[tuple[object, ...], Json]:
    """The closed windows that hold events."""
    lines = published(stage.broker.address, stage.values_topic).values()
    return {
        (line["kpi"], *(line["dimensions"].get(n) for n in ("country", "shop")), _ms(line)): line
        for line in lines
        if line["kind"] == "window" and line["events"]
    }


def _ms(line: Json) -> int:
    return round(datetime.fromisoformat(line["start"]).timestamp() * 1000)


def _waiting(agent: Agent) -> set[str]:
    """The components that are not ready."""
    return {line.partition(":")[0] for line in agent.ready()[1].splitlines()}


def _sell(seconds: float, *countries: Shops) -> None:
    for _ in range(round(seconds / 0.25)):
        for shops in countries:
            shops.sell_for(0.2 / len(countries), 0)


def _wait_exact(
    stage: Stage, shops: Sequence[Shops], expected: dict[tuple[object, ...], float]
) -> None:
    """Wait until every window before now is published; all of them are what is expected."""
    for country in shops:  # closes all windows before it, and is in none of them
        country.sell(0, ahead_ms=1_000 * AHEAD_SECONDS)

    def missing() -> set[tuple[object, ...]]:
        return expected.keys() - _closed(stage).keys()

    until(lambda: not missing(), 60, lambda: f"{sorted(map(str, missing()))[:5]}\n{stage.words()}")
    closed = _closed(stage)
    values = {key: closed[key]["value"] for key in expected}
    assert values == expected
    assert not any(line.get("incomplete") for line in closed.values())


def test_a_topic_that_appears_is_read_from_its_first_event_and_one_that_goes_is_not_waited_for(
    stage: Stage,
) -> None:
    norway, sweden, denmark = (f"{stage.prefix}{name}" for name in ("no", "se", "dk"))
    stage.rules.mkdir(parents=True)
    (stage.rules / "sales.yaml").write_text(RULES.replace("PREFIX", stage.prefix))
    stage.broker.create_topics([norway, sweden], 1)
    killed, other = (stage.agent(name, start_from="latest") for name in ("one", "two"))
    killed.start()
    other.start()
    missing = f"source topic does not exist yet: {denmark}"
    for agent in (killed, other):
        agent.wait_says(missing)
        until(lambda: not {"ingest", "merge"} & _waiting(agent), 60, agent.last_words)  # noqa: B023
    shops = [Shops(stage, topic) for topic in (norway, sweden, denmark)]
    _sell(3, *shops[:2])

    stage.broker.create_topics([denmark], 1)
    shops[2].look_again()
    _sell(4, *shops)
    killed.kill()
    _sell(3, *shops)
    killed.start()
    killed.wait_ready()
    _sell(2, *shops)
    _wait_exact(stage, shops, _truth(stage, [norway, sweden, denmark]))
    outcomes = stage.counted()
    assert outcomes["late"] == outcomes["rejected"] == 0, outcomes

    delete_topics(stage, sweden)
    time.sleep(AHEAD_SECONDS)  # what happens before that is late now
    left = [shops[0], shops[2]]
    _sell(2, *left)
    expected = _truth(stage, [norway, denmark])
    _wait_exact(stage, left, {key: value for key, value in expected.items() if key[0] == "sales"})
