"""The documentation site: built without a warning, whole, and without other hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mkdocs.exceptions import PluginError
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from scripts.site import OWN_PAGES, site_links
from tests.conftest import ROOT
from tests.export.web.browsing import WAIT_SECONDS, browser, set_width

__all__ = ["browser"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site. The build fails on any warning."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    return folder


class Resources(HTMLParser):
    """Collects what a browser loads for a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in {"script", "img", "iframe"} and (source := attributes.get("src")):
            self.addresses.append(source)
        if tag == "link" and attributes.get("rel") in {"stylesheet", "icon", "preconnect"}:
            self.addresses.append(attributes["href"] or "")


def test_no_list_is_cut_in_two_by_a_code_block() -> None:
    """Python-Markdown ends a list at a fence that is indented by less than four spaces."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    fences = [p.name for p in pages if re.search(r"^ {1,3}(```|~~~)", p.read_text(), re.MULTILINE)]
    assert fences == []


def test_every_page_is_on_the_site_and_loads_nothing_from_elsewhere(site: Path) -> None:
    sources = [p.relative_to(ROOT / "docs") for p in (ROOT / "docs").rglob("*.md")]
    pages = [*map(Path, OWN_PAGES.values()), *sources]
    html = [
        site / (p.parent if p.name == "README.md" else p.with_suffix("")) / "index.html"
        for p in pages
    ]
    assert [page for page in html if not page.exists()] == []
    addresses = {address for page in html for address in Resources(page).addresses}
    assert len(addresses) > 5
    assert [a for a in addresses if ":" in a or a.startswith("//")] == []


def test_the_search_knows_each_short_answer(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    titles = {doc["title"] for doc in index["docs"] if doc["location"].startswith("questions/#")}
    assert {"How do I connect to Confluent Cloud?", "How do I mute one?"} <= titles


@pytest.mark.parametrize(
    ("page", "markdown", "expected"),
    [
        ("README.md", "[README](../README.md)", "[README](start/readme.md)"),
        ("start/readme.md", "[docs/web.md](docs/web.md#tls)", "[docs/web](../web.md#tls)"),
        ("rules/sql.md", "![a](../images/board.webp)", "![a](../images/board.webp)"),
        ("start/readme.md", "its [licence](LICENSE)", "its licence"),
        ("rules.md", "[sql](rules/sql.md), [up](#top)", "[sql](rules/sql.md), [up](#top)"),
        ("rules.md", "`[a](b)` https://example.org", "`[a](b)` https://example.org"),
        ("rules.md", "```\n[a](b)\n```", "```\n[a](b)\n```"),
    ],
)
def test_links_of_files_become_links_of_the_site(page: str, markdown: str, expected: str) -> None:
    assert site_links(markdown, page) == expected


def test_a_link_to_no_file_ends_the_build() -> None:
    with pytest.raises(PluginError, match=r"docs/rules\.md: the link to gone\.md leads nowhere"):
        site_links("[gone](gone.md)", "rules.md")


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.needs_browser
def test_a_reader_searches_without_another_host(browser: webdriver.Chrome, address: str) -> None:
    set_width(browser, 1280)
    browser.get(address)
    browser.find_element(By.CSS_SELECTOR, ".md-search__input").click()
    browser.find_element(By.CSS_SELECTOR, ".md-search__input").send_keys("confluent cloud")
    hit = WebDriverWait(browser, WAIT_SECONDS).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
    )[0]
    assert hit.get_attribute("href").startswith(f"{address}questions/")
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [url for url in loaded if not url.startswith(address)] == []
