"""One YAML file, read with the place of every key and value.

YAML is composed into nodes and never constructed into objects, so no tag can run anything. Plain
scalars follow YAML 1.2, as editors do: `on`, `yes` and `no` are text, and so are dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from agent.spec.problems import Importance, Problem

Place = tuple[str | int, ...]
"""A path in the document: `("kpis", "orders", "by", 0)`."""

On = Literal["key", "value"]

MOST_NODES = 100_000
"""Values in one file, aliases followed: stops aliases of aliases from filling the memory."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; resolves plain scalars as YAML 1.2's core schema does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_NULL, _BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_FLOAT_PATTERN = (
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
for _tag, _pattern, _first in (
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (_INT, r"[-+]?[0-9]+", list("-+0123456789")),
    (_FLOAT, _FLOAT_PATTERN, list("-+0123456789.")),
    (_MERGE, r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a line: line and columns from 1, `end_column` exclusive."""

    line: int
    column: int
    end_column: int


@dataclass(slots=True)
class Source:
    """A file as data, with the place of everything in it. `data` is None after a syntax error."""

    name: str
    text: str
    data: Any = None
    keys: dict[Place, Span] = field(default_factory=dict)
    nodes: dict[Place, yaml.Node] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def locate(self, place: Place, on: On = "value") -> Span:
        """The span of a key or value, or of the nearest thing around it that is written."""
        while place:
            if on == "key" and place in self.keys:
                return self.keys[place]
            if place in self.nodes:
                node = self.nodes[place]
                start, end = node.start_mark, node.end_mark
                # Of a block only the first line would be underlined: its key says more.
                if start.line == end.line and start.index < end.index:
                    return self._span(start, end)
                return self.keys.get(place) or self._span(start, end)
            place, on = place[:-1], "key"
        return Span(1, 1, len(self.line(1)) + 1)

    def locate_text(self, place: Place, start: int, end: int) -> Span:
        """The span of characters `start` to `end` of the text that is the value at `place`.

        Exact for every YAML style without escapes, folded and literal blocks included.
        """
        node = self.nodes.get(place)
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            return self.locate(place)
        offsets = _offsets(node, self.text)
        first = offsets[min(max(start, 0), len(offsets) - 1)]
        last = offsets[min(max(end - 1, start, 0), len(offsets) - 1)]
        before = self.text[:first]
        line = before.count("\n") + 1
        column = first - (before.rfind("\n") + 1) + 1
        line_end = len(self.line(line)) + 1
        return Span(line, column, max(column + 1, min(column + last + 1 - first, line_end)))

    def line(self, number: int) -> str:
        """A line's text, numbered from 1; "" beyond the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def problem(
        self,
        span: Span,
        place: Place,
        message: str,
        hint: str | None = None,
        severity: Importance = "error",
    ) -> Problem:
        """A problem at a span of this file."""
        text = self.line(span.line)
        return Problem(
            self.name,
            span.line,
            span.column,
            span.end_column,
            dotted(place),
            message,
            hint,
            severity,
            text,
        )

    def _span(self, start: yaml.Mark, end: yaml.Mark) -> Span:
        line, column = start.line + 1, start.column + 1
        whole = len(self.line(line).rstrip()) + 1
        end_column = end.column + 1 if end.line == start.line else whole
        return Span(line, column, max(end_column, column + 1))


def dotted(place: Place) -> str:
    """A place in words: `kpis.orders.by[0]`."""
    out = ""
    for part in place:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def read(name: str, raw: bytes) -> Source:
    """Read a file's bytes; `name` is how problems call it. Never raises: see `Source.problems`."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        source = Source(name, "")
        message = f"the file is not UTF-8: byte 0x{raw[error.start]:02x}"
        source.problems.append(Problem(name, line, 1, 2, "", message, "save it as UTF-8"))
        return source
    text = text.replace("\r\n", "\n")
    source = Source(name, text, lines=text.split("\n"))
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except RecursionError:
        hint = "no rule needs so many brackets"
        source.problems.append(source.problem(Span(1, 1, 2), (), "nested too deeply", hint))
        return source
    except yaml.YAMLError as error:
        source.problems.append(_syntax_problem(source, error))
        return source
    if node is not None:
        source.data = _Builder(source).build(node, ())
    return source


class _Builder:
    """Turns nodes into plain data, noting the place of each."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = 0
        self.open: list[yaml.Node] = []

    def build(self, node: yaml.Node, place: Place) -> Any:
        self.source.nodes[place] = node
        self.count += 1
        if self.count > MOST_NODES or node in self.open:
            if self.count <= MOST_NODES + 1:
                self._refuse(node, place, "an alias that holds itself, or far too many values")
                self.count = MOST_NODES + 1
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        self.open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*place, i)) for i, item in enumerate(node.value)]
            return self._mapping(node, place)
        finally:
            self.open.pop()

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        data: dict[str, Any] = {}
        own: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                hint = 'put text that begins with { or [ in quotes: "{{ region }}"'
                self._refuse(key_node, place, "a name must be text", hint)
                continue
            name = key_node.value
            here = (*place, name)
            span = self.source._span(key_node.start_mark, key_node.end_mark)
            if name in own:
                hint = f"it is already given in line {own[name]}; keep one"
                message = f"'{name}' is given twice"
                self.source.problems.append(self.source.problem(span, here, message, hint))
                continue
            own[name] = span.line
            self.source.keys[here] = span
            data[name] = self.build(value_node, here)
        for value_node in merged:
            self._merge(value_node, place, data)
        return data

    def _merge(self, node: yaml.Node, place: Place, data: dict[str, Any]) -> None:
        """`<<: *base`: what `data` doesn't say itself comes from the base, the first base first."""
        bases = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for base in bases:
            if not isinstance(base, yaml.MappingNode):
                self._refuse(node, place, "`<<` takes a mapping", "write `<<: *name`")
                continue
            if base in self.open:
                self._refuse(node, place, "an alias that holds itself, or far too many values")
                continue
            for key_node, value_node in base.value:
                if key_node.tag == _MERGE:
                    self.open.append(base)
                    self._merge(value_node, place, data)
                    self.open.pop()
                elif isinstance(key_node, yaml.ScalarNode) and key_node.value not in data:
                    here = (*place, key_node.value)
                    span = self.source._span(key_node.start_mark, key_node.end_mark)
                    self.source.keys[here] = span
                    data[key_node.value] = self.build(value_node, here)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        tag, value = node.tag, node.value
        if tag == _TEXT:
            return value
        if tag == _NULL:
            return None
        if tag == _BOOL:
            return value.lower() == "true"
        if tag == _INT:
            # Longer numbers are slow to read, and no number of a rule needs them.
            return int(value) if len(value) < 400 else float(value)
        if tag == _FLOAT:
            return float(value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if tag == _MERGE:
            return value
        self._refuse(
            node, place, f"the tag {tag} is not supported", "write plain YAML, without `!`"
        )
        return None

    def _refuse(self, node: yaml.Node, place: Place, message: str, hint: str | None = None) -> None:
        span = self.source._span(node.start_mark, node.end_mark)
        self.source.problems.append(self.source.problem(span, place, message, hint))


def _offsets(node: yaml.ScalarNode, text: str) -> list[int]:
    """For each character of the value, its index in the file.

    Every style keeps the visible characters in their order, so each is looked for after the last.
    """
    at, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        at = text.index("\n", at) + 1
    elif node.style in ("'", '"'):
        at += 1
    found: list[int] = []
    for character in node.value:
        if character.isspace():
            found.append(at)
            if at < end and text[at] == character:
                at += 1
            continue
        seen = text.find(character, at, end)
        if seen < 0:
            found.append(at)
            continue
        found.append(seen)
        at = seen + 1
    return found


_SYNTAX: tuple[tuple[str, str, str], ...] = (
    (
        r"found character '\\t'",
        "a tab where YAML wants spaces",
        "indent with spaces",
    ),
    (
        r"mapping values are not allowed",
        "a second ': ' in one line, or a line that is indented too far",
        "put text that holds ': ' in quotes",
    ),
    (
        r"expected a single document",
        "a second document in the file",
        "take the line `---` out, or split the file",
    ),
    (
        r"found undefined alias|found undefined",
        "an alias without its anchor",
        "an anchor (&name) must stand before its alias (*name); text that begins with * needs quotes",
    ),
    (
        r"could not find expected ':'",
        "a line without ': '",
        "write `name: value`; is the line above indented as it should be?",
    ),
    (
        r"expected <block end>|expected the node content|while parsing a block",
        "the indentation, or a bracket, does not fit what is above",
        "give everything on one level the same indentation; put text that begins with { [ * & ! % @ in quotes",
    ),
    (
        r"expected ',' or|while parsing a flow",
        "a bracket or a comma is missing",
        "every { needs a }, every [ a ], and a comma stands between two values",
    ),
    (
        r"unexpected end of stream|found unexpected end",
        "a quote is not closed",
        "every quote needs its partner",
    ),
    (
        r"cannot start any token",
        "a character that can not begin a value",
        "put the value in quotes",
    ),
    (
        r"special characters are not allowed",
        "a control character",
        "remove it",
    ),
)


def _syntax_problem(source: Source, error: yaml.YAMLError) -> Problem:
    said = str(error)
    line, column = 1, 1
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            line, column = mark.line + 1, mark.column + 1
    elif isinstance(error, yaml.reader.ReaderError):
        before = source.text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
    if line > 1 and not source.line(line).strip():
        # The end of the file: the last line that says something is where to look.
        line = next((n for n in range(line, 0, -1) if source.line(n).strip()), line)
        column = len(source.line(line))
    for pattern, message, hint in _SYNTAX:
        if re.search(pattern, said):
            return source.problem(Span(line, column, column + 1), (), f"not YAML: {message}", hint)
    plain = getattr(error, "problem", None) or said.splitlines()[0]
    return source.problem(Span(line, column, column + 1), (), f"not YAML: {plain}")
