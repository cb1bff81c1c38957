"""What names say: words, units, and what they are called in rules."""

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
    "celsius": "celsius", "kwh": "kilowatt_hours",
}  # fmt: skip
"""What the last word of a field's name says about its unit."""
SUMS = frozenset({
    "amount", "total", "revenue", "units", "quantity", "qty", "items", "pieces", "bytes", "eur",
    "usd", "gbp", "chf", "cost", "costs", "count", "sales", "profit", "tax", "fee", "fees",
    "discount", "refund", "volume", "cents", "clicks", "views", "length", "size", "weight",
    "price", "payment", "subtotal", "shipping",
})  # fmt: skip
"""Words in the names of what is added up."""
MEANS = frozenset({
    "mean", "avg", "average", "median", "rate", "ratio", "percent", "pct", "share", "per",
    "balance", "unit", "rank", "score", "rating", "level", "temperature", "value",
})  # fmt: skip
"""Words in the names of what is averaged, whatever else they have."""
MONEY = frozenset({
    "amount", "total", "revenue", "price", "cost", "fee", "tax", "sum", "balance", "payment",
    "discount", "refund", "sales", "profit", "subtotal", "shipping", "value",
})  # fmt: skip
QUANTITIES = frozenset({"quantity", "qty", "count", "units", "pieces"})
IDENTIFIERS = frozenset({
    "id", "ids", "code", "zip", "zipcode", "postcode", "postal", "number", "no", "nr", "key",
    "hash", "index", "idx", "seq", "sequence", "offset", "partition", "position", "pos", "row",
    "version", "revision", "pid", "xid", "xoffset", "gtid", "lsn", "thread", "port", "phone", "lat",
    "lon", "lng", "latitude", "longitude", "year", "month", "day", "weekday", "epoch", "ts",
    "timestamp", "time", "date", "ean", "sku", "isbn", "serial", "account", "status", "state",
})  # fmt: skip
"""Words in the names of numbers that are nothing to count with."""
PEOPLE = frozenset({
    "customer", "user", "account", "client", "member", "rider", "visitor", "patient", "buyer",
    "distinct", "subscriber", "passenger", "guest",
})  # fmt: skip
DURATIONS = frozenset({
    "seconds", "milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days",
})  # fmt: skip
_LETTERS = str.maketrans({
    "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ß": "ss", "ł": "l", "Ł": "L",
})  # fmt: skip
"""Letters that are no others with an accent."""
_SIGNS = {"$": "usd", "€": "eur", "£": "gbp", "%": "percent"}


def snake(text: str) -> str:
    """A name as KPIs and fields are called: `invoice.placedAt` is `invoice_placed_at`."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore")
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain.decode())
    name = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}".rstrip("_")


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return snake(name).split("_")


def unit_of(name: str) -> str | None:
    """The unit that the name of a number says: `wait_seconds`, `Amount ($)`."""
    signs = [unit for sign, unit in _SIGNS.items() if sign in name.lstrip("$")]
    return signs[0] if signs else UNITS.get(words_of(name)[-1])


def free(name: str, used: Container[str]) -> str:
    """A name, numbered where it is taken."""
    numbered = (f"{name}_{i}" for i in count(2))
    return next(candidate for candidate in chain((name,), numbered) if candidate not in used)
