"""What a backtest found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.backtest import chart
from agent.backtest.runner import Backtest
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.printable import printable
from agent.core.model.rules import Rule
from agent.core.model.text import duration
from agent.core.output.episodes import AlertHistory, Episode, Versus, versus
from agent.core.output.messages import Json, dimensions_json, iso, summary_json
from agent.replay.report import number, outcomes_text, series_text

MOST_SERIES = 12
"""Charts by rule; those of the series with the most episodes are shown."""

MOST_EPISODES = 50
"""Lines by rule in the text for people; `json` has them all."""


@dataclass(frozen=True, slots=True)
class Tested:
    """A backtest, and the one of other rules that it is compared with (`former`: their name)."""

    after: Backtest
    before: Backtest | None = None
    former: str = ""
    rules: frozenset[str] = frozenset()

    @property
    def history(self) -> AlertHistory:
        """The episodes."""
        return self.after.history

    def shown_rules(self) -> list[str]:
        """The rules that are reported, by name: those asked for, else all."""
        known = {*self.history.plan.rules, *(self.before.history.plan.rules if self.before else ())}
        return sorted(known & self.rules if self.rules else known)

    def former_episodes(self, rule: str) -> tuple[Episode, ...]:
        """The episodes that a rule has by the other rules."""
        return self.before.history.of_rule(rule) if self.before else ()

    def versus(self) -> Versus | None:
        """What the change does, of the rules that are reported."""
        if self.before is None:
            return None
        whole = versus(self.before.history, self.history)
        shown = set(self.shown_rules())
        return Versus(
            tuple(e for e in whole.gained if e.rule in shown),
            tuple(e for e in whole.lost if e.rule in shown),
            tuple(pair for pair in whole.kept if pair[0].rule in shown),
        )


def often(count: int, history: AlertHistory) -> str:
    """`5 episodes, 1.3 a week`."""
    return f"{count} episode{'' if count == 1 else 's'}, {count / history.weeks:.3g} a week"


def lasted(episode: Episode, history: AlertHistory) -> str:
    """How long it fired; `+` where it still does."""
    if episode.resolved_ms is None:
        return f"{duration(history.until_ms - episode.fired_ms)}+"
    return duration(episode.resolved_ms - episode.fired_ms)


def clock(at_ms: int) -> str:
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


def human(tested: Tested) -> Iterator[str]:
    """Lines: each rule with its episodes and charts, then the comparison, then the records; control
    characters are visible."""
    return map(printable, _lines(tested))


def _lines(tested: Tested) -> Iterator[str]:
    after = tested.history
    if after.until_ms <= after.since_ms:
        yield "no window closed: there is nothing that the rules could look at"
    else:
        yield f"{clock(after.since_ms)} to {clock(after.until_ms)} UTC: {after.weeks:.3g} weeks"
    for name in tested.shown_rules():
        if name in after.plan.rules:
            yield ""
            yield from _rule(tested, after.plan.rules[name])
    change = tested.versus()
    if change is not None and tested.before is not None:
        yield ""
        yield from _change(tested, change, tested.before.history)
    yield ""
    yield outcomes_text(tested.after.read)


def _rule(tested: Tested, rule: Rule) -> Iterator[str]:
    after = tested.history
    episodes = after.of_rule(rule.name)
    held = after.held_back[rule.name]
    more = f"; {held} more began and did not last for long enough" if held else ""
    watched = after.plan.subject_of(rule).name
    yield f"{rule.name}{f' on {watched}' if watched else ''}: {often(len(episodes), after)}{more}"
    yield from _table(after, episodes)
    groups = by_series((*episodes, *tested.former_episodes(rule.name)))
    for dimensions, _ in groups[:MOST_SERIES]:
        yield from _chart(tested, rule, dimensions)
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
            clock(episode.began_ms),
            clock(episode.fired_ms),
            clock(episode.resolved_ms) if episode.resolved_ms is not None else "still fires",
            lasted(episode, history),
            number(episode.peak),
        )
        for episode in episodes[:MOST_EPISODES]
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [c.ljust(w) for c, w in zip(row[:-1], widths[:-1], strict=True)]
        yield f"{mark}{'  '.join(cells)}  {row[-1].rjust(widths[-1])}"
    if len(episodes) > MOST_EPISODES:
        yield f"{mark}and {len(episodes) - MOST_EPISODES} more; --format json has them all"


def _series(plan: Plan, episode: Episode) -> str:
    kpi = plan.subject(episode.kpi)
    return series_text(kpi.by if kpi else (), episode.dimensions)


def _chart(tested: Tested, rule: Rule, dimensions: Dimensions) -> Iterator[str]:
    """The values with what is pending (`·`) and firing (`━`) below; by the other rules, too."""
    after = tested.history
    series = after.values.get((rule.kpi, dimensions))
    span = (after.since_ms, after.until_ms)
    points = series.between(*span) if series else []
    if not points:
        return
    low, high = _scale([value for _, value in points])
    lines = chart.bars(chart.columns(points, span), low, high)
    labels = [number(high), *[""] * (len(lines) - 2), number(low)]
    rows = {"fires": after.of_rule(rule.name)}
    if tested.before is not None:
        rows["before"] = tested.former_episodes(rule.name)
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
    """From zero where that leaves something to see, else from the least value."""
    low, high = min(values), max(values)
    if low >= 0 and (low < 0.7 * high or low == high):
        return 0.0, high
    return low, high


def _change(tested: Tested, change: Versus, before: AlertHistory) -> Iterator[str]:
    after = tested.history
    yield f"against {tested.former}: {len(change.gained)} gained, {len(change.lost)} lost"
    rows: list[tuple[str, ...]] = [("", "before", "now", "gained", "lost", "as before")]
    for name in tested.shown_rules():
        counts = (
            len(before.of_rule(name)),
            len(after.of_rule(name)),
            sum(e.rule == name for e in change.gained),
            sum(e.rule == name for e in change.lost),
            sum(e.rule == name for e, _ in change.kept),
        )
        rows.append((name, *map(str, counts)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        yield f"  {row[0].ljust(widths[0])}  {'  '.join(cells)}"
    for title, mark, episodes, of in (
        ("gained", "+ ", change.gained, after),
        ("lost", "- ", change.lost, before),
    ):
        for name in tested.shown_rules():
            own = [e for e in episodes if e.rule == name]
            if own:
                yield ""
                yield f"  {title}, {name}"
                yield from _table(of, own, f"  {mark}")


# --- for programs -------------------------------------------------------------------------------


def as_json(tested: Tested) -> Json:
    """One object: `since`, `until`, `rules` (counts by rule), `episodes`, `records`; against other
    rules also `against`, `gained`, `lost`, `kept` (before and after)."""
    after, shown = tested.history, tested.shown_rules()
    printed: Json = {
        "since": iso(after.since_ms),
        "until": iso(after.until_ms),
        "rules": [_rule_json(after, name) for name in shown if name in after.plan.rules],
        "episodes": [episode_json(after, e) for e in after.episodes if e.rule in shown],
        "records": summary_json(
            tested.after.read.records, tested.after.read.outcomes, tested.after.read.reasons
        ),
    }
    change = tested.versus()
    if change is not None and tested.before is not None:
        before = tested.before.history
        printed["against"] = tested.former
        printed["gained"] = [episode_json(after, e) for e in change.gained]
        printed["lost"] = [episode_json(before, e) for e in change.lost]
        printed["kept"] = [
            {"before": episode_json(before, was), "after": episode_json(after, other)}
            for was, other in change.kept
        ]
    return printed


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
    """One episode; `lasted_seconds` up to the end of the stretch where it still fires."""
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
