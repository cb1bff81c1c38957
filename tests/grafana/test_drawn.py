"""The boards drawn in Chromium, with Grafana's scenes and components, from what a real Prometheus
answers. The panels are ours, of Grafana's parts (`src/plugins.tsx`): its own are in no package."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from agent.generate.ranking import LINES
from tests.export.web.browsing import WAIT_SECONDS, set_width, text_of

from .answers import Json
from .companies import ADDRESS
from .node import Workspace

pytestmark = [pytest.mark.needs_node, pytest.mark.needs_prometheus, pytest.mark.needs_browser]

WIDTH = 1400


def draw(browser: webdriver.Chrome, node: Workspace, board: Json) -> str:
    """Draw a board; what is written on it. It has no error, in a panel or in the console."""
    browser.get_log("browser")
    browser.get(node.page("draw", board | {"colors": "light"}).as_uri())
    set_width(browser, WIDTH)
    titles = [panel["title"] for panel in board["board"]["panels"]]
    WebDriverWait(browser, WAIT_SECONDS).until(
        lambda driver: all(title in text_of(driver, "body") for title in titles),
        f"not all of {titles} are drawn",
    )
    words = text_of(browser, "body")
    assert "unexpected error" not in words
    said = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # Fonts and icons are files of Grafana's server, which no package has.
    assert [message for message in said if "/public/" not in message] == []
    return words


def count(browser: webdriver.Chrome, selector: str) -> int:
    return int(
        browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)
    )


def test_every_board_is_drawn(
    browser: webdriver.Chrome, node: Workspace, company_boards: Mapping[str, Json]
) -> None:
    for name, board in company_boards.items():
        words = draw(browser, node, board)
        lines = [p for p in board["board"]["panels"] if p["type"] == "timeseries"]
        assert count(browser, ".uplot") >= len(lines), name
        assert "No data" not in words, name


def test_a_board_says_what_it_means(
    browser: webdriver.Chrome, node: Workspace, company_boards: Mapping[str, Json]
) -> None:
    words = draw(browser, node, company_boards["kpi-response_time.json"])
    for text in ("7.13 mins", "✕ missed", "● firing", "slow_support (warning) emea", "114%"):
        assert text in words, words
    assert "open: emea" not in words
    assert "target at most" not in words


def test_links_of_the_tables_lead_to_boards_and_to_the_agents_pages(
    browser: webdriver.Chrome, node: Workspace, company_boards: Mapping[str, Json]
) -> None:
    draw(browser, node, company_boards["strategy.json"])
    script = (
        "return [...document.querySelectorAll('[role=cell] a')].map(a => a.getAttribute('href'))"
    )
    links = set(browser.execute_script(script))
    assert {
        "/d/kpi-response_time",
        "/d/kpi-revenue",
        f"{ADDRESS}/alerts?rule=slow_support",
    } <= links
    assert not any("$" in link for link in links)


def test_a_band_leads_to_the_page_of_its_series(
    browser: webdriver.Chrome, node: Workspace, company_boards: Mapping[str, Json]
) -> None:
    draw(browser, node, company_boards["kpi-response_time.json"])
    script = "return [...document.querySelectorAll('svg a[href]')].map(a => a.getAttribute('href'))"
    pages = {f"{ADDRESS}/kpis/response_time?series=region%3D%22{r}%22" for r in ("emea", "amer")}
    assert pages <= set(browser.execute_script(script))


def test_a_board_of_two_hundred_series_stays_readable(
    browser: webdriver.Chrome, node: Workspace, shop_boards: Mapping[str, Json]
) -> None:
    draw(browser, node, shop_boards["kpi-kpi_01.json"])
    script = """return [...document.querySelectorAll('[data-viz-panel-key]')].map(panel =>
        [panel.querySelector('h2').innerText, panel.querySelectorAll('table tbody tr').length])"""
    legends = dict(browser.execute_script(script))
    assert legends["Value against its bands"] == LINES, json.dumps(legends)
    overflow = "return document.documentElement.scrollWidth"
    assert browser.execute_script(overflow) <= WIDTH
