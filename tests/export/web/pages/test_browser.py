"""The pages of KPIs and alerts in a real browser: the chart, the tooltip, a phone, axe, paper."""

from __future__ import annotations

import re

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.export.invented import company_state
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
from tests.export.web.pages.test_producer_pages import fed
from tests.export.web.test_alerts import STEPS

pytestmark = pytest.mark.needs_browser
__all__ = ["browser"]

WIDER = (
    "return [...document.querySelectorAll('.scroll')]"
    ".filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.innerText)"
)
"""The tables that scroll sideways."""
EMEA = "kpis/response_time?series=region%3Demea&range=30m"


def test_an_alert_leads_from_the_board_to_the_chart_of_its_series(
    browser: webdriver.Chrome,
) -> None:
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#alerts", "emea answers in 7 min 8 s")
        browser.find_element(By.CSS_SELECTOR, "#alerts .alert .say a").click()
        until(browser, "h1", "Average response time to customer inquiries emea")
        assert "7 min 8 s" in text_of(browser, "#top")
        shown = "return document.querySelector('#plot canvas')?.width > 0"
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: b.execute_script(shown))
        assert not browser.find_element(By.ID, "drawing").is_displayed()
        assert browser.get_log("browser") == []


def test_a_pointer_on_the_chart_says_the_value_and_the_time(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address + EMEA)
        until(browser, "#legend", "emea")
        over = browser.find_element(By.CSS_SELECTOR, "#plot .u-over")
        end = over.size["width"] // 2 - 2
        ActionChains(browser).move_to_element_with_offset(over, end, 0).perform()
        until(browser, ".tip", "emea: 7 min 8 s")
        assert re.search(r"\d\d?:\d\d", text_of(browser, ".tip"))


def test_the_page_changes_without_a_reload(browser: webdriver.Chrome) -> None:
    state = company_state()
    with served(state) as address:
        browser.get(address + EMEA)
        until(browser, "#top", "7 min 8 s")
        browser.execute_script("window.same = true")
        resolved = company_state(firing=False).fleet
        state.fleet.series, state.fleet.active = resolved.series, resolved.active
        until(browser, "#top", "2 min 30 s")
        assert browser.execute_script("return window.same") is True
        assert browser.get_log("browser") == []


def test_a_png_of_the_chart_is_offered(browser: webdriver.Chrome) -> None:
    with served(company_state()) as address:
        browser.get(address + EMEA)
        until(browser, "#legend", "emea")
        saved = """const click = HTMLAnchorElement.prototype.click, done = arguments[0];
            HTMLAnchorElement.prototype.click = function () {
                done([this.download, this.href.startsWith('blob:')]);
            };
            document.getElementById('png').click();"""
        assert browser.execute_async_script(saved) == ["response_time.png", True]


@pytest.mark.parametrize("path", [EMEA, "kpis/response_time", "kpis/revenue", "alerts"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: webdriver.Chrome, path: str, scheme: str) -> None:
    state = company_state()
    state.fleet.history = STEPS
    with served(state) as address:
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(address + path)
        until(browser, "h1", "e")
        assert violations(browser) == []


def test_axe_finds_nothing_on_the_page_of_producers(browser: webdriver.Chrome) -> None:
    with served(fed()) as address:
        browser.get(address + "producers")
        until(browser, "h1", "producers")
        assert violations(browser) == []
        assert "checkout" in text_of(browser, "#events")


def test_axe_finds_nothing_on_a_private_page_and_the_board(browser: webdriver.Chrome) -> None:
    token = private.PRIVACY.person_tokens("employee", "anna")[0]
    with served(private.state()) as address:
        browser.get(f"{address}private/{token}")
        assert violations(browser) == []
    with served(company_state()) as address:
        browser.get(address)
        until(browser, "#kpi-response_time", "7 min 8 s")
        assert violations(browser) == []


@pytest.mark.parametrize("path", [EMEA, "kpis/response_time", "alerts"])
def test_a_phone_needs_no_sideways_scrolling(browser: webdriver.Chrome, path: str) -> None:
    state = company_state()
    state.fleet.history = STEPS
    with served(state) as address:
        set_width(browser, 390)
        browser.get(address + path)
        until(browser, "h1", "e")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        assert browser.execute_script(WIDER) == []


def test_a_phone_shows_the_rows_of_tables_as_lists(browser: webdriver.Chrome) -> None:
    with served(fed()) as address:
        set_width(browser, 390)
        browser.get(address + "producers")
        until(browser, "h1", "producers")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        assert browser.execute_script(WIDER) == []
        heads = (
            "return [...document.querySelectorAll('#events thead th')].map((th) => th.innerText)"
        )
        labels = (
            "return [...document.querySelector('#events tbody tr').querySelectorAll('td')]"
            ".map((td) => getComputedStyle(td, '::before').content.slice(1, -1))"
        )
        assert browser.execute_script(labels) == browser.execute_script(heads)[1:]
        assert violations(browser) == []


def test_without_a_script_and_on_paper_the_chart_and_the_values_are_there(
    browser: webdriver.Chrome,
) -> None:
    with served(company_state()) as address:
        browser.get(address + EMEA)
        until(browser, "#legend", "emea")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert browser.find_element(By.CSS_SELECTOR, "#drawing .chart").is_displayed()
        assert not browser.find_element(By.ID, "plot").is_displayed()
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.get(address + EMEA)
        assert browser.find_element(By.CSS_SELECTOR, "#drawing .chart").is_displayed()
        assert "7 min 8 s" in browser.find_element(By.ID, "windows").text
