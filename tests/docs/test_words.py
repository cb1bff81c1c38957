"""One name for one thing: words that the field has better ones for do not come back."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from tests.conftest import ROOT

RETIRED = {
    "anew": "again",
    "as_for": "variant_for",
    "as it stands": "as it is",
    "closings": "emitted",
    "coupling of rules": "rule graph",
    "farewell": "close",
    "Gate": "Inhibitor",
    "given its past": "backfilled",
    "GivenValues": "FixedWindows",
    "heed": "depend on",
    "heeded": "dependency",
    "heeds": "dependencies",
    "Hearing": "Subscription",
    "heard": "received",
    "held against": "compared with",
    "is no more": "is gone",
    "is_news": "covers_new_records",
    "Judge": "Evaluator",
    "Judgement": "Evaluation",
    "keep_apart": "keep_unsettled",
    "KpiWatch": "KpiAbsence",
    "CombinationRule": "CompositeRule",
    "private_homes": "private_subjects",
    "QuietWatch": "IdleDetector",
    "save that": "except that",
    "silenced": "inhibited",
    "standing_alerts": "active_alerts",
    "tellable": "alerts_to_send",
    "tells": "says",
    "told": "published, reported, shown",
    "unjudged": "not_evaluated",
    "turned_away": "overflow",
    "upkeep": "maintenance calendar",
    "Versus": "EpisodeChanges",
    "Waitings": "BackfillBuffers",
    "whoever": "anybody who",
    "witness": "on_evaluation",
}
"""Words that said something of our own, and what the code and the documents say instead."""

PATTERN = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, RETIRED)) + r")(?![\w-])")


EMPTY = {"found", "one", "taken", "told"}
"""Names that say nothing of what a variable, a parameter or an attribute holds."""


def files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "agent", "tests", "docs", "README.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    texts = (".py", ".md", ".yaml", ".yml", ".js", ".html")
    return [name for name in listed if name.endswith(texts) and not name.endswith("test_words.py")]


@pytest.mark.parametrize("folder", ["agent/", "tests/", "docs/", "README.md"])
def test_retired_words_do_not_come_back(folder: str) -> None:
    named = [name for name in files() if name.startswith(folder)]
    assert named
    retired = [
        f"{name}:{number}: {match[0]!r} is called {RETIRED[match[0]]!r}"
        for name in named
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        for match in PATTERN.finditer(line)
    ]
    assert retired == []


def names(tree: ast.AST) -> list[tuple[str, int]]:
    """What a module names: variables, parameters, attributes and functions, with their lines."""
    named = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store(), lineno=line):
                named.append((name, line))
            case ast.arg(arg=name, lineno=line):
                named.append((name, line))
            case ast.Attribute(attr=name, ctx=ast.Store(), lineno=line):
                named.append((name.lstrip("_"), line))
            case ast.FunctionDef(name=name, lineno=line):
                named.append((name, line))
    return named


@pytest.mark.parametrize("folder", ["agent", "tests", "benchmarks", "scripts"])
def test_a_name_says_what_it_holds(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    empty = [
        f"{module.relative_to(ROOT)}:{line}: {name}"
        for module in modules
        for name, line in names(ast.parse(module.read_text()))
        if name in EMPTY
    ]
    assert empty == []
