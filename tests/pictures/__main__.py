"""Take the pictures of the documentation again: python -m tests.pictures [FOLDER]

The demo runs, a real Prometheus scrapes it, a real Alertmanager mails its alert; Chromium shows the
agent's board, the generated Grafana boards (drawn as `tests/grafana` does) and the mail. It needs
what `make pictures` installs, and takes two minutes.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import ROOT
from tests.export.web.browsing import FLAGS, WAIT_SECONDS, text_of
from tests.grafana.answers import Json, TimeRange, answered
from tests.grafana.node import workspace
from tests.integration.monitoring import Alertmanager, Prometheus
from tests.integration.waiting import Process, free_port, until
from tests.pictures.mail import Mailbox, as_page, mailbox, with_mail
from tests.pictures.terminal import screenshot

IMAGES = ROOT / "docs" / "images"
SUMMARY, TEAM = "waits", "support"
FIRES_SECONDS = 150
DEMO_SECONDS = 420
AFTER_SECONDS = 20
"""How long the Grafana boards show the alert fire."""
HEIGHT = 1480
"""px, of the Grafana boards: of a KPI, down to its alerts."""
QUALITY = 82
"""Of WebP, in percent: text stays sharp, and no picture has more than 150 kB."""
TERMINALS = {
    "check": ["README.md", "docs/tour.md"],
    "explain": ["docs/before-paging.md"],
}
"""The pages whose commands are run, by the command that is shown."""


@dataclass(frozen=True, slots=True)
class Company:
    """The demo, and what watches it."""

    board: str
    prometheus: Prometheus
    box: Mailbox


@contextmanager
def company(folder: Path) -> Iterator[Company]:
    """The example company, until its alert is mailed and for as long as the block lasts."""
    with ExitStack() as stack:
        box = stack.enter_context(mailbox())
        demo, port = Process("demo", folder / "demo.log"), free_port()
        alertmanager = Alertmanager("alertmanager", folder)
        prometheus = Prometheus("prometheus", folder)
        for process in (demo, alertmanager, prometheus):
            stack.callback(process.clean_up)
        alertmanager.start(with_mail(TEAM, box.port, folder))
        prometheus.start([f"127.0.0.1:{port}"], alertmanager.address)
        options = ["--port", str(port), "--seconds", str(DEMO_SECONDS)]
        demo.launch([sys.executable, "-m", "agent", "demo", *options])
        until(lambda: _mails(box), FIRES_SECONDS, demo.last_words)
        yield Company(f"http://127.0.0.1:{port}/", prometheus, box)


def _mails(box: Mailbox) -> list[str]:
    return [mail["Subject"] for mail in box.mails if SUMMARY in mail["Subject"]]


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """A browser without a window."""
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        *FLAGS,
        f"--user-data-dir={folder / 'chromium'}",
        "--hide-scrollbars",
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


def take(browser: webdriver.Chrome, file: Path, width: int, height: int, scale: float = 1) -> None:
    """A picture of the page that is open, cut at a height in px."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(2)  # charts are drawn again after their size has changed
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    file.write_bytes(base64.b64decode(shot["data"]))


def live_boards(browser: webdriver.Chrome, address: str, images: Path) -> None:
    """The agent's own board: light, dark, and on a phone."""
    for colors, name, width, height, scale in (
        ("light", "board", 1440, 1300, 1),
        ("dark", "board-dark", 1440, 1300, 1),
        ("light", "board-phone", 400, 860, 2),
    ):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": colors}]},
        )
        browser.get(address)
        WebDriverWait(browser, WAIT_SECONDS).until(lambda b: "firing" in text_of(b, "body").lower())
        take(browser, images / f"{name}.webp", width, height, scale)


def grafana_answers(prometheus: Prometheus) -> dict[str, Json]:
    """The strategy board and that of the KPI whose alert fires, as Prometheus answers them for all
    the time that it has scraped; by the names of their pictures."""
    time.sleep(AFTER_SECONDS)
    (first,) = prometheus.query('min_over_time(timestamp(up{job="kpi-agent"} == 1)[10m:1s])')
    shown = TimeRange(int(float(first["value"][1])), int(time.time()), 1)
    boards = {"grafana-strategy": "strategy", "grafana-kpi": "kpi-response_time"}
    return {
        name: answered(
            prometheus,
            json.loads((ROOT / "grafana/dashboards" / f"{board}.json").read_text()),
            shown,
        )
        for name, board in boards.items()
    }


def grafana_boards(browser: webdriver.Chrome, answers: dict[str, Json], images: Path) -> None:
    """Boards with their answers, drawn."""
    with workspace() as node:
        for name, board in answers.items():
            browser.get(node.page("draw", board | {"colors": "light"}).as_uri())
            last = board["board"]["panels"][-1]["title"]
            WebDriverWait(browser, WAIT_SECONDS).until(lambda b, t=last: t in text_of(b, "body"))
            take(browser, images / f"{name}.webp", 1400, HEIGHT)


def mail(browser: webdriver.Chrome, box: Mailbox, folder: Path, images: Path) -> None:
    """The alert as it arrives."""
    page = folder / "mail.html"
    page.write_text(as_page(next(mail for mail in box.mails if SUMMARY in mail["Subject"])))
    browser.get(page.as_uri())
    take(browser, images / "alert-mail.webp", 800, 400)


def terminals(images: Path) -> None:
    """Commands of the documentation in a terminal."""
    for command, pages in TERMINALS.items():
        with tempfile.TemporaryDirectory() as folder:
            (images / f"{command}.svg").write_text(screenshot(pages, command, Path(folder)))


def main(images: Path) -> None:
    """Take them all."""
    images.mkdir(parents=True, exist_ok=True)
    terminals(images)
    folder = Path(tempfile.mkdtemp())
    try:
        with company(folder) as running:
            answers = grafana_answers(running.prometheus)  # before Chromium slows the scrapes down
            with chromium(folder) as browser:
                live_boards(browser, running.board, images)
                grafana_boards(browser, answers, images)
                mail(browser, running.box, folder, images)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
