"""The outcome of a backtest, as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.backtest import chart
from agent.backtest.runner import Backtest
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.printable import aligned, printable
from agent.core.model.rules import Rule
from agent.core.model.text import duration, seconds_text
from agent.core.output.episodes import AlertHistory, Episode, EpisodeChanges, compare_episodes
from agent.core.output.messages import Json, dimensions_json, iso, summary_json
from agent.replay.report import number, outcomes_text, series_text

MOST_SERIES = 12
"""Charts for each rule: of the series with the most episodes."""

MOST_EPISODES = 50
"""Lines for each rule in the text for people; `json` has them all."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A backtest, and that of a baseline, the rules that it is compared with, if there is one.
    `rules`: those to report; none: all."""

    after: Backtest
    before: Backtest | None = None
    baseline_name: str = ""
    rules: frozenset[str] = frozenset()

    @property
    def history(self) -> AlertHistory:
        """The episodes."""
        return self.after.history

    def shown_rules(self) -> list[str]:
        """The rules that are reported, by name: those asked for, else all."""
        known = {*self.history.plan.rules, *(self.before.history.plan.rules if self.before else ())}
        return sorted(known & self.rules if self.rules else known)

    def baseline_episodes(self, rule: str) -> tuple[Episode, ...]:
        """The episodes that a rule has in the baseline."""
        return self.before.history.of_rule(rule) if self.before else ()

    def episode_changes(self) -> EpisodeChanges | None:
        """The episodes gained, lost and kept, of the rules that are reported."""
        if self.before is None:
            return None
        whole = compare_episodes(self.before.history, self.history)
        shown = set(self.shown_rules())
        return EpisodeChanges(
            tuple(e for e in whole.gained if e.rule in shown),
            tuple(e for e in whole.lost if e.rule in shown),
            tuple(pair for pair in whole.kept if pair[0].rule in shown),
        )


def frequency_text(count: int, history: AlertHistory) -> str:
    """`5 episodes, 1.3 a week`."""
    return f"{count} episode{'' if count == 1 else 's'}, {count / history.weeks:.3g} a week"


def duration_text(episode: Episode, history: AlertHistory) -> str:
    """How long it fired; `+` where it still does."""
    if episode.resolved_ms is None:
        return f"{duration(history.until_ms - episode.fired_ms)}+"
    return duration(episode.resolved_ms - episode.fired_ms)


def time_text(at_ms: int) -> str:
    """`2025-03-03 08:30`, in UTC; with seconds where there are any."""
    printed = iso(at_ms).removesuffix("Z").replace("T", " ")
    return printed.removesuffix(":00")


def by_series(episodes: Iterable[Episode]) -> list[tuple[Dimensions, list[Episode]]]:
    """The episodes by series, those with the most first."""
    groups: dict[Dimensions, list[Episode]] = {}
    for episode in episodes:
        groups.setdefault(episode.dimensions, []).append(episode)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))


# --- for people ---------------------------------------------------------------------------------


def text_report(comparison: Comparison) -> Iterator[str]:
    """Lines: each rule with its episodes and charts, then the comparison, then the records; control
    characters are visible."""
    return map(printable, _lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    after = comparison.history
    if after.until_ms <= after.since_ms:
        yield "no window closed: there is nothing that the rules could look at"
    else:
        since, until = time_text(after.since_ms), time_text(after.until_ms)
        span_seconds = (after.until_ms - after.since_ms) / 1000
        span = f"{after.weeks:.3g} weeks" if after.weeks >= 1 else seconds_text(span_seconds)
        yield f"{since} to {until} UTC: {span}"
    for name in comparison.shown_rules():
        if name in after.plan.rules:
            yield ""
            yield from _rule(comparison, after.plan.rules[name])
    change = comparison.episode_changes()
    if change is not None and comparison.before is not None:
        yield ""
        yield from _change(comparison, change, comparison.before.history)
    yield ""
    yield outcomes_text(comparison.after.read)


def _rule(comparison: Comparison, rule: Rule) -> Iterator[str]:
    after = comparison.history
    episodes = after.of_rule(rule.name)
    held_back = after.held_back[rule.name]
    more = f"; {held_back} more began and did not last for long enough" if held_back else ""
    watched = after.plan.subject_of(rule).name
    frequency = frequency_text(len(episodes), after)
    yield f"{rule.name}{f' on {watched}' if watched else ''}: {frequency}{more}"
    yield from _table(after, episodes)
    groups = by_series((*episodes, *comparison.baseline_episodes(rule.name)))
    for dimensions, _ in groups[:MOST_SERIES]:
        yield from _chart(comparison, rule, dimensions)
    if len(groups) > MOST_SERIES:
        yield f"  charts of {len(groups) - MOST_SERIES} more series are left out"


def _table(history: AlertHistory, episodes: Sequence[Episode], mark: str = "  ") -> Iterator[str]:
    if not episodes:
        return
    rows = [("severity", "series", "began", "fired", "resolved", "lasted", "peak")]
    rows += [
        (
            episode.severity,
            _series(history.plan, episode) or "–",
            time_text(episode.began_ms),
            time_text(episode.fired_ms),
            time_text(episode.resolved_ms) if episode.resolved_ms is not None else "still fires",
            duration_text(episode, history),
            number(episode.peak),
        )
        for episode in episodes[:MOST_EPISODES]
    ]
    yield from (f"{mark}{line}" for line in aligned(rows, right=(6,)))
    if len(episodes) > MOST_EPISODES:
        yield f"{mark}and {len(episodes) - MOST_EPISODES} more; --format json has them all"


def _series(plan: Plan, episode: Episode) -> str:
    kpi = plan.subject(episode.kpi)
    return series_text(kpi.by if kpi else (), episode.dimensions)


def _chart(comparison: Comparison, rule: Rule, dimensions: Dimensions) -> Iterator[str]:
    """The values as bars; below, when alerts are pending (`·`) and fire (`━`), also in the
    baseline."""
    after = comparison.history
    series = after.values.get((rule.kpi, dimensions))
    span = (after.since_ms, after.until_ms)
    points = series.between(*span) if series else []
    if not points:
        return
    low, high = _scale([value for _, value in points])
    lines = chart.bars(chart.columns(points, span), low, high)
    labels = [number(high), *[""] * (len(lines) - 2), number(low)]
    rows = {"fires": after.of_rule(rule.name)}
    if comparison.before is not None:
        rows["before"] = comparison.baseline_episodes(rule.name)
    width = max(map(len, (*labels, *rows)))
    kpi = after.plan.subject_of(rule)
    yield ""
    yield f"  {series_text(kpi.by, dimensions) or rule.kpi}{f', in {kpi.unit}' if kpi.unit else ''}"
    for label, line in zip(labels, lines, strict=True):
        yield f"  {label.rjust(width)} ┤{line}".rstrip()
    for label, episodes in rows.items():
        own = [e for e in episodes if e.dimensions == dimensions]
        spans = [((e.began_ms, e.fired_ms), "·") for e in own]
        spans += [((e.fired_ms, e.resolved_ms or after.until_ms), "━") for e in own]
        yield f"  {label.rjust(width)} │{chart.marks(spans, span)}".rstrip()


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """The range of the axis: from zero, or from the least value where the bars would look alike."""
    low, high = min(values), max(values)
    if low >= 0 and (low < 0.7 * high or low == high):
        return 0.0, high
    return low, high


def _change(comparison: Comparison, change: EpisodeChanges, before: AlertHistory) -> Iterator[str]:
    after = comparison.history
    gained, lost = len(change.gained), len(change.lost)
    yield f"against {comparison.baseline_name}: {gained} gained, {lost} lost"
    rows: list[tuple[str, ...]] = [("", "before", "now", "gained", "lost", "as before")]
    for name in comparison.shown_rules():
        counts = (
            len(before.of_rule(name)),
            len(after.of_rule(name)),
            sum(e.rule == name for e in change.gained),
            sum(e.rule == name for e in change.lost),
            sum(e.rule == name for e, _ in change.kept),
        )
        rows.append((name, *map(str, counts)))
    yield from (f"  {line}" for line in aligned(rows, right=range(1, 6)))
    for title, mark, episodes, shown in (
        ("gained", "+ ", change.gained, after),
        ("lost", "- ", change.lost, before),
    ):
        for name in comparison.shown_rules():
            own = [e for e in episodes if e.rule == name]
            if own:
                yield ""
                yield f"  {title}, {name}"
                yield from _table(shown, own, f"  {mark}")


# --- for programs -------------------------------------------------------------------------------


def as_json(comparison: Comparison) -> Json:
    """One object: `since`, `until`, `rules` (counts for each), `episodes`, `records`; with a
    baseline also `against`, `gained`, `lost`, `kept` (before and after)."""
    after, shown = comparison.history, comparison.shown_rules()
    document: Json = {
        "since": iso(after.since_ms),
        "until": iso(after.until_ms),
        "rules": [_rule_json(after, name) for name in shown if name in after.plan.rules],
        "episodes": [episode_json(after, e) for e in after.episodes if e.rule in shown],
        "records": summary_json(
            comparison.after.read.records,
            comparison.after.read.outcomes,
            comparison.after.read.reasons,
        ),
    }
    change = comparison.episode_changes()
    if change is not None and comparison.before is not None:
        before = comparison.before.history
        document["against"] = comparison.baseline_name
        document["gained"] = [episode_json(after, e) for e in change.gained]
        document["lost"] = [episode_json(before, e) for e in change.lost]
        document["kept"] = [
            {"before": episode_json(before, old), "after": episode_json(after, new)}
            for old, new in change.kept
        ]
    return document


def _rule_json(history: AlertHistory, name: str) -> Json:
    rule = history.plan.rules[name]
    episodes = history.of_rule(name)
    return {
        "rule": name,
        "kpi": history.plan.subject_of(rule).name or None,
        "episodes": len(episodes),
        "per_week": round(len(episodes) / history.weeks, 4),
        "held_back": history.held_back[name],
    }


def episode_json(history: AlertHistory, episode: Episode) -> Json:
    """One episode; `lasted_seconds` of one that still fires: up to the end of the period."""
    end = history.until_ms if episode.resolved_ms is None else episode.resolved_ms
    return {
        "rule": episode.rule,
        "severity": episode.severity,
        "kpi": episode.kpi,
        "dimensions": dimensions_json(history.plan.subject(episode.kpi), episode.dimensions),
        "began": iso(episode.began_ms),
        "fired": iso(episode.fired_ms),
        "resolved": None if episode.resolved_ms is None else iso(episode.resolved_ms),
        "lasted_seconds": (end - episode.fired_ms) / 1000,
        "peak": episode.peak,
    }
