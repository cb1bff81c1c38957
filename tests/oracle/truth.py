"""What DuckDB says: every window of a KPI over all the raw events, from the KPI's own SQL text.

`where` and `value` go to DuckDB as they are written. Some aggregates need another spelling
(`DUCKDB_SPELLING`): `first` and `last` mean by event time here, `quantile` is `quantile_disc`,
`approx_count_distinct` is exact, and `mode` is the least of equally frequent values.
`retention` is no aggregate of DuckDB's and has a query of its own. Windows are cut by DuckDB, too:
fixed ones by arithmetic, calendar ones by `date_trunc` on the local time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

Key = tuple[tuple[Any, ...], int, int]
"""Dimension values, start and end (ms since the epoch)."""

UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
CALENDAR = ("day", "week", "month", "quarter", "year")
DUCKDB_SPELLING = (
    (r"\bfirst\((\w+)\)", r"arg_min(\1, arrival) filter (where \1 is not null)"),
    (r"\blast\((\w+)\)", r"arg_max(\1, arrival) filter (where \1 is not null)"),
    (r"\bquantile\(", "quantile_disc("),
    (r"\bapprox_count_distinct\((\w+)\)", r"count(distinct \1)"),
    (
        r"\bmode\((\w+)\)",
        r"""list_min(list_transform(list_filter(map_entries(histogram(\1)),
        lambda e: e.value = list_max(map_values(histogram(\1)))), lambda e: e.key))""",
    ),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A window's value and how many events it holds."""

    value: float | None
    events: int


class Truth:
    """DuckDB over one file of events. `time` is an SQL expression of the column's ms since the
    epoch; the file's columns keep their names."""

    def __init__(self, path: Path, time: str, columns: Mapping[str, str]) -> None:
        self._db = duckdb.connect()
        self._db.execute("set timezone = 'UTC'")
        typed = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"
        self._db.execute(
            f"""create table events as
            select *, (time_ms, number) as arrival from (
                select *, {time} as time_ms, row_number() over () as number
                from read_json('{path}', format = 'newline_delimited', columns = {typed}))"""
        )

    def figures(
        self, kpi: Mapping[str, Any], type_name: str | None, timezone: str = "UTC"
    ) -> dict[Key, Figure]:
        """Every window of a base KPI (as its YAML says it) that holds at least one event."""
        rows = self._rows(kpi, type_name)
        placed = _placed(kpi["window"], kpi.get("timezone", timezone))
        by = list(kpi.get("by", ()))
        value = str(kpi["value"])
        retention = re.fullmatch(r"retention\((\w+)\)", value)
        if retention is None:
            value = _spelt(value)
            query = f"select {_list(by)} from_ms, to_ms, {value}, count(*) from placed group by all"
        else:
            query = _retention(retention[1], by)
        answer = self._db.execute(f"with rows as ({rows}), placed as ({placed}) {query}").fetchall()
        return _figures(answer, len(by))

    def of_nothing(self, kpi: Mapping[str, Any], type_name: str | None) -> float | None:
        """What DuckDB says of a KPI over no events at all."""
        value = _spelt(str(kpi["value"]))
        rows = self._rows(kpi, type_name)
        row = self._db.execute(f"select {value} from ({rows}) where false").fetchone()
        assert row is not None
        return None if row[0] is None else float(row[0])

    def of_no_series(self, kpi: Mapping[str, Any]) -> float | None:
        """What DuckDB says of a KPI over the series of others when there is none."""
        columns = ", ".join(f"0::double as {name}" for name in kpi["from"])
        query = f"select {_spelt(kpi['value'])} from (select {columns}) where false"
        row = self._db.execute(query).fetchone()
        assert row is not None
        return None if row[0] is None else float(row[0])

    def derived(
        self, kpi: Mapping[str, Any], inputs: Mapping[str, Mapping[Key, Figure]]
    ) -> dict[Key, Figure]:
        """A KPI over counts: where an input has no window, its count is 0."""
        names = list(kpi["from"])
        keys = list(set().union(*(inputs[name] for name in names)))
        given = [[inputs[name].get(key, Figure(0, 0)) for key in keys] for name in names]
        columns = ", ".join(f"unnest(?::double[]) as {name}" for name in names)
        rows = self._db.execute(
            f"""select _at, {kpi["value"]}
            from (select unnest(range({len(keys)})) as _at, {columns}) order by _at""",
            [[figure.value for figure in figures] for figures in given],
        ).fetchall()
        return {
            key: Figure(value, sum(figure.events for figure in figures))
            for key, (_, value), *figures in zip(keys, rows, *given, strict=True)
        }

    def rolled_up(
        self,
        kpi: Mapping[str, Any],
        by: Sequence[str],
        inputs: Mapping[str, Mapping[Key, Figure]],
    ) -> dict[Key, Figure]:
        """A KPI over the series of others, which are `by` more dimensions than it: those series
        that have events, in a table. Where one of several inputs has no window, it is a count."""
        rows = []
        for key in set().union(*inputs.values()):
            given = [figures.get(key, Figure(0, 0)) for figures in inputs.values()]
            dims, *bounds = key
            events = sum(figure.events for figure in given)
            rows.append((*dims, *bounds, *(figure.value for figure in given), events))
        names = [*by, "from_ms", "to_ms", *inputs, "events"]
        shape = dict.fromkeys(by, "varchar") | dict.fromkeys(inputs, "double")
        shape = {name: shape.get(name, "bigint") for name in names}
        given_rows = [dict(zip(names, row, strict=True)) for row in rows]
        own = list(kpi["by"])
        answer = self._db.execute(
            f"""select {_list(own)} from_ms, to_ms, {_spelt(kpi["value"])}, sum(events)::bigint
            from (select unnest(from_json(?, ?), recursive := true)) group by all""",
            [json.dumps(given_rows), json.dumps([shape])],
        ).fetchall()
        return _figures(answer, len(own))

    def events_of(self, types: Sequence[str] | None) -> int:
        """How many events are of these types; None: of any."""
        of_types = "true" if types is None else f"type in {tuple(types)}"
        row = self._db.execute(f"select count(*) from events where {of_types}").fetchone()
        assert row is not None
        return int(row[0])

    def latest_ms(self) -> int:
        """The newest event time."""
        row = self._db.execute("select max(time_ms) from events").fetchone()
        assert row is not None
        return int(row[0])

    @staticmethod
    def _rows(kpi: Mapping[str, Any], type_name: str | None) -> str:
        of_type = "true" if type_name is None else f"type = '{type_name}'"
        return f"select * from events where {of_type} and ({kpi.get('where', 'true')})"


def _spelt(sql: str) -> str:
    """The same SQL in DuckDB's words."""
    for ours, theirs in DUCKDB_SPELLING:
        sql = re.sub(ours, theirs, sql)
    return sql


def span_ms(written: str) -> int:
    """A duration such as `90s` or `1h30m`."""
    return sum(int(n) * UNIT_MS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhd])", written))


def _placed(window: str, timezone: str) -> str:
    """The rows, each with the bounds of every window that it lies in."""
    if window in CALENDAR:
        return f"""
            select * exclude (local),
                epoch_ms(timezone('{timezone}', local)) as from_ms,
                epoch_ms(timezone('{timezone}', local + interval 1 {window})) as to_ms
            from (select *, date_trunc('{window}',
                timezone('{timezone}', make_timestamptz(time_ms * 1000))) as local from rows)"""
    size, _, hop = window.partition(" every ")
    size_ms, hop_ms = span_ms(size), span_ms(hop or size)
    return f"""
        select *, from_ms + {size_ms} as to_ms from (
            select *, unnest(range(((time_ms - {size_ms}) // {hop_ms} + 1) * {hop_ms},
                                   time_ms + 1, {hop_ms})) as from_ms
            from rows)"""


def _retention(field: str, by: Sequence[str]) -> str:
    """Share of the previous window's distinct values that are seen again; tumbling windows only."""
    same = " and ".join(f"a.{name} is not distinct from b.{name}" for name in by) or "true"
    dims = _list([f"b.{name}" for name in by])
    return f"""
        , sets as (select {_list(by)} from_ms, to_ms, count(*) as n,
                   list(distinct {field}) filter (where {field} is not null) as seen
                   from placed group by all)
        select {dims} b.from_ms, b.to_ms,
               len(list_intersect(a.seen, b.seen)) / nullif(len(a.seen), 0), b.n
        from sets b left join sets a on a.to_ms = b.from_ms and {same}"""


def _list(names: Sequence[str]) -> str:
    return "".join(f"{name}, " for name in names)


def _figures(rows: Sequence[tuple[Any, ...]], width: int) -> dict[Key, Figure]:
    made = {}
    for row in rows:
        *dims, from_ms, to_ms, value, events = row
        assert len(dims) == width
        made[tuple(dims), from_ms, to_ms] = Figure(None if value is None else float(value), events)
    return made
