"""Prometheus' text formats, as bytes: text 0.0.4 and OpenMetrics 1.0.0.

Families yield lines lazily; a thread joins them in chunks (`exposition`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

LINES_PER_CHUNK = 5_000
"""About half a megabyte: joined in a millisecond or two, so that the GIL is not kept for long."""


def escape_label(text: str) -> str:
    """A label value as both text formats write it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def labels_text(pairs: Iterable[tuple[str, str]]) -> str:
    """`a="x",b="y"`, without braces."""
    return ",".join(f'{name}="{escape_label(value)}"' for name, value in pairs)


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: its name, help text, unit, and lines of samples."""

    name: str
    help: str
    lines: Iterable[str]
    unit: str | None = None


def with_labels(lines: Iterable[str], external: Mapping[str, str]) -> Iterator[str]:
    """Lines of samples in either text format, with external labels added."""
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

    `external`: labels that are added to every sample.
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
