"""The events behind a value: how many, the first and the last, and the least and the most."""

from __future__ import annotations

from typing import Any

import polars as pl

from agent.core.decode.field_values import shown
from agent.core.explanation import Explanation
from agent.core.model.events import FIELD_DTYPES, ComputedField, Contract, Field, LookupField
from agent.core.model.kpis import OTHER, event_value_of
from agent.core.model.plan import Plan
from agent.core.output.messages import Json, iso

_TIME = "_time"


class Events:
    """Collects the events behind one explained value, from the rows that are folded."""

    def __init__(self, plan: Plan, explained: Explanation) -> None:
        self._explained = explained
        self._contract = plan.contracts.get(explained.kpi.contract or "")
        self._argument = _argument(explained, self._contract)
        self._kept: dict[str, pl.DataFrame] = {}

    @property
    def possible(self) -> bool:
        """Whether the value has events of its own: not that of a derived KPI, nor of the
        `__other__` series."""
        dimensions = self._explained.dimensions
        known = self._explained.window is not None and self._contract is not None
        return known and dimensions is not None and OTHER not in dimensions

    def __call__(self, contract: str, table: pl.DataFrame) -> None:
        """Note rows that are folded."""
        window, kpi = self._explained.window, self._explained.kpi
        if window is None or self._contract is None or contract != self._contract.name:
            return
        rows = table.filter(pl.col(_TIME) >= window.start_ms, pl.col(_TIME) < window.end_ms)
        if kpi.where is not None:
            rows = rows.filter(kpi.where)
        for name, value in zip(kpi.by, self._explained.dimensions or (), strict=True):
            rows = rows.filter(pl.col(name).eq_missing(pl.lit(event_value_of(value))))
        if not rows.height:
            return
        self._keep("first", rows, pl.col(_TIME), last=False)
        self._keep("last", rows, pl.col(_TIME), last=True)
        if self._argument is not None:
            valued = rows.filter(self._argument.is_not_null())
            self._keep("least", valued, self._argument, last=False)
            self._keep("most", valued, self._argument, last=True)

    def as_json(self) -> Json:
        """The events: `first`, `last`, `least` and `most`, each with its time and its fields."""
        contract = self._contract
        fields: tuple[Field | LookupField | ComputedField, ...] = ()
        if contract is not None:
            fields = (*contract.fields, *contract.lookups, *contract.computed)
        document: Json = {}
        for name, row in self._kept.items():
            values = row.row(0, named=True)
            event: Json = {"time": iso(values[_TIME])}
            if values.get("_id") is not None:
                event["id"] = values["_id"]
            known = (f for f in fields if values.get(f.name) is not None)
            document[name] = event | {f.name: _shown(f, values[f.name]) for f in known}
        return document

    def _keep(self, name: str, rows: pl.DataFrame, by: pl.Expr, *, last: bool) -> None:
        """Keep the extreme of the kept row and new ones; among equals, the one that came first."""
        if not rows.height:
            return
        known = self._kept.get(name)
        every = rows if known is None else pl.concat([known, rows], how="vertical")
        self._kept[name] = every.sort(by, descending=last, maintain_order=True).head(1)


def _shown(field: Field | LookupField | ComputedField, value: Any) -> Any:
    return value if isinstance(field, LookupField) else shown(field, value)


def _argument(explained: Explanation, contract: Contract | None) -> pl.Expr | None:
    """The argument of the KPI's first aggregate over numbers."""
    if contract is None:
        return None
    empty = pl.DataFrame(schema={n: FIELD_DTYPES[type_] for n, type_ in contract.types.items()})
    for partial in explained.kpi.partials:
        if partial.argument is not None and empty.select(partial.argument).dtypes[0].is_numeric():
            return partial.argument
    return None
