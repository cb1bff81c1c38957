from pathlib import Path

import pytest

from agent.core.model.events import Field
from agent.core.model.kpis import Target, TargetOverride
from agent.core.model.plan import Plan
from agent.core.model.rules import AbsenceLevel, AbsenceRule, ThresholdRule, variants
from agent.core.model.windows import CalendarWindow, FixedWindow
from agent.errors import RulesError
from agent.language.load import check, load
from agent.language.problems import SpecError

EVENTS = """\
version: 1
defaults: {timezone: Europe/London, owner: somebody, lateness: 20s}
events:
  order.paid:
    topic: shop
    time: times.paid
    id: order_id
    lateness: 1m
    fields:
      amount: {type: float, minimum: 0, required: true}
      region: string
      user_id: {path: user.id, type: integer}
  visit:
    topic: visits
    type_field: none
    time: at
    timezone: UTC
    fields: {region: string}
  unused: {topic: shop, time: at}
"""
KPIS = """\
kpis:
  conversion:
    unit: ratio
    from: [orders, visits]
    value: orders / visits
    target: {at_least: 0.1, warn: 0.2}
  orders: {from: order.paid, value: count(*), by: [region], window: 6m every 2m}
  visits: {from: visit, value: count(*), by: [region], window: 6m every 2m}
  revenue:
    title: Money
    better: higher
    team: sales
    from: order.paid
    where: amount > 0
    value: sum(amount)
    window: month
    target: {between: [10, 20], warn: [12, 18]}
  small: {from: order.paid, value: avg(amount), window: 7m, objective: growth, expire_after: 30d}
"""
RULES = """\
rules:
  low:
    kpi: revenue
    when: {warning: value < 5, critical: value < 1}
    clear: value > 6
    keep_firing_for: 1h
    min_events: 3
    runbook: https://example.org/low
    labels: {area: money}
  few: {kpi: small, when: value < 5, on: current, for: 1m, severity: page}
  silent: {kpi: orders, no_data_for: 15m, summary: Nothing}
objectives:
  growth: {kpis: {revenue: 1, conversion: 3}}
"""


GOOD = EVENTS + KPIS + RULES


def plan_of(folder: Path, **files: str) -> Plan:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return load(folder)


def test_contracts_are_complete(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, a=GOOD)
    order = plan.contracts["order.paid"]
    assert (order.topics.names, order.type_path, order.type_value) == (
        ("shop",),
        ("type",),
        "order.paid",
    )
    assert (order.times[0].path, order.timezone, order.ids) == (
        ("times", "paid"),
        "Europe/London",
        (("order_id",),),
    )
    assert (order.lateness_ms, order.max_future_ms, order.idle_after_ms, order.max_bytes) == (
        60_000,
        3_600_000,
        30_000,
        1_048_576,
    )
    assert order.fields == (
        Field("amount", ("amount",), "float", required=True, minimum=0),
        Field("region", ("region",), "string"),
        Field("user_id", ("user", "id"), "integer"),
    )
    visit = plan.contracts["visit"]
    assert (visit.type_path, visit.timezone, visit.ids) == (None, "UTC", ())
    assert (visit.lateness_ms, visit.duplicate_window_ms) == (20_000, 900_000)
    assert plan.topics == ("shop", "visits")


def test_each_kpi_has_the_slice_of_its_own_window(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, a=GOOD)
    # orders: pane 2m; revenue: a month in 5m; small: a seventh of 7m, a tenth as `on: current`.
    assert {n: k.slice_ms for n, k in plan.kpis.items()} == {
        "orders": 120_000,
        "visits": 120_000,
        "conversion": 120_000,
        "revenue": 300_000,
        "small": 42_000,
    }


def test_kpis_are_complete_and_in_dependency_order(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, a=GOOD)
    assert list(plan.kpis) == ["orders", "visits", "conversion", "revenue", "small"]
    derived = plan.kpis["conversion"]
    assert (derived.contract, derived.inputs, derived.by) == (
        None,
        ("orders", "visits"),
        ("region",),
    )
    assert derived.window == FixedWindow(360_000, 120_000)
    assert derived.lateness_ms == 60_000
    assert derived.title == "Conversion"
    assert derived.target == Target(at_least=0.1, warn_at_least=0.2)
    revenue = plan.kpis["revenue"]
    assert revenue.window == CalendarWindow("month", "Europe/London")
    assert (revenue.title, revenue.owner, revenue.team) == ("Money", "somebody", "sales")
    assert revenue.target == Target(10, 20, 12, 18)
    assert (revenue.sql, revenue.where_sql) == ("sum(amount)", "amount > 0")
    assert plan.kpis["orders"].expire_after_ms == 7 * 86_400_000
    assert revenue.expire_after_ms == 10 * (31 * 24 + 1) * 3_600_000
    assert plan.kpis["small"].expire_after_ms == 30 * 86_400_000


def test_overrides_keep_the_types_of_their_values(tmp_path: Path) -> None:
    text = (
        EVENTS
        + """\
kpis:
  orders:
    from: order.paid
    value: count(*)
    by: [region, user_id]
    window: 5m
    overrides:
      - {match: {region: apac}, target: {at_least: 5}}
      - {match: {region: ~, user_id: 7}, target: {at_most: 6, warn: 5}}
"""
    )
    (tmp_path / "a.yaml").write_text(text)
    assert load(tmp_path / "a.yaml").kpis["orders"].overrides == (
        TargetOverride({"region": "apac"}, Target(at_least=5)),
        TargetOverride({"region": None, "user_id": 7}, Target(at_most=6, warn_at_most=5)),
    )


def test_rules_and_objectives_are_complete(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, a=GOOD)
    low, few, silent = plan.rules["low"], plan.rules["few"], plan.rules["silent"]
    assert isinstance(low, ThresholdRule)
    assert [(v.severity, v.when_sql, v.clear_sql) for v in low.levels] == [
        ("critical", "value < 1", "value > 6"),
        ("warning", "value < 5", "value > 6"),
    ]
    assert (low.for_ms, low.keep_firing_for_ms, low.min_events, low.on) == (
        0,
        3_600_000,
        3,
        "closed",
    )
    assert (low.owner, low.team, low.labels) == ("somebody", "sales", {"area": "money"})
    assert (low.summary, silent.summary) == ("", "Nothing")
    assert isinstance(few, ThresholdRule)
    assert (few.on, few.for_ms, few.levels[0].severity) == ("current", 60_000, "page")
    assert isinstance(silent, AbsenceRule)
    assert (silent.levels, silent.per) == ((AbsenceLevel("warning", 900_000),), "series")
    assert plan.objectives["growth"].kpis == {"revenue": 0.25, "conversion": 0.75}
    assert plan.objectives["growth"].title == "Growth"


def test_the_hash_knows_content_not_layout(tmp_path: Path) -> None:
    single, many, other = tmp_path / "one", tmp_path / "many", tmp_path / "other"
    for folder in (single, many / "deep", other):
        folder.mkdir(parents=True)
    whole = plan_of(single, a=GOOD)
    start = GOOD.index("kpis:\n")
    end = GOOD.index("rules:\n")
    (many / "z.yml").write_text(
        "# events\n" + GOOD[:start].replace("lateness: 1m", "lateness: 60s")
    )
    (many / "deep" / "a.yaml").write_text(GOOD[start:end])
    split = plan_of(many, b=GOOD[end:])
    assert split.config_hash == whole.config_hash
    assert {k.name: k.fingerprint for k in split.kpis.values()} == {
        k.name: k.fingerprint for k in whole.kpis.values()
    }
    changed = plan_of(other, a=GOOD.replace("min_events: 3", "min_events: 4"))
    assert changed.config_hash != whole.config_hash


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("title: Money", "title: Cash", set()),
        ("at_least: 0.1", "at_least: 0.15", set()),
        ("min_events: 3", "min_events: 5", set()),
        ("sum(amount)", "sum(amount) * 2", {"revenue"}),
        ("amount > 0", "amount > 1", {"revenue"}),
        (
            "region: string\n      user",
            "region: {type: string, path: r}\n      user",
            {"orders", "conversion"},
        ),
        ("path: user.id", "path: user.key", set()),
        ("minimum: 0,", "minimum: 1,", {"revenue", "small"}),
        ("on: current", "on: closed", {"small"}),
        ("value: orders / visits", "value: visits / orders", {"conversion"}),
    ],
)
def test_a_fingerprint_changes_when_state_can_not_be_carried_on(
    tmp_path: Path, before: str, after: str, changed: set[str]
) -> None:
    assert before in GOOD
    text = GOOD.replace("for: 1m", "for: 7m")
    first = plan_of(tmp_path, a=text)
    second = plan_of(tmp_path, a=text.replace(before, after))
    assert {
        n for n in first.kpis if first.kpis[n].fingerprint != second.kpis[n].fingerprint
    } == changed


READ_IN_FULL = """
events:
  paid:
    topic: [tills, shop]
    time: {path: at, unit: s}
    fields:
      amount: {type: integer, read: "1234"}
      kind: {type: string, enum: ["a, b"]}
      rank: float
      note: {type: string, path: n}
kpis:
  last: {from: paid, where: kind = 'a', value: "arg_max(amount, rank)", window: 5m}
"""


@pytest.mark.parametrize(
    ("before", "after", "is_other"),
    [
        ("[tills, shop]", "[shop, tills]", False),
        ("path: n}", "path: m}", False),
        ("unit: s}", "unit: ms}", True),
        (', read: "1234"', "", True),
        ('["a, b"]', "[a, b]", True),
        ("rank: float", "rank: {type: float, path: r}", True),
        ("topic: [tills", "each: lines\n    topic: [tills", True),
        ("topic: [tills", "envelope: connect\n    topic: [tills", True),
    ],
)
def test_a_fingerprint_knows_how_the_fields_that_a_kpi_reads_are_read(
    tmp_path: Path, before: str, after: str, is_other: bool
) -> None:
    assert before in READ_IN_FULL
    first = plan_of(tmp_path, a=READ_IN_FULL).kpis["last"].fingerprint
    second = plan_of(tmp_path, a=READ_IN_FULL.replace(before, after)).kpis["last"].fingerprint
    assert (first != second) == is_other


def test_hidden_files_and_rule_tests_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("rubbish: [")
    (tmp_path / ".hidden.yaml").write_text("rubbish: [")
    plan = plan_of(tmp_path, **{"a": GOOD, "a_test": "rubbish: ["})
    assert len(plan.kpis) == 5


def test_a_name_in_two_files_is_reported_at_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("events:\n  visit: {topic: v, time: at}\n")
    plan, problems = check(".")
    assert plan is None
    assert [(p.file, p.line, p.message) for p in problems] == [
        ("a.yaml", 13, "'visit' is also declared in b.yaml:2:3"),
        ("b.yaml", 2, "'visit' is also declared in a.yaml:13:3"),
    ]


def test_defaults_may_be_repeated_but_not_differ(tmp_path: Path) -> None:
    same = "defaults:\n  owner: somebody\n  lateness: 20000ms\n  timezone: Europe/London\n"
    plan_of(tmp_path, a=GOOD, b=same)
    (tmp_path / "b.yaml").write_text("defaults: {lateness: 5s}\n")
    plan, problems = check(tmp_path)
    assert plan is None
    assert [p.message for p in problems] == [f"other defaults than in {tmp_path / 'a.yaml'}:2:1"]


def test_problems_of_all_files_come_at_once_and_an_unread_file_makes_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.yaml").write_text("events:\n\tvisit: {}\n")
    kpis = "kpis:\n  visits: {from: visit, value: count(*), window: 5x, unit: '%'}\n"
    (tmp_path / "kpis.yaml").write_text(kpis)
    (tmp_path / "rules.yaml").write_text("rules:\n  low: {kpi: visits, when: valeu < 1}\n")
    with pytest.raises(SpecError) as caught:
        load(".")
    assert [(p.file, p.line, p.message.split(":")[0]) for p in caught.value.problems] == [
        ("events.yaml", 2, "not YAML"),
        ("kpis.yaml", 2, "'5x' is not a window"),
        ("kpis.yaml", 2, "'%' is not a unit that Prometheus accepts"),
        ("rules.yaml", 2, "there is no column `valeu`"),
    ]
    assert isinstance(caught.value, RulesError)
    assert caught.value.message.startswith("events.yaml:2:1: not YAML")
    assert caught.value.message.endswith("(and 3 more)")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such file or folder"), (".", "no YAML file in this folder")],
)
def test_a_folder_without_rules_is_a_problem(tmp_path: Path, name: str, message: str) -> None:
    plan, problems = check(tmp_path / name)
    assert plan is None
    assert [p.message for p in problems] == [message]
    assert problems[0].hint


def test_the_example_company_has_no_problem() -> None:
    plan, problems = check(Path(__file__).parents[2] / "rules")
    assert problems == []
    assert plan is not None


def test_a_kpi_may_have_the_name_of_an_event(tmp_path: Path) -> None:
    kpis = "kpis:\n  visit: {from: visit, value: count(*), window: 5m}\n"
    derived = "  twice: {from: [visit], value: visit * 2}\n"
    plan = plan_of(tmp_path, a=EVENTS + kpis + derived)
    assert (plan.kpis["visit"].contract, plan.kpis["visit"].inputs) == ("visit", ())
    assert (plan.kpis["twice"].contract, plan.kpis["twice"].inputs) == (None, ("visit",))


def test_an_absence_may_be_as_short_as_a_slice(tmp_path: Path) -> None:
    # The rule on the current value makes the slices of `small` finer: 42s.
    text = GOOD.replace("kpi: orders, no_data_for: 15m", "kpi: small, no_data_for: 42s")
    rule = plan_of(tmp_path, a=text).rules["silent"]
    assert isinstance(rule, AbsenceRule)
    assert rule.levels == (AbsenceLevel("warning", 42_000),)
    _, problems = check(tmp_path / "a.yaml")
    assert problems == []
    (tmp_path / "a.yaml").write_text(text.replace("no_data_for: 42s", "no_data_for: 41s"))
    assert [p.hint for p in check(tmp_path)[1]] == ["the shortest is 42s"]


def test_an_override_may_have_another_plan_or_promise(tmp_path: Path) -> None:
    text = """\
version: 1
events:
  payment: {topic: payments, time: at, fields: {ok: boolean, bank: string, amount: float}}
kpis:
  success: {unit: ratio, from: payment, value: count_if(ok) / count(*), by: [bank], window: 5m}
  paid: {from: payment, value: sum(amount), by: [bank], window: day}
rules:
  failing:
    kpi: success
    objective: 99.5% over 30d
    overrides: [{match: {bank: north}, objective: 99% over 15d}]
  lost:
    kpi: paid
    pace: {period: month, target: 30000}
    overrides:
      - {match: {bank: north}, pace: {period: month, target: 400}, severity: info}
      - {match: {bank: south}, when: pace() < 90%, min_history: 60d}
"""
    rules = plan_of(tmp_path, a=text).rules
    failing, lost = rules["failing"], rules["lost"]
    assert isinstance(failing, ThresholdRule)
    assert isinstance(lost, ThresholdRule)
    [north] = failing.overrides
    assert north.rule is not None
    assert "burn_rate('1h') > 7.2 and" in north.rule.levels[0].when_sql
    assert "burn_rate('1h') > 14.4 and" in failing.levels[0].when_sql
    shown = [(v.levels[0].severity, v.levels[0].when_sql) for v in variants(lost)]
    assert shown == [
        ("warning", "projected() < 30000"),
        ("info", "projected() < 400"),
        ("warning", "pace() < 90%"),
    ]
    assert [v.min_history_ms for v in variants(lost)] == [0, 0, 60 * 86_400_000]
    assert [getattr(f, "target", None) for v in variants(lost) for f in v.features] == [
        30000, 400, 30000,
    ]  # fmt: skip
