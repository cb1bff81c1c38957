"""Draws the run of a seed, runs it, and checks what must hold.

`simulate(seed)` runs a whole history with faults and checks it. The same seed gives the same run.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from agent.core.model.results import Outcome, Transition
from tests.core.simulated import same
from tests.simulation.apart import APART
from tests.simulation.broker import Broker
from tests.simulation.cases import CASES, RESTING, TOPICS, Case, plan_of
from tests.simulation.changes import BACKFILL, REDEFINED
from tests.simulation.history import START_MS, History, Key, history_of, truth
from tests.simulation.run import MOST_WORKERS, Faults, Run

NEVER_MS = 1 << 62
MOST_SKEW_MS = 1_000
"""How far a worker's clock may be off, and jump: the rest of the lateness is for delays."""
Windows = Mapping[Key, tuple[float | None, int]]


def new_run(seed: int, faults: Faults | None = None, case: Case | None = None) -> Run:
    """A run of a seed, with its own faults and rules or those given."""
    rng = random.Random(seed)
    drawn_case = rng.choice(CASES)
    if random.Random(f"{seed} reloads").random() < 1 / 7:  # seeds that are kept stay what they are
        drawn_case = BACKFILL
    elif random.Random(f"{seed} resting").random() < 1 / 6:
        drawn_case = RESTING
    elif random.Random(f"{seed} contracts").random() < 1 / 6:
        drawn_case = APART
    elif random.Random(f"{seed} redefined").random() < 1 / 6:
        drawn_case = REDEFINED
    case = case or drawn_case
    dice = random.Random(f"{seed} retention and clocks")
    wild = random.Random(f"{seed} clocks") if dice.random() < 1 / 4 else None
    history = history_of(rng, case, wild)
    topics = random.Random(f"{seed} topics")  # its own: the rest of the run stays as it is
    broker = Broker(history, rng.choice([1, 2, 3]), START_MS, places_of(case, history, topics))
    drawn = Faults.drawn(rng)
    if case.before is None and dice.random() < 1 / 5:
        # A zombie's frames, come after retention struck, may count twice: more than is promised.
        drawn = replace(drawn, retention=0.05, sleep=0.0)
    elif case.before is None and dice.random() < 1 / 5:
        drawn = replace(drawn, creation=0.01)
    if case is BACKFILL and random.Random(f"{seed} creation").random() < 1 / 3:
        drawn = replace(drawn, creation=0.01)
    run = Run(seed, rng, case, plan_of(case), broker, faults or drawn)
    if random.Random(f"{seed} skew").random() < 1 / 4:
        run.clocks_ms = -MOST_SKEW_MS, 0, MOST_SKEW_MS
    run.is_mixed = case.before is not None and dice.random() < 1 / 3
    if case.before is not None:
        run.changed_ms = START_MS + rng.randint(0, history.end_ms - START_MS - 60_000)
        run.rolled_ms = run.changed_ms + rng.choice([0, 1_000, 20_000])
    return run


def simulate(seed: int, case: Case | None = None) -> Run:
    """Run a seed, with its own rules or those of a case, and check it; raises AssertionError where
    an invariant does not hold."""
    run = new_run(seed, case=case)
    for _ in range(run.rng.randint(1, MOST_WORKERS)):
        run.start()
    while run.broker.now_ms < run.broker.history.end_ms:
        run.step()
    run.finish()
    check(run)
    return run


def check(run: Run) -> None:
    """The invariants: see docs/exactness.md."""
    history: History = run.broker.history
    expected = truth(run.case, history)
    redefined = run.case.redefined
    # A backfill begins again where the log of a topic does, and may have published before.
    again = run.plan.kpis.keys() - run.old_rules().kpis.keys() if run.broker.has_gaps else set()
    published = run.broker.windows(dict.fromkeys(redefined, NEVER_MS), again)
    alike = run.old_rules().kpis.keys() if run.is_mixed else run.plan.kpis.keys()
    if redefined and not run.is_mixed:
        check_redefined(run, expected)
    # What both declare alike is right.
    expected = {k: v for k, v in expected.items() if k[0] in alike - redefined}
    published = {k: v for k, v in published.items() if k[0] in alike}
    if run.broker.has_gaps:
        check_gaps(run, expected, published)
        return
    missing = sorted((k for k in expected if k not in published and not run.waits(k)), key=repr)
    assert not missing, f"{len(missing)} windows missing: {missing[:3]}"
    extra = sorted(published.keys() - expected.keys(), key=repr)
    assert not extra, (
        f"{len(extra)} windows that are none: {[(k, published[k]) for k in extra[:3]]}"
    )
    wrong = [
        (k, published[k], expected[k]) for k in published if not same(published[k], expected[k])
    ]
    assert not wrong, f"{len(wrong)} windows wrong (found, expected): {wrong[:3]}"
    assert not run.broker.incomplete()
    added = run.added() | run.unsettled_rules()
    transitions, wanted = run.broker.transitions(added), straight(run).transitions(added)
    assert transitions == wanted, sorted(transitions.items() ^ wanted.items(), key=repr)[:6]
    if run.broker.handoffs and run.changed_ms:
        # No alert is sent about what lies before the live flow. Where a state partition needed no
        # backfill, all there ever was is live.
        alerts = [t for t in run.broker.published if isinstance(t, Transition) and t.rule in added]
        early = [t for t in alerts if t.at_ms <= run.handoff_ms(t)]
        assert not early, f"alerts about the past: {early[:3]}"
    verdicts: Counter[Outcome] = history.outcomes
    short = verdicts - run.broker.outcomes
    assert not short, f"records without an outcome: {short}"
    if not (run.faults.crash or run.faults.sleep):
        # A worker that died ahead of its last commit has published what its successor says over:
        # only
        # where nobody died does every partial that comes to a sealed slice mean a late record.
        assert run.broker.late_partials == 0, f"{run.broker.late_partials} partials counted late"


def check_redefined(run: Run, expected: Windows) -> None:
    """What begins after the last worker has the new rules is what they say."""
    since_ms = dict.fromkeys(run.case.redefined, run.rolled_ms)
    published = run.broker.windows(since_ms)
    for name in run.case.redefined:
        window = run.plan.kpis[name].window
        wanted = {
            k: value
            for k, value in expected.items()
            if k[0] == name and window.start_of(k[2]) >= run.rolled_ms and value[1]
        }
        present = {k: value for k, value in published.items() if k[0] == name and value[1]}
        unlike = [
            (k, present.get(k), wanted.get(k))
            for k in present.keys() | wanted.keys()
            if k not in present or k not in wanted or not same(present[k], wanted[k])
        ]
        assert not unlike, f"{len(unlike)} windows wrong (found, expected): {unlike[:3]}"


def check_gaps(run: Run, expected: Windows, published: Windows) -> None:
    """Where records were deleted, by retention or with their topic, each window that is not marked
    has its value; and each window has all events of which no record was deleted."""
    marked = run.broker.incomplete()
    # A series that began in a marked window has empty ones behind it.
    extra = [k for k in published if k not in expected and k not in marked and published[k][1]]
    assert not extra, f"{len(extra)} windows that are none, and not marked: {extra[:3]}"
    plain = (k for k in published if k in expected and k not in marked)
    wrong = [(k, published[k], expected[k]) for k in plain if not same(published[k], expected[k])]
    assert not wrong, f"{len(wrong)} windows wrong, and not marked: {wrong[:3]}"
    # A backfill reads what is there: not even all that was read once.
    names = {name for name, *_ in expected} & run.old_rules().kpis.keys()
    least = {k: n for k, (_, n) in truth(run.case, kept(run.broker)).items() if n and k[0] in names}
    present = {k: published[k][1] if k in published else 0 for k in least if not run.is_open(k)}
    short = [(k, events, least[k]) for k, events in present.items() if events < least[k]]
    assert not short, f"{len(short)} windows lack what was not deleted (found, least): {short[:3]}"


def kept(broker: Broker) -> History:
    """The history without the events of which any record was deleted, perhaps unread."""
    gone = [json.loads(r.value)["at"] for r in broker.gone if b'"at"' in r.value]
    counted = [c for c in broker.history.counted if c[1].at_ms not in gone]
    return replace(broker.history, counted=counted)


def places_of(case: Case, history: History, rng: random.Random) -> list[tuple[str, int]]:
    """The topic and partition of each log: of one topic, or of two, the second of which may begin
    with the partition that is added."""
    topics = rng.choice([TOPICS[:1], TOPICS])
    drawn = [TOPICS[0], *(rng.choice(topics) for _ in history.logs[1:])]
    if case.feeds:
        drawn = [case.feeds[number % len(case.feeds)][0] for number in range(len(history.logs))]
    return [(topic, drawn[:number].count(topic)) for number, topic in enumerate(drawn)]


def straight(run: Run) -> Broker:
    """The same history with no faults: one worker reads everything at once."""
    broker = Broker(
        run.broker.history, run.broker.state_partitions, run.broker.now_ms, run.broker.places
    )
    calm = Run(run.seed, random.Random(0), run.case, run.plan, broker, Faults())
    calm.finish()
    return broker
