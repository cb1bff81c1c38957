"""Units of the rules as Grafana's ids."""

from __future__ import annotations

from collections.abc import Mapping

SCALED: Mapping[str, str] = {
    "ratio": "percentunit",
    "percent": "percent",
    "milliseconds": "ms",
    "seconds": "s",
    "minutes": "m",
    "hours": "h",
    "days": "d",
    "bytes": "bytes",
    "meters": "lengthm",
    "kilometers": "lengthkm",
    "grams": "massg",
    "kilograms": "masskg",
    "watts": "watt",
    "joules": "joule",
    "celsius": "celsius",
}
"""Units that Grafana scales itself."""

# fmt: off
CURRENCIES = frozenset({
    "brl", "chf", "czk", "dkk", "eur", "gbp", "idr", "inr", "isk", "jpy", "krw",
    "myr", "nok", "php", "pln", "rub", "sek", "try", "uah", "usd", "vnd", "zar",
})
# fmt: on
"""ISO 4217 codes for which Grafana has a currency unit."""


def grafana_unit(unit: str | None) -> str:
    """Grafana's id of a unit; an unknown unit is a suffix of the number."""
    if unit is None:
        return "short"
    if unit in CURRENCIES:
        return f"currency{unit.upper()}"
    return SCALED.get(unit, f"suffix:{unit.replace('_', ' ')}")
