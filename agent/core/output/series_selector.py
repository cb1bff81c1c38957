"""Selectors: text that selects series by their dimensions, such as `region=emea,channel=web`.

A value ends at the next comma. In double quotes, as a JSON string, it may contain anything:
`team="R&D, east"`, `team="5\\" screens"`. `null` selects null; the text "null" is `"null"`. Texts
that equal a label of the agent's have a backslash, as in alerts: `team=\\__none__`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions
from agent.core.model.printable import printable
from agent.core.output.messages import label
from agent.errors import RulesError

Selector = Mapping[str, str | None]
"""Dimensions with the selected values, as labels; None selects null."""

_NULL = "null"
_NAME = re.compile(r"\s*([^=,\"]*?)\s*=\s*")
_BARE = re.compile(r"([^,\"]*)(?=,|$)", re.DOTALL)
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")\s*(?=,|$)', re.DOTALL)


def parse_selector(text: str, by: Sequence[str], about: str) -> Selector:
    """Parse a selector; an empty text selects every series.

    Raises RulesError for a name that is not in `by`, and for text that is not `name=value`. `about`
    is for error messages: what has these dimensions.
    """
    selector: dict[str, str | None] = {}
    rest = text
    while rest.strip():
        name, value, length = _pair(rest, by, about)
        if selector.setdefault(name, value) != value:
            raise RulesError(f"{name} is asked for twice", "A series has one value of it.")
        rest = rest[length:]
        if rest and not rest[1:].strip():
            raise RulesError(f"{printable(text)!r} ends with a comma", "Leave it out.")
        rest = rest[1:]
    return selector


def _pair(text: str, by: Sequence[str], about: str) -> tuple[str, str | None, int]:
    """The first dimension of a text, its value, and the number of characters of both."""
    head = _NAME.match(text)
    if head is None or head[1] not in by:
        part, known = text.split(",", maxsplit=1)[0].strip(), ", ".join(by) or "none"
        raise RulesError(
            f"{part!r} is no dimension=value of {about}", f"Its dimensions are: {known}"
        )
    quoted = _QUOTED.match(text, head.end())
    if quoted is not None:
        try:
            return head[1], json.loads(quoted[1], strict=False), quoted.end()
        except ValueError:
            pass
    bare = _BARE.match(text, head.end())
    if quoted is not None or bare is None:
        raise RulesError(
            f"the value of {head[1]} is not quoted as it should be",
            f'Write it as JSON writes text: {head[1]}="R&D, east" or {head[1]}="5\\" screens".',
        )
    value = bare[1].strip()
    return head[1], None if value == _NULL else value, bare.end()


def selects(selector: Selector, by: Sequence[str], dimensions: Dimensions) -> bool:
    """Whether a series has the selected dimensions."""
    values = dict(zip(by, dimensions, strict=True))
    return all(
        name not in values or _is_asked(values[name], asked) for name, asked in selector.items()
    )


def _is_asked(value: Scalar, asked: str | None) -> bool:
    """Whether a value is selected. Null is selected by None, or by its label as in alerts; an empty
    text by an empty text, or by its label."""
    return value is None if asked is None else label(value) == (asked or label(""))


def selector_text(dimensions: Mapping[str, Scalar]) -> str:
    """The selector of a series, as text."""
    return ", ".join(f"{name}={_written(value)}" for name, value in dimensions.items())


def _written(value: Scalar) -> str:
    if value is None:
        return _NULL
    text = label(value)
    plain = text == text.strip() and not set(text) & {",", '"'} and text not in ("", _NULL)
    return text if plain and text == printable(text) else json.dumps(text, ensure_ascii=True)
