"""Every closed value of the agent equals DuckDB's answer to the same SQL over the same events."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.core.aggregate.sketches import QUANTILE_ERROR
from agent.core.model.results import Outcome, WindowValue

from .answers import Answers, answered
from .truth import Figure, Key, Truth
from .workload import events, ndjson

HERE = Path(__file__).parent
RETAIL = HERE.parents[1] / "examples" / "retail"

GENERATED_COLUMNS = {
    "id": "varchar",
    "type": "varchar",
    "occurred": "bigint",
    "region": "varchar",
    "channel": "varchar",
    "employee": "bigint",
    "customer": "varchar",
    "amount": "double",
    "response_seconds": "double",
    "score": "bigint",
}
RETAIL_COLUMNS = {
    "id": "varchar",
    "type": "varchar",
    "occurred_at": "timestamp",
    "customer": "varchar",
    "country": "varchar",
    "units": "bigint",
    "mean_unit_price": "double",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One rule set over one file of events: what the agent says, and how to ask DuckDB."""

    declared: Mapping[str, Any]
    answers: Answers
    truth: Truth
    _figures: dict[str, dict[Key, Figure]] = field(default_factory=dict)

    def type_of(self, kpi: str) -> str | None:
        """The event type of a KPI; None: all types."""
        source = self.declared["kpis"][kpi]["from"]
        everything = self.declared["events"][source].get("type_field") == "none"
        return None if everything else source

    def by_of(self, name: str) -> Sequence[str]:
        """The dimensions of a KPI."""
        return self.declared["kpis"][name].get("by", ())

    def figures(self, name: str) -> dict[Key, Figure]:
        """What DuckDB says of a KPI. It is asked once."""
        if name not in self._figures:
            self._figures[name] = self._asked(name)
        return self._figures[name]

    def _asked(self, name: str) -> dict[Key, Figure]:
        kpi = self.declared["kpis"][name]
        if isinstance(kpi["from"], list):
            inputs = {i: self.figures(i) for i in kpi["from"]}
            if "by" in kpi:
                return self.truth.rolled_up(kpi, self.by_of(kpi["from"][0]), inputs)
            return self.truth.derived(kpi, inputs)
        timezone = self.declared["defaults"].get("timezone", "UTC")
        return self.truth.figures(kpi, self.type_of(name), timezone)

    def of_nothing(self, name: str) -> float | None:
        """What DuckDB says of a KPI without events."""
        kpi = self.declared["kpis"][name]
        if isinstance(kpi["from"], list) and "by" in kpi:
            return self.truth.of_no_series(kpi)
        if isinstance(kpi["from"], list):
            nothing = Figure(0, 0)
            inputs = {i: {((), 0, 0): nothing} for i in kpi["from"]}
            return self.truth.derived(kpi, inputs)[(), 0, 0].value
        return self.truth.of_nothing(kpi, self.type_of(name))


def generated(folder: Path, rules: str, spread: tuple[int, int], **shape: int) -> Case:
    path = folder / f"{rules}.ndjson"
    path.write_bytes(ndjson(events(**shape)))
    declared = yaml.safe_load(next((HERE / rules).glob("*.yaml")).read_text())
    truth = Truth(path, "occurred", GENERATED_COLUMNS)
    return Case(declared, answered(HERE / rules, path, *spread), truth)


def traffic(folder: Path, spread: tuple[int, int] = (1, 1)) -> Case:
    """A hundred minutes of a busy shop, out of order by up to two seconds."""
    return generated(
        folder,
        "rules_traffic",
        spread,
        seed=4,
        count=20_000,
        first_ms=1_700_000_000_000,
        step_ms=300,
        disorder_ms=2_000,
    )


def spread_traffic(folder: Path) -> Case:
    """The same over three source and two state partitions."""
    return traffic(folder, (3, 2))


def seasons(folder: Path) -> Case:
    """Fifteen months of a slow shop, over three changes of the clock."""
    return generated(
        folder,
        "rules_calendar",
        (1, 1),
        seed=5,
        count=5_500,
        first_ms=1_293_800_000_000,
        step_ms=7_200_000,
        disorder_ms=10_800_000,
        customers=300,
    )


def retail(_folder: Path) -> Case:
    """The real retailer's year."""
    path = RETAIL / "retail-invoices.ndjson.gz"
    declared = yaml.safe_load((RETAIL / "rules" / "retail.yaml").read_text())
    time = "epoch_ms(timezone('Europe/London', occurred_at))"
    return Case(declared, answered(RETAIL / "rules", path), Truth(path, time, RETAIL_COLUMNS))


CASES = {
    "traffic": traffic,
    "spread traffic": spread_traffic,
    "seasons": seasons,
    "retail": retail,
}

EVERY_CASE = [
    pytest.param(name, marks=[pytest.mark.slow] * (name == "spread traffic")) for name in CASES
]


def kpis_of(file: Path) -> list[str]:
    return list(yaml.safe_load(file.read_text())["kpis"])


EVERY_KPI = [
    *(("traffic", kpi) for kpi in kpis_of(HERE / "rules_traffic" / "traffic.yaml")),
    *(
        pytest.param("spread traffic", kpi, marks=pytest.mark.slow)
        for kpi in kpis_of(HERE / "rules_traffic" / "traffic.yaml")
    ),
    *(("seasons", kpi) for kpi in kpis_of(HERE / "rules_calendar" / "seasons.yaml")),
    *(("retail", kpi) for kpi in kpis_of(RETAIL / "rules" / "retail.yaml")),
]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """The case of a name, made once."""
    return cache(lambda name: CASES[name](tmp_path_factory.mktemp("oracle")))


@pytest.mark.parametrize(("case", "kpi"), EVERY_KPI)
def test_every_window_equals_what_duckdb_says(
    cases: Callable[[str], Case], case: str, kpi: str
) -> None:
    asked = cases(case)
    expected = asked.figures(kpi)
    actual = asked.answers.windows[kpi]
    assert expected, "the case has no events for this KPI: it proves nothing"
    assert set(expected) <= set(actual)
    sql = asked.declared["kpis"][kpi]["value"]
    # Over series a quantile is exact; over events it is a sketch's.
    sketch = re.search("quantile|median", sql) and not isinstance(
        asked.declared["kpis"][kpi]["from"], list
    )
    tolerance = QUANTILE_ERROR * 1.0001 if sketch else 1e-9
    for key, figure in expected.items():
        assert actual[key].events == figure.events, key
        assert_close(actual[key].value, figure.value, tolerance, key)


@pytest.mark.parametrize(("case", "kpi"), EVERY_KPI)
def test_windows_without_events_say_what_sql_says_of_no_rows(
    cases: Callable[[str], Case], case: str, kpi: str
) -> None:
    asked = cases(case)
    expected = asked.figures(kpi)
    empty = {k: w for k, w in asked.answers.windows[kpi].items() if k not in expected}
    sql = asked.declared["kpis"][kpi]["value"]
    ended = {(dims, end) for dims, _, end in expected}
    retention = sql.startswith("retention")
    of_no_rows = None if retention else asked.of_nothing(kpi)
    for (dims, start, end), window in empty.items():
        assert window.events == 0
        # Of the customers that were there, none came back; of none, there is no share.
        share = 0.0 if (dims, start) in ended else None
        assert_close(window.value, share if retention else of_no_rows, 1e-9, (dims, start, end))


@pytest.mark.parametrize(("case", "kpi"), EVERY_KPI)
def test_windows_whose_time_is_over_are_closed_and_the_others_open(
    cases: Callable[[str], Case], case: str, kpi: str
) -> None:
    asked = cases(case)
    lateness_ms = asked.answers.plan.kpis[kpi].lateness_ms
    latest_ms = asked.truth.latest_ms()
    for key, window in asked.answers.windows[kpi].items():
        assert window.open == (key[2] + lateness_ms > latest_ms), key


@pytest.mark.parametrize("case", EVERY_CASE)
def test_disorder_within_the_lateness_loses_no_event(
    cases: Callable[[str], Case], case: str
) -> None:
    asked = cases(case)
    of_interest = asked.truth.events_of(list(asked.declared["events"]))
    everything = any(e.get("type_field") == "none" for e in asked.declared["events"].values())
    total = asked.truth.events_of(None)
    folded = total if everything else of_interest
    expected = {Outcome.FOLDED: folded} | (
        {Outcome.IGNORED: total - folded} if total > folded else {}
    )
    assert asked.answers.outcomes == expected


# The figures that came with the data: calendar months in Europe/London, Dec 2010 to Dec 2011.
PLACED = (1630, 1127, 1134, 1537, 1324, 1736, 1577, 1541, 1408, 1897, 2130, 2887, 839)
CUSTOMERS = (948, 783, 798, 1020, 899, 1079, 1051, 993, 980, 1302, 1425, 1711, 686)


@pytest.mark.parametrize(
    ("kpi", "figures"), [("invoices_placed", PLACED), ("active_customers", CUSTOMERS)]
)
def test_the_retailers_published_months_come_out(
    cases: Callable[[str], Case], kpi: str, figures: tuple[int, ...]
) -> None:
    windows = sorted(cases("retail").answers.windows[kpi].values(), key=lambda w: w.start_ms)
    assert [window.value for window in windows] == list(figures)
    assert [window.open for window in windows] == [False] * 12 + [True]


def assert_close(actual: float | None, expected: float | None, tolerance: float, key: Key) -> None:
    """Equal within a relative tolerance; what is no finite number is no value."""
    if expected is None or not math.isfinite(expected):
        assert actual is None, key
    else:
        assert actual is not None, key
        # Of so many windows, pytest.approx would take most of the time.
        assert abs(actual - expected) <= max(tolerance * abs(expected), 1e-12), key


@pytest.mark.parametrize("case", EVERY_CASE)
def test_no_window_is_reported_twice(cases: Callable[[str], Case], case: str) -> None:
    published: list[WindowValue] = cases(case).answers.published
    assert len({(w.kpi, w.dimensions, w.start_ms) for w in published}) == len(published)
