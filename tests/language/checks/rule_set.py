"""A small rule set without mistakes, and what `check` says of it after a change."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from agent.language.load import check

BASE = """
version: 1
events:
  sale:
    topic: shop
    time: at
    id: id
    fields: {amount: float, region: string, clerk: string, items: integer}
  visit: {topic: visits, type_field: none, time: at, fields: {region: string}}
kpis:
  sales: {from: sale, unit: eur, value: sum(amount), by: [region], window: 1h}
  orders: {from: sale, value: count(*), by: [region], window: 1h}
  by_clerk: {from: sale, value: count(*), by: [clerk], window: 1h}
  success: {from: sale, unit: ratio, value: count_if(items > 0) / count(*), window: 10m}
rules:
  low: {kpi: sales, when: value < 100}
"""


def messages(tmp_path: Path, changes: str = "") -> list[str]:
    """The messages of all problems of the rule set with some entries added or changed."""
    rules = _merged(_base(), _read(changes) or {})
    text = yaml.dump(rules, Dumper=yaml.CSafeDumper, sort_keys=False)
    (tmp_path / "rules.yaml").write_text(text)
    _, problems = check(tmp_path)
    return [problem.message for problem in problems]


class _Loader(yaml.CSafeLoader):
    """YAML as the rules are read: `on` and `off` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in of if first not in "oO" or "bool" not in tag]
    for first, of in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(text: str) -> Any:
    return yaml.load(text, _Loader)


@cache
def _base() -> Any:
    return _read(BASE)


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: _merged(base.get(key), value) for key, value in changes.items()}
