"""Timestamps and dates as polars expressions, in the zone of their contract.

A timestamp is an instant (DuckDB's TIMESTAMPTZ), a date a day of the calendar (DATE). Parts of an
instant, and literals it is compared with, are in local time of the zone, as in DuckDB with
`SET TimeZone`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from agent.core.decode.time_text import instant_of
from agent.core.model.field_types import FIELD_DTYPES
from agent.language.sql.types import SqlType, Typed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMESTAMP = FIELD_DTYPES["timestamp"]


def time_of(text: str, type_: SqlType, timezone: str) -> Typed | None:
    """A literal as a timestamp or date; None: it is neither."""
    us = instant_of(text, timezone, 6)
    if us is None:
        return None
    if type_ == "timestamp":
        return Typed(pl.lit(us, dtype=pl.Int64).cast(TIMESTAMP), "timestamp")
    at = (_EPOCH + timedelta(microseconds=us)).astimezone(ZoneInfo(timezone))
    return Typed(pl.lit(at.date(), dtype=pl.Date), "date")


def in_zone(typed: Typed, type_: SqlType, timezone: str) -> pl.Expr:
    """An expression widened to a type; a date becomes the midnight at its start."""
    if type_ == "timestamp" and typed.type == "date":
        return instant(typed.expr.cast(pl.Datetime("us")), timezone)
    return typed.cast(type_)


def local(typed: Typed, timezone: str) -> pl.Expr:
    """Local time in the zone, as Datetime without zone."""
    if typed.type == "date":
        return typed.expr.cast(pl.Datetime("us"))
    return typed.expr.dt.convert_time_zone(timezone).dt.replace_time_zone(None)


def instant(local_time: pl.Expr, timezone: str) -> pl.Expr:
    """The instant of a local time in the zone: the earlier of two; a time that the clocks skip is
    read with the offset before."""
    if timezone == "UTC":
        return local_time.dt.replace_time_zone("UTC")
    ahead = pl.duration(hours=3)  # no clock is moved by more
    known, before = (
        shown.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
        for shown in (local_time, local_time - ahead)
    )
    return pl.coalesce(known, before + ahead).dt.convert_time_zone("UTC")
