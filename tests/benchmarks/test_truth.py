"""The benchmarks notice a wrong window, a missing one, and one that was published twice."""

from pathlib import Path

import pytest

import benchmarks.workload
from agent.core.model.plan import Plan
from agent.core.output.messages import window_json
from agent.core.pipeline import Pipeline, in_event_time_order
from agent.language.load import load
from benchmarks import scale
from benchmarks.truth import Value, Window, compare, windows
from benchmarks.workload import Shape

RULES = Path(benchmarks.workload.__file__).parent / "rules"
SHAPE = Shape(events=4_000, step_ms=40)


@pytest.fixture(scope="module", params=["w", "w20"])
def published(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Plan, dict[Window, Value], list[dict]]:
    """The truth of a small workload, and what the core says of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarks.workload, "CACHE", tmp_path_factory.mktemp("bench"))
        plan = load(RULES / request.param)
        expected = windows(SHAPE, plan)
    pipeline = Pipeline(plan, {"bench-w": 4}, state_partitions=2)
    emitted = []
    for batch in scale.batches(SHAPE):
        pipeline.add(batch)
        emitted.append(pipeline.flush())
    for partition in range(4):
        pipeline.end("bench-w", partition)
    merger_end = SHAPE.closing_ms
    emitted += [merger.finish(plan.contracts, merger_end) for merger in pipeline.mergers]
    closed = in_event_time_order(emitted).windows
    return plan, expected, [window_json(plan.kpis[w.kpi], w) for w in closed]


def test_the_core_is_exact_on_the_workload(published: tuple) -> None:
    verdict = compare(*published)
    assert (verdict.wrong, verdict.exact) == ((), True)


def test_a_wrong_value_is_noticed(published: tuple) -> None:
    plan, expected, records = published
    changed = {**records[0], "value": (records[0]["value"] or 0) + 1}
    assert not compare(plan, expected, [changed, *records[1:]]).exact


def test_a_missing_window_is_noticed(published: tuple) -> None:
    plan, expected, records = published
    full = next(i for i, record in enumerate(records) if record["events"])
    assert not compare(plan, expected, records[:full] + records[full + 1 :]).exact


def test_a_repeat_counts_once_and_only_if_it_says_the_same(published: tuple) -> None:
    plan, expected, records = published
    assert compare(plan, expected, [*records, records[0]]).exact
    other = {**records[0], "events": records[0]["events"] + 1}
    assert not compare(plan, expected, [*records, other]).exact
