"""Chromium as a person uses it, for the tests of pages: serve a state, wait, read, check."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from agent.export.agent_state import AgentState
from agent.export.web.server import serving
from tests.conftest import ROOT
from tests.export.invented import NOW_MS

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT_SECONDS = 60


@contextmanager
def served(state: AgentState) -> Iterator[str]:
    """The board on a loop of its own, as Selenium blocks the test's."""
    loop, started, addresses = asyncio.new_event_loop(), threading.Event(), []
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving(state, "127.0.0.1", 0, lambda: NOW_MS, tick_seconds=0.2) as port:
            addresses.append(f"http://127.0.0.1:{port}/")
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(WAIT_SECONDS)
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_SECONDS)
        loop.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


def until(browser: webdriver.Chrome, selector: str, text: str) -> None:
    def shows(driver: webdriver.Chrome) -> bool:
        return text in text_of(driver, selector)

    published = f"{selector} never said {text!r}"
    WebDriverWait(browser, WAIT_SECONDS).until(shows, published)


def text_of(browser: webdriver.Chrome, selector: str) -> str:
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return browser.execute_script(script, selector).replace("\u00a0", " ")


def set_width(browser: webdriver.Chrome, pixels: int) -> None:
    metrics = {"width": pixels, "height": 780, "deviceScaleFactor": 1, "mobile": pixels < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


AXE = ROOT / ".cache" / "axe-core" / "package" / "axe.min.js"


def violations(browser: webdriver.Chrome) -> list[Any]:
    """What axe-core finds wrong with the page that is open, by rule and place."""
    browser.execute_script(AXE.read_text())
    broken = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then(r => done(r.violations))"
    )
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in broken]
