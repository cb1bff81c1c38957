"""Prometheus' text formats, as bytes: text 0.0.4 and OpenMetrics 1.0.0.

The lines of a family are made by the family, and joined in chunks, by a thread (`exposition`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

LINES_PER_CHUNK = 5_000
"""About half a megabyte: joined in a millisecond or two, so that no chunk holds the interpreter."""


def escape_label(text: str) -> str:
    """A label value as both text formats write it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def labels_text(pairs: Iterable[tuple[str, str]]) -> str:
    """`a="x",b="y"`, without braces."""
    return ",".join(f'{name}="{escape_label(value)}"' for name, value in pairs)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its header's words, and its lines as they are made."""

    name: str
    help: str
    lines: Iterable[str]
    unit: str | None = None


def with_labels(lines: Iterable[str], external: Mapping[str, str]) -> Iterator[str]:
    """Samples in either text format, with labels more."""
    added = labels_text(external.items())
    if not added:
        yield from lines
        return
    for line in lines:
        name, brace, rest = line.partition("{")
        if brace and " " not in name:
            yield f"{name}{{{added},{rest}"
        else:
            name, _, rest = line.partition(" ")
            yield f"{name}{{{added}}} {rest}"


def render(
    families: Iterable[Family], *, openmetrics: bool, external: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The families in either text format, in chunks; those without samples are left out.

    `external`: labels that every sample has beside its own.
    """
    for family in families:
        lines = with_labels(family.lines, external) if external else iter(family.lines)
        if chunk := list(islice(lines, LINES_PER_CHUNK)):
            chunk.insert(0, _header(family, openmetrics))
        while chunk:
            yield "".join(chunk).encode()
            chunk = list(islice(lines, LINES_PER_CHUNK))


def _header(family: Family, openmetrics: bool) -> str:
    about = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        about = about.replace('"', '\\"')
    head = f"# HELP {family.name} {about}\n# TYPE {family.name} gauge\n"
    if openmetrics and family.unit and family.name.endswith(f"_{family.unit}"):
        head += f"# UNIT {family.name} {family.unit}\n"
    return head
