"""What an agent says of the rules that it uses, and what a change of them would do."""

from __future__ import annotations

from pathlib import Path

from agent.core.changes.diff import Change, Part, compare, summary
from agent.core.changes.inventory import from_bytes, in_use, to_bytes
from agent.core.changes.outline import HIDDEN, outline, public_outline
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView
from agent.language.load import load

DESK = """\
version: 1
events:
  task: {topic: desk, time: at, fields: {employee: string, desk: string, minutes: float}}
kpis:
  speed:
    from: task
    value: avg(minutes)
    by: [desk, employee]
    window: 10m
    target: {at_most: 30}
    owner: head-of-desk
    visibility: private
    person: employee
    overrides: [{match: {employee: anna}, target: {at_most: 60}}]
  tasks: {from: task, value: count(*), by: [desk], window: 10m}
rules:
  slow:
    kpi: speed
    when: value > 60
    overrides: [{match: {employee: anna}, off: true}]
  few: {kpi: tasks, when: value < 5, for: 20m}
  both: {when: slow and few}
maintenance:
  leave: {from: 2025-03-03, until: 2025-03-10, kpis: [speed], match: {employee: anna}}
  move: {from: 2025-03-03, until: 2025-03-04}
"""


def plan_of(tmp_path: Path, text: str = DESK) -> Plan:
    file = tmp_path / "desk.yaml"
    file.write_text(text)
    return load(file)


def view(of: str, dimensions: tuple[str, ...], **phases: AlertPhase) -> SeriesView:
    standing = {(rule, "warning"): phase for rule, phase in phases.items()}
    return SeriesView(of, dimensions, None, None, None, None, phases=standing)  # type: ignore[arg-type]


VIEWS = [
    view("speed", ("north", "anna"), slow=AlertPhase.FIRING),
    view("tasks", ("north",), few=AlertPhase.FIRING),
    view("tasks", ("south",), few=AlertPhase.PENDING),
    view("tasks", ("west",), few=AlertPhase.INACTIVE),
    view("rule/both", ("north",), both=AlertPhase.FIRING),
]


def test_nobody_is_named_and_no_number_of_theirs_is_reported(tmp_path: Path) -> None:
    published = to_bytes(in_use(plan_of(tmp_path), VIEWS))
    assert b"anna" not in published
    read_back = from_bytes(published)
    assert read_back.held is not None
    assert read_back.held.series == {"tasks": 3}
    assert read_back.held.alert_counts("few", "warning") == {
        AlertPhase.FIRING: 1,
        AlertPhase.PENDING: 1,
    }
    assert {alert.rule for alert in read_back.held.alerts} == {"few"}
    hidden = {
        (section, name)
        for section, made in read_back.rules.sections.items()
        for name, parts in made.items()
        if set(parts) == {HIDDEN}
    }
    assert hidden == {
        ("kpis", "speed"), ("rules", "slow"), ("rules", "both"), ("maintenance", "leave"),
    }  # fmt: skip


def test_what_an_agent_says_compares_as_the_plan_does(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    used = from_bytes(to_bytes(in_use(plan, None)))
    assert used.held is None
    assert used.rules == public_outline(plan)
    assert not compare(used.rules, public_outline(plan))
    other = plan_of(tmp_path, DESK.replace("for: 20m", "for: 30m").replace("count(*)", "sum(1)"))
    assert compare(used.rules, public_outline(other)) == compare(outline(plan), outline(other))


def test_of_what_is_private_only_that_it_changes_is_reported(tmp_path: Path) -> None:
    used = from_bytes(to_bytes(in_use(plan_of(tmp_path), VIEWS)))
    other = plan_of(
        tmp_path, DESK.replace("match: {employee: anna}, off", "match: {employee: berta}, off")
    )
    difference = compare(used.rules, public_outline(other))
    [change] = difference.changes
    assert (change.name, change.kind, [part.name for part in change.parts]) == (
        "slow", "changed", [HIDDEN],
    )  # fmt: skip
    changed = plan_of(tmp_path, DESK.replace("avg(minutes)", "max(minutes)"))
    difference = compare(used.rules, public_outline(changed))
    assert summary(difference) == "1 KPI changed; the state of speed starts over"
    [lost] = [state for state in difference.states if not state.kept]
    assert [reason.name for reason in lost.reasons] == ["fingerprint"]


def test_levels_and_overrides_are_reported_as_they_are_written(tmp_path: Path) -> None:
    quiet = "  quiet: {kpi: tasks, no_data_for: 30m}\n"
    levels = (
        "  quiet:\n    kpi: tasks\n    no_data_for: {warning: 30m, critical: 2h}\n"
        "    overrides: [{match: {desk: west}, no_data_for: 1d}]\n"
    )
    first, second = (
        outline(plan_of(tmp_path, DESK.replace("  both:", f"{rule}  both:")))
        for rule in (quiet, levels)
    )
    difference = compare(first, second)
    assert difference.changes == (
        Change(
            "rules",
            "quiet",
            "changed",
            (
                Part("no_data_for.critical", None, "2h"),
                Part("overrides.{desk: west}.rule.no_data_for.warning", None, "1d"),
            ),
        ),
    )
    assert [(a.severity, a.effect) for a in difference.alerts] == [
        ("critical", "new"), ("warning", "goes on"),
    ]  # fmt: skip
