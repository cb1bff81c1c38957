"""Hooks of mkdocs: the repository's own pages on the site, and links as GitHub reads them.

The README and its neighbours are pages of the site, too, under `start/`. A link to a file of the
repository that has no page (a folder of rules, the licence) becomes its text. mkdocs calls the
functions that begin with `on_`; mkdocs.yml names this file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OWN_PAGES = {
    "README.md": "start/readme.md",
    "CONTRIBUTING.md": "start/contributing.md",
    "SECURITY.md": "start/security.md",
    "CHANGELOG.md": "start/changelog.md",
}
"""Files of the repository, and what they are called on the site."""

BOOSTS = {"questions.md": 4, "start/changelog.md": 0.2}
"""What the search puts first, and last."""

_LINK = re.compile(
    r"(?P<code>^(?P<indent> *)```.*?^(?P=indent)```$|`[^`\n]*`)"
    r"|(?P<picture>!?)\[(?P<text>(?:`[^`]*`|[^\[\]`])*)\]\((?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each path with a `*` in the navigation by the pages that it matches."""
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's own pages."""
    for path, page in OWN_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    page.meta.setdefault("search", {"boost": BOOSTS.get(page.file.src_uri, 1)})
    return site_links(markdown, page.file.src_uri, posixpath.basename(config.docs_dir))


def site_links(markdown: str, page: str, docs: str = "docs") -> str:
    """The text of a page with the links that the site can follow.

    `page` is the page's path on the site; links are relative to the file that the text is from.
    Raises `PluginError` for a link to a file that does not exist.
    """
    origin = {site: path for path, site in OWN_PAGES.items()}.get(page, f"{docs}/{page}")

    def link(match: re.Match[str]) -> str:
        text, target = match["text"], match["target"]
        if match["code"] or re.match(r"[a-z]+:|#", target):
            return match[0]
        path, mark, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if not (ROOT / path).exists():
            raise PluginError(f"{origin}: the link to {target} leads nowhere")
        site = OWN_PAGES.get(path) or (
            path.removeprefix(f"{docs}/") if path.startswith(f"{docs}/") else None
        )
        if site is None:
            return text
        text = text if match["picture"] else text.removesuffix(".md")
        relative = posixpath.relpath(site, posixpath.dirname(page) or ".")
        return f"{match['picture']}[{text}]({relative}{mark}{anchor})"

    return _LINK.sub(link, markdown)


def _expanded(nav: Any, docs: Path) -> Any:
    """`nav` with the pages in place of patterns, in order of their names, READMEs left out."""
    if isinstance(nav, dict):
        return {title: _expanded(entry, docs) for title, entry in nav.items()}
    if isinstance(nav, list):
        entries = []
        for entry in nav:
            expanded = _expanded(entry, docs)
            pattern = isinstance(entry, str) and "*" in entry
            entries.extend(expanded if pattern else [expanded])
        return entries
    if isinstance(nav, str) and "*" in nav:
        pages = [page.relative_to(docs).as_posix() for page in sorted(docs.glob(nav))]
        return [page for page in pages if posixpath.basename(page) != "README.md"]
    return nav
