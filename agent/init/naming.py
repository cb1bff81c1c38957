"""Interprets names: their words, units, and forms in rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from itertools import chain, count

UNITS = {
    "seconds": "seconds", "secs": "seconds", "sec": "seconds", "s": "seconds",
    "ms": "milliseconds", "msec": "milliseconds", "millis": "milliseconds",
    "milliseconds": "milliseconds", "minutes": "minutes", "mins": "minutes", "hours": "hours",
    "days": "days", "bytes": "bytes", "kb": "kilobytes", "mb": "megabytes", "ratio": "ratio",
    "share": "ratio", "eur": "eur", "usd": "usd", "gbp": "gbp", "chf": "chf", "cents": "cents",
    "percent": "percent", "pct": "percent", "stars": "stars", "units": "units", "km": "kilometres",
    "kg": "kilograms", "nok": "nok", "sek": "sek", "dkk": "dkk", "jpy": "jpy", "us": "microseconds",
    "micros": "microseconds", "ns": "nanoseconds", "nanos": "nanoseconds",
    "celsius": "celsius", "kwh": "kilowatt_hours", "h": "hours", "min": "minutes",
    "watts": "watts",
}  # fmt: skip
"""The unit of a number by the last word of its name."""
SUMS = frozenset({
    "amount", "total", "revenue", "units", "quantity", "qty", "items", "pieces", "bytes", "eur",
    "usd", "gbp", "chf", "cost", "costs", "count", "sales", "profit", "tax", "fee", "fees",
    "discount", "refund", "volume", "cents", "clicks", "views", "length", "size", "weight",
    "price", "payment", "subtotal", "shipping", "amt", "fare",
})  # fmt: skip
"""Words in the names of numbers that are added up."""
_ADJECTIVES = frozenset({
    "sales", "payment", "shipping", "price", "cost", "tax", "discount", "fee", "refund", "volume",
})  # fmt: skip
"""Words of amounts that qualify another word: `sales_order`, `cost_center`."""
CODES = frozenset({
    "id", "ids", "uid", "uuid", "code", "key", "number", "no", "nr", "hash", "seq", "sequence",
    "offset", "serial", "account", "phone", "version", "sku", "ean", "isbn", "zip", "postcode",
    "ip",
})  # fmt: skip
"""Last words in the names of codes, which are no numbers or times even if they look so."""
MEANS = frozenset({
    "mean", "avg", "average", "median", "rate", "ratio", "percent", "pct", "share", "per",
    "balance", "unit", "rank", "score", "rating", "level", "temperature", "value",
})  # fmt: skip
"""Words in the names of numbers that are averaged, whatever other words they have."""
MONEY = frozenset({
    "amount", "total", "revenue", "price", "cost", "fee", "tax", "sum", "balance", "payment",
    "discount", "refund", "sales", "profit", "subtotal", "shipping", "value", "amt", "fare",
})  # fmt: skip
QUANTITIES = frozenset({"quantity", "qty", "count", "units", "pieces"})
IDENTIFIERS = frozenset({
    "id", "ids", "code", "zip", "zipcode", "postcode", "postal", "number", "no", "nr", "key",
    "hash", "index", "idx", "seq", "sequence", "offset", "partition", "position", "pos", "row",
    "version", "revision", "pid", "xid", "xoffset", "gtid", "lsn", "thread", "port", "phone", "lat",
    "lon", "lng", "latitude", "longitude", "year", "month", "day", "weekday", "epoch", "ts",
    "timestamp", "time", "date", "ean", "sku", "isbn", "serial", "account", "status", "state",
    "mmsi", "imo", "iid", "check", "uid", "organization", "center", "centre", "bearing", "heading",
    "track", "course", "azimuth", "direction", "angle", "width", "height", "viewwidth",
    "viewheight",
})  # fmt: skip
"""Words in the names of numbers that are identifiers."""
PEOPLE = frozenset({
    "customer", "user", "account", "client", "member", "rider", "visitor", "patient", "buyer",
    "distinct", "subscriber", "passenger", "guest",
})  # fmt: skip
TIME_WORDS = frozenset({
    "time", "timestamp", "ts", "date", "datetime", "at", "when", "on", "start", "started", "es",
    "tstamp", "stamp",
})  # fmt: skip
DURATIONS = frozenset({
    "seconds", "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days",
})  # fmt: skip
LASTS = frozenset({"duration", "latency", "elapsed", "delay", "lag", "wait"})
"""Last words in the names of durations without a unit."""
_LETTERS = str.maketrans({
    "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ß": "ss", "ł": "l", "Ł": "L",
})  # fmt: skip
"""Letters that are no others with an accent."""
_NO_UNITS = frozenset({"h", "min", "s"})
_SIGNS = {"$": "usd", "€": "eur", "£": "gbp", "%": "percent"}


def snake(text: str) -> str:
    """A name in the form of KPIs and fields: `invoice.placedAt` is `invoice_placed_at`."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore")
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain.decode())
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}".rstrip("_")


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return snake(name).split("_")


def unit_of(name: str) -> str | None:
    """The unit in the name of a number: `wait_seconds`, `Amount ($)`."""
    signs = [unit for sign, unit in _SIGNS.items() if sign in name.lstrip("$")]
    if signs:
        return signs[0]
    # A name that is only `h` or `min` may be a height or a minimum.
    return None if name.lower() in _NO_UNITS else UNITS.get(words_of(name)[-1])


def unit_beside(example: str) -> str | None:
    """The unit beside the digits of a number: `1234.50s`, `€ 12`."""
    beside = "".join(char for char in example if not char.isdigit() and char not in ".,' ")
    return UNITS.get(beside.lower()) or unit_of(beside) if beside else None


def amounts_in(name: str) -> frozenset[str]:
    """The words of a name for amounts: none of `sales_order`."""
    *before, last = words = name.split("_")
    is_unit = last in UNITS or last in SUMS
    qualifying = [w for w in before if is_unit or w not in _ADJECTIVES]
    return frozenset({*qualifying, last} & (SUMS | MONEY)) if words else frozenset()


def free(name: str, used: Container[str]) -> str:
    """A name, with a number if it is used."""
    numbered = (f"{name}_{i}" for i in count(2))
    return next(candidate for candidate in chain((name,), numbered) if candidate not in used)
