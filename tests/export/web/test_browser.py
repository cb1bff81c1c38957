"""The board in a real browser: what a person sees, live, on a screen and on a phone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from agent.core.model.results import AlertPhase
from agent.export.agent_state import Alert
from agent.export.web import stream
from tests.export.invented import COMPANY, NOW_MS, RESPONSE, company_state, plan, view
from tests.export.many import many_series
from tests.export.running_agent import running_agent
from tests.export.web import test_private as private
from tests.export.web.browsing import (
    WAIT_SECONDS,
    browser,
    served,
    set_width,
    text_of,
    until,
    violations,
)
from tests.export.web.test_alerts import STEPS

pytestmark = pytest.mark.needs_browser
__all__ = ["browser"]


SHOWN = "return [...document.querySelectorAll('#kpis > .kpi')].map(e => e.id)"


def until_shown(browser: webdriver.Chrome, kpis: list[str]) -> None:
    shown = f"not these KPIs: {kpis}"
    WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(SHOWN) == kpis, shown)


def test_the_last_transitions_of_alerts_open_below_them(browser: webdriver.Chrome) -> None:
    state = company_state()
    state.fleet.history = STEPS
    with served(state) as address:
        browser.get(address)
        until(browser, "#history:not([hidden]) summary", "Recent alert changes")
        browser.find_element(By.CSS_SELECTOR, "#history summary").click()
        until(browser, "#transitions", "slow_support (critical) resolved")
        newest, second, oldest = browser.find_elements(By.CSS_SELECTOR, "#transitions li")
        assert "emea: slow_support (critical) resolved" in newest.text
        assert "value > 600" in newest.text
        assert "apac: slow_support (critical) fired" in second.text
        assert oldest.get_attribute("data-phase") == "firing"


def test_an_objective_shows_its_parts_and_its_trend(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#objective-year_plan", "This year's plan")
        assert "down 2 points" in text_of(browser, "#objective-year_plan .trend")
        part = browser.find_element(By.CSS_SELECTOR, "#objective-year_plan .of a")
        assert part.get_attribute("href").endswith("#objective-customer_satisfaction")
        assert text_of(browser, "#objective-year_plan .weights") == "Weight"
        weights = browser.find_elements(By.CSS_SELECTOR, "#objective-year_plan .weight")
        assert [weight.text for weight in weights] == ["60 %", "40 %"]


def test_a_series_in_maintenance_says_so_in_the_place_of_its_state(
    browser: webdriver.Chrome,
) -> None:
    state = company_state()
    (score,) = (v for v in state.fleet.series if v.kpi == "feedback_score")
    assert score.closed is not None
    maintained = structs.replace(
        score, closed=structs.replace(score.closed, maintenance="survey"), status=None
    )
    state.fleet.series = [maintained]
    with served(state) as address:
        browser.get(address)
        until(browser, "#kpi-feedback_score .word", "Maintenance")
        # The value is published all the same.
        assert "4.31" in text_of(browser, "#kpi-feedback_score .number")


def test_a_person_sees_values_alerts_and_objectives(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#kpi-response_time", "7 min 8 s")
        card = text_of(browser, "#kpi-response_time")
        for said in (
            "Missed", "support-ops", "emea, worst of 3", "Open window: 7 min 20 s", "56 %",
            "Target at most 4 min, warn above 3 min 20 s", "5 min, every 1 min",
        ):  # fmt: skip
            assert said in card
        alert = text_of(browser, "#alerts .alert[data-phase=firing]")
        assert "Warning" in alert or "warning" in alert
        assert "emea answers in 7 min 8 s" in alert
        runbook = browser.find_element(By.CSS_SELECTOR, "#alerts .runbook")
        assert runbook.get_attribute("href") == "https://example.org/runbooks/slow-support"
        assert "83 %" in text_of(browser, "#objectives")
        assert "Data up to" in text_of(browser, "#clock")
        assert browser.title == "(1) Brightwater Trading"
        assert (
            browser.execute_script("return document.querySelectorAll('.kpi > .spark .line').length")
            == 7
        )
        assert browser.get_log("browser") == []


def test_the_board_changes_without_a_reload(browser: webdriver.Chrome) -> None:
    state = company_state()
    with served(state) as address:
        browser.get(address)
        until(browser, "#link-text", "Live")
        until(browser, "#kpi-response_time .figure", "7 min 8 s")
        browser.execute_script("window.loadedOnce = document.querySelector('#kpi-response_time')")
        resolved = company_state(firing=False).fleet
        state.fleet.series, state.fleet.active = resolved.series, resolved.active
        until(browser, "#kpi-response_time .figure", "3 min 31 s")
        until(browser, "#alerts", "All quiet")
        until(browser, "#kpi-response_time .state", "At risk")
        kept = "return window.loadedOnce === document.querySelector('#kpi-response_time')"
        assert browser.execute_script(kept) is True
        assert browser.title == "Brightwater Trading"
        assert browser.get_log("browser") == []


def test_a_board_that_was_empty_fills(browser: webdriver.Chrome) -> None:
    state = running_agent(
        COMPANY, ready={"source topics": "waiting for topic support"}, name="Board"
    )
    with served(state) as address:
        browser.get(address)
        until(browser, "#notice", "Waiting for the first events")
        assert "source topics: waiting for topic support" in text_of(browser, "#notice")
        assert "No window has closed yet" in text_of(browser, "#kpi-response_time")
        state.ready["source topics"] = None
        state.fleet.series = company_state().fleet.series
        state.metrics.watermark.labels("support", "0").set((NOW_MS - 4_000) / 1000)
        until(browser, "#kpi-response_time .figure", "7 min 8 s")
        gone = "return document.querySelector('#notice').hidden"
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(gone))
        assert browser.get_log("browser") == []


def test_a_phone_needs_no_sideways_scrolling(browser: webdriver.Chrome) -> None:
    name = "Quite a long name for a company that trades in many countries"
    state = replace(company_state(), name=name)
    with served(state) as address:
        set_width(browser, 360)
        browser.get(address)
        until(browser, "#kpi-response_time", "7 min 8 s")
        wide = """return [...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.symbols') && e.getBoundingClientRect().right > 360.5)
            .map(e => e.outerHTML.slice(0, 99))"""
        assert browser.execute_script("return document.documentElement.scrollWidth") == 360
        assert browser.execute_script(wide) == []


def test_all_series_open_by_keyboard_and_stay_open(browser: webdriver.Chrome) -> None:
    state = company_state()
    with served(state) as address:
        browser.get(address)
        until(browser, "#kpi-tasks_per_employee button.more", "Show all 8")
        count = "return document.querySelectorAll('#kpi-tasks_per_employee .row').length"
        assert browser.execute_script(count) == 6
        browser.find_element(By.CSS_SELECTOR, "#kpi-tasks_per_employee button.more").send_keys(
            Keys.ENTER
        )
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(count) == 8)
        resolved = company_state(firing=False).fleet
        state.fleet.series, state.fleet.active = resolved.series, resolved.active
        until(browser, "#alerts", "All quiet")
        assert browser.execute_script(count) == 8
        until(browser, "#kpi-tasks_per_employee button.more", "Show fewer")


def test_chips_show_only_one_state(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#chips", "Missed")
        browser.find_element(By.CSS_SELECTOR, ".chip[data-state=missed]").click()
        until_shown(browser, ["kpi-response_time", "kpi-revenue"])


def test_text_from_rules_and_events_is_never_markup(browser: webdriver.Chrome) -> None:
    evil = "<img src=x onerror=\"document.title='broken into'\">"
    state = replace(company_state(), name=evil)
    series = [s for s in company_state().fleet.series if s.kpi != "revenue"]
    country = next(s for s in state.fleet.series if s.kpi == "revenue")
    state.fleet.series = [*series, structs.replace(country, dimensions=(evil,))]
    with served(state) as address:
        browser.get(address)
        until(browser, "#kpi-revenue", evil)
        assert text_of(browser, "#name") == evil
        assert browser.execute_script("return document.querySelectorAll('main img').length") == 0
        assert browser.title == f"(1) {evil}"


def test_the_board_says_when_the_agent_is_gone(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#link-text", "Live")
    WebDriverWait(browser, WAIT_SECONDS).until(
        lambda b: text_of(b, "#link-text") in ("Reconnecting", "No connection")
    )
    assert "7 min 8 s" in text_of(browser, "#kpi-response_time")  # what was known stays
    assert "No connection to the agent" in text_of(browser, "#notice")


def test_a_board_without_an_agent_is_not_quiet(browser: webdriver.Chrome) -> None:
    with served(company_state(firing=False)) as address:
        browser.get(address)
        until(browser, "#alerts", "All quiet")
    until(browser, "#alerts", "Not known: no connection to the agent")


def test_a_board_of_old_data_is_not_quiet(browser: webdriver.Chrome) -> None:
    state = company_state(firing=False)
    state.metrics.watermark.clear()
    old = NOW_MS - 3 * 3_600_000
    state.fleet.series = [view(RESPONSE, ("emea",), 100.0, end_ms=old)]
    with served(state) as address:
        browser.get(address)
        until(browser, "#notice", "The data is 3 h 0 min old")
        assert "No alert fires by data that is old" in text_of(browser, "#alerts")


def test_times_are_in_the_zone_of_the_board_and_name_it(browser: webdriver.Chrome) -> None:
    with served(replace(company_state(), timezone="Asia/Kolkata")) as address:
        browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Apia"})
        browser.get(address)
        until(browser, "#clock", "Data up to")
        ended = datetime.fromtimestamp((NOW_MS - 4_000) / 1000, ZoneInfo("Asia/Kolkata"))
        assert f"Data up to {ended:%H:%M:%S} Asia/Kolkata" in text_of(browser, "#clock")
        assert f"Up to {ended:%H:%M} · 5 min" in text_of(browser, "#kpi-response_time .fresh")
        assert "All times are in Asia/Kolkata." in text_of(browser, "#about")


def test_a_board_without_rules_says_how_to_write_the_first(browser: webdriver.Chrome) -> None:
    with served(running_agent(plan([], [], []), ready={"merge": None}, name="Board")) as address:
        browser.get(address)
        until(browser, "#notice", "No KPIs are declared")
        assert "kpi-agent init" in text_of(browser, "#notice")


def test_choices_find_kpis_and_are_kept_in_the_address(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#kpi-tasks_per_employee", "3.1")
        every = browser.execute_script(SHOWN)
        assert every[0] == "kpi-response_time"  # missed first
        browser.find_element(By.ID, "search").send_keys("emea response")
        until_shown(browser, ["kpi-response_time"])
        assert browser.current_url.endswith("?q=emea+response")
        link = browser.current_url
        browser.get(f"{address}?owner=support-ops")
        until_shown(browser, ["kpi-response_time", "kpi-feedback_score"])
        browser.get(link)
        until_shown(browser, ["kpi-response_time"])
        browser.find_element(By.ID, "search").send_keys(" nothing like it")
        until_shown(browser, [])
        assert browser.find_element(By.ID, "none-found").is_displayed()
        browser.find_element(By.ID, "clear").click()
        until_shown(browser, every)
        assert "?" not in browser.current_url
        assert browser.get_log("browser") == []


def test_many_alerts_of_a_rule_are_one_card_and_few_are_in_sight(browser: webdriver.Chrome) -> None:
    state = company_state()
    series = [("slow_support", f"r{n:02}") for n in range(40)]
    rules = [(f"rule-{n}", "emea") for n in range(9)]
    state.fleet.active = [
        Alert(rule, severity, "response_time", (region,), AlertPhase.FIRING, NOW_MS, 300.0)
        for rule, region in (*series, *rules)
        for severity in ("warning", "critical")
    ]
    with served(state) as address:
        browser.get(address)
        until(browser, "#alerts", "and 39 more series, of which the gravest 20")
        cards = "return document.querySelectorAll('#alerts > .alert').length"
        assert browser.execute_script(cards) == 5
        assert browser.title.startswith("(49) ")
        browser.find_element(By.ID, "all-alerts").send_keys(Keys.ENTER)
        assert browser.execute_script(cards) == 10
        group = browser.find_element(By.CSS_SELECTOR, "#alerts .group:not([hidden]) summary")
        group.send_keys(Keys.ENTER)
        until(browser, "#alerts .group:not([hidden])", "r05 · 5 min · critical since")


def test_without_a_stream_the_board_asks_every_few_seconds(
    browser: webdriver.Chrome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 0)
    state = company_state()
    with served(state) as address:
        browser.get(address)
        until(browser, "#link-text", "Every 5 s")
        until(browser, "#kpi-response_time .figure", "7 min 8 s")
        resolved = company_state(firing=False).fleet
        state.fleet.series, state.fleet.active = resolved.series, resolved.active
        until(browser, "#kpi-response_time .figure", "3 min 31 s")
        monkeypatch.setattr(stream, "MAX_STREAMS", 9)
        until(browser, "#link-text", "Live")


def test_a_person_opens_the_page_of_their_own_numbers(browser: webdriver.Chrome) -> None:
    token = private.PRIVACY.person_tokens("employee", "anna")[0]
    with served(private.state()) as address:
        browser.get(f"{address}private/{token}")
        assert text_of(browser, "h1") == "employee: anna"
        assert "north · anna" in text_of(browser, "main")
        assert "slow, warning" in text_of(browser, ".alert")
        style = "return getComputedStyle(document.querySelector('table')).borderCollapse"
        assert browser.execute_script(style) == "collapse"  # the stylesheet is there
        browser.get(address)
        until(browser, "#kpi-orders", "Orders")
        assert "anna" not in browser.page_source


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_the_tables_of_a_person_scroll_in_their_boxes(
    browser: webdriver.Chrome, width: int
) -> None:
    token = private.PRIVACY.person_tokens("employee", "anna")[0]
    with served(private.state()) as address:
        set_width(browser, width)
        browser.get(f"{address}private/{token}")
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        box = browser.find_element(By.CSS_SELECTOR, ".private .scroll")
        sizes = browser.execute_script(
            "return [arguments[0].scrollWidth, arguments[0].clientWidth]", box
        )
        assert sizes[0] > sizes[1]
        box.send_keys(Keys.ARROW_RIGHT)
        scrolled = "return arguments[0].scrollLeft > 0"
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(scrolled, box))
        assert violations(browser) == []


def test_what_begins_and_ends_is_announced_and_nothing_else(browser: webdriver.Chrome) -> None:
    state = company_state(firing=False)
    with served(state) as address:
        browser.get(address)
        until(browser, "#alerts", "All quiet")
        announced = "return document.getElementById('announced').textContent"
        assert browser.execute_script(announced) == ""
        assert browser.execute_script("return document.querySelectorAll('[aria-live]').length") == 0
        bad = company_state().fleet
        state.fleet.series, state.fleet.active = bad.series, bad.active
        until(browser, "#alerts", "emea answers in 7 min 8 s")
        assert browser.execute_script(announced) == "warning: emea answers in 7 min 8 s"
        resolved = company_state(firing=False).fleet
        state.fleet.series, state.fleet.active = resolved.series, resolved.active
        until(browser, "#alerts", "All quiet")
        assert "no longer firing: Average response time" in browser.execute_script(announced)


@pytest.mark.parametrize(("width", "kpis", "most_pixels"), [(1440, 24, 7_000), (390, 12, 12_000)])
def test_a_board_of_many_series_is_bounded_and_axe_finds_nothing(
    browser: webdriver.Chrome, width: int, kpis: int, most_pixels: int
) -> None:
    with served(many_series()) as address:
        set_width(browser, width)
        browser.get(address)
        until(browser, "#more-kpis", f"Show {kpis} more of 60 KPIs")
        cards = "return document.querySelectorAll('#kpis > .kpi').length"
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(cards) == kpis)
        height = browser.execute_script("return document.documentElement.scrollHeight")
        assert height < most_pixels
        assert browser.execute_script("return document.querySelectorAll('*').length") < 4_000
        alert = text_of(browser, "#alerts .alert")
        assert "10 of 200 series, worst emea · shop-000" in alert
        assert len(browser.find_elements(By.CSS_SELECTOR, "#alerts > li")) == 5
        assert violations(browser) == []
        browser.find_element(By.ID, "more-kpis").send_keys(Keys.ENTER)
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(cards) == 2 * kpis)
        assert browser.current_url.endswith(f"?limit={2 * kpis}")


CARDS_BY_FRAME = """
window.cardsByFrame = [0];
const frame = () => { cardsByFrame.push(0); requestAnimationFrame(frame); };
requestAnimationFrame(frame);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) {
      if (node.classList?.contains("kpi")) cardsByFrame[cardsByFrame.length - 1] += 1;
    }
  }
}).observe(document, { childList: true, subtree: true });
"""


def test_a_slow_browser_lays_out_a_few_cards_a_frame(browser: webdriver.Chrome) -> None:
    on_load = {"source": CARDS_BY_FRAME}
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", on_load)
    browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 4})
    with served(many_series()) as address:
        browser.get(address)
        total = "return cardsByFrame.reduce((sum, cards) => sum + cards)"
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(total) == 24)
        assert max(browser.execute_script("return cardsByFrame")) <= 8


def test_a_dimension_is_chosen_and_kept_in_the_address(browser: webdriver.Chrome) -> None:
    with served(many_series(kpis=3, series=20, firing=0)) as address:
        browser.get(address)
        until(browser, "#dimensions", "region: all")
        Select(browser.find_element(By.CSS_SELECTOR, "#dimensions select")).select_by_visible_text(
            "emea"
        )
        until(browser, "#kpi-kpi_01 .of-all", "of 5")
        assert browser.current_url.endswith("?series=region%3Demea")
        browser.get(f"{address}?series=region%3Dmars")
        until_shown(browser, [])
        assert browser.find_element(By.ID, "none-found").is_displayed()
        browser.get(f"{address}?series=planet%3Dmars")
        until(browser, "#notice", "'planet=mars' is no dimension=value of the KPIs")
