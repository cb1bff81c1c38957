"""A restatement on Kafka: published windows, the same from the source topics, and corrections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.core.model.plan import Plan
from agent.core.model.results import Correction
from agent.core.output.privacy import Privacy
from agent.core.pipeline import in_event_time_order
from agent.core.restatement import (
    Period,
    TooManySeries,
    corrections,
    events_from_ms,
    events_until_ms,
    related,
    restatement_plan,
)
from agent.errors import EnvironmentFault
from agent.kafka.client import kafka_faults, new_producer, running
from agent.kafka.history import history
from agent.kafka.publish import Publisher, acknowledged
from agent.kafka.topics import TopicNames
from agent.kafka.value_log import published_windows
from agent.replay.runner import Replayed
from agent.settings import Settings

CORRECTIONS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Restatement:
    """The outcome: the KPIs that were computed again, how many of their windows are published in
    the period, the corrections, until when (ms) the windows of each KPI are closed, and the
    outcomes of the records that were read."""

    kpis: tuple[str, ...]
    windows: int
    corrections: Sequence[Correction]
    closed_ms: Mapping[str, int]
    read: Replayed = field(default_factory=Replayed)


async def restate(
    settings: Settings,
    plan: Plan,
    kpi: str,
    period: Period,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Restatement:
    """Compute the closed windows of a KPI, and of those that depend on it, again.

    Raises EnvironmentFault where topics can't be read, or do not reach back far enough.
    """
    privacy = Privacy(*settings.secrets_of("person"))
    privacy.check(plan)
    kpis = related(plan, kpi)
    published = await published_windows(
        settings,
        TopicNames.of(settings).values,
        [plan.kpis[name] for name in kpis],
        period.since_ms,
    )
    reduced_plan = restatement_plan(plan, kpis, period)
    read, emitted = Replayed(), []
    from_ms = events_from_ms(plan, kpis, period)
    until_ms = events_until_ms(plan, kpis, period)
    async for batch in history(
        settings, reduced_plan, from_ms, until_ms, read.note, progress, is_restated=True
    ):
        emitted.append(privacy.emitted(plan, batch))
    try:
        corrected = corrections(plan, kpis, published, in_event_time_order(emitted), period)
    except TooManySeries as error:
        raise EnvironmentFault(
            f"{error} has more series than max_series in this period: which of them are in "
            "__other__ depends on the order in which they came, so it can't be restated",
            "Raise max_series, so that later periods can be.",
        ) from error
    windows = sum(period.has(w) for name in kpis for w in published.windows(name).values())
    closed_ms = {name: published.newest_end_ms(name) for name in kpis}
    return Restatement(kpis, windows, corrected, closed_ms, read)


async def apply(
    settings: Settings, plan: Plan, corrected: Sequence[Correction], corrected_ms: int
) -> None:
    """Publish corrections. Raises EnvironmentFault where the topic can't be written."""
    with kafka_faults(f"the corrections can't be written to {settings.brokers}"):
        async with running(new_producer(settings)) as producer:
            publisher = Publisher(producer, TopicNames.of(settings))
            for begin in range(0, len(corrected), CORRECTIONS_AT_ONCE):
                chunk = corrected[begin : begin + CORRECTIONS_AT_ONCE]
                await acknowledged(await publisher.corrections(plan, chunk, corrected_ms))
