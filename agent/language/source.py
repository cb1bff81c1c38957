"""Reads a YAML file with the position of every key and value.

YAML is composed into nodes and never constructed into objects, so no tag can run anything. Plain
scalars follow YAML 1.2, as editors do: `on`, `yes` and `no` are text, and so are dates. libyaml
parses, six times as fast as PyYAML's own parser, which explains what libyaml refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from agent.language.problems import Importance, Problem
from agent.language.syntax import explain_syntax

Place = tuple[str | int, ...]
"""A path in the document: `("kpis", "orders", "by", 0)`."""

On = Literal["key", "value"]

MOST_NODES = 100_000
"""Values in one file, aliases and merges (`<<`) followed: a limit to memory and time for nested
aliases and merges ("billion laughs")."""

DEEPEST = 64
"""Levels of nested values, aliases and merges followed: they are walked recursively."""


class _Resolver(Resolver):
    """Resolves plain scalars as YAML 1.2's core schema does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


class _Loader(_Resolver, yaml.SafeLoader):
    """PyYAML's own parser."""


_NULL, _BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_FLOAT_PATTERN = (
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
for _tag, _pattern, _first in (
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # Beyond the core schema: thousands may be set apart, as in 1_000_000.
    (_INT, r"[-+]?[0-9]+|[-+]?[0-9]{1,3}(_[0-9]{3})+", list("-+0123456789")),
    (_FLOAT, _FLOAT_PATTERN, list("-+0123456789.")),
    (_MERGE, r"<<", ["<"]),
):
    _Resolver.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


if yaml.__with_libyaml__:

    class _FastLoader(Composer, _Resolver, yaml.CSafeLoader):
        """libyaml's parser. Composed in Python, where too many levels are a RecursionError."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            Composer.__init__(self)


_DISPUTED = re.compile(r"[\t\ufeff]|[^\n]\Z")
"""Texts for which libyaml's positions or errors differ: it allows a tab within a text, counts a
byte order mark as a column, and lets a block end in the line after the last."""

_COLLECTIONS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


def _shown(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _integer(text: str) -> int | float:
    # Python refuses to read integers of thousands of digits; no number of a rule needs them.
    return int(text) if len(text) < 400 else float(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_READERS: Mapping[str, Callable[[str], Any]] = {
    _TEXT: str,
    _MERGE: str,
    _NULL: lambda text: None,
    _BOOL: lambda text: text.lower() == "true",
    _INT: _integer,
    _FLOAT: _float,
}


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a line: line and columns from 1, `end_column` exclusive."""

    line: int
    column: int
    end_column: int


@dataclass(slots=True)
class Source:
    """A file as data, with the positions of its keys and values. `data` is None after a syntax
    error."""

    name: str
    text: str
    data: Any = None
    keys: dict[Place, Span] = field(default_factory=dict)
    nodes: dict[Place, yaml.Node] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def locate(self, place: Place, on: On = "value") -> Span:
        """The span of a key or value; of the nearest one around it, where it is not written."""
        while place:
            if on == "key" and place in self.keys:
                return self.keys[place]
            if place in self.nodes:
                node = self.nodes[place]
                start, end = node.start_mark, node.end_mark
                # Of a block, only the first line could be underlined: underline its key instead.
                if start.line == end.line and start.index < end.index:
                    return self._span(start, end)
                return self.keys.get(place) or self._span(start, end)
            place, on = place[:-1], "key"
        return Span(1, 1, len(self.line(1)) + 1)

    def locate_text(self, place: Place, start: int, end: int, on: On = "value") -> Span:
        """The span of characters `start` to `end` of the text that is the value or key at a place.

        Exact for every YAML style without escapes, folded and literal blocks included; of keys only
        for those without quotes.
        """
        if on == "key" and place in self.keys:
            key = self.keys[place]
            whole = str(place[-1])
            if self.line(key.line)[key.column - 1 :].startswith(whole):
                return Span(key.line, key.column + start, key.column + max(end, start + 1))
            return key
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
        place: Place,
        message: str,
        hint: str | None = None,
        *,
        on: On = "value",
        severity: Importance = "error",
        span: Span | None = None,
    ) -> Problem:
        """A problem at a place of this file; `span`: where, if it is not the whole key or value."""
        span = span or self.locate(place, on)
        return Problem(
            self.name,
            span.line,
            span.column,
            span.end_column,
            dotted(place),
            message,
            hint,
            severity,
            self.line(span.line),
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
        node = _compose(text)
    except RecursionError:
        why = "no rule needs so many brackets"
        source.problems.append(source.problem((), "nested too deeply", why, span=Span(1, 1, 2)))
        return source
    except yaml.YAMLError as error:
        line, column, message, hint = explain_syntax(error, text)
        if line > 1 and not source.line(line).strip():
            # The end of the file: report the last line that is not empty.
            line = next((n for n in range(line, 0, -1) if source.line(n).strip()), line)
            column = max(1, len(source.line(line)))
        span = Span(line, column, column + 1)
        source.problems.append(source.problem((), f"not YAML: {message}", hint, span=span))
        return source
    if node is not None:
        builder = _Builder(source)
        try:
            source.data = builder.build(node, ())
        except _TooMuch as error:
            problem = source.problem((), error.message, error.hint, span=Span(1, 1, 2))
            source.problems.append(problem)
    return source


def _compose(text: str) -> yaml.Node | None:
    """The root node, with the same places whichever parser reads it. Raises yaml.YAMLError."""
    if yaml.__with_libyaml__ and not _DISPUTED.search(text):
        with suppress(yaml.YAMLError):
            return _FastLoader(text).get_single_node()
    return _Loader(text).get_single_node()


class _TooMuch(Exception):
    """A file with more values, or more levels of them, than are read."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


_WITHIN_ITSELF = "an alias that contains itself"


class _Builder:
    """Turns nodes into plain data, and records the position of each. Raises _TooMuch."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = 0
        self.open: list[yaml.Node] = []

    def _visit(self) -> None:
        """Count a value that is read, by itself, through an alias or in a merge."""
        self.count += 1
        if self.count > MOST_NODES:
            message = f"more than {MOST_NODES:,} values, aliases and merges followed"
            raise _TooMuch(message, "split the file")
        if len(self.open) > DEEPEST:
            message = f"more than {DEEPEST} levels, aliases and merges followed"
            raise _TooMuch(message, "no rule needs so many: write the values instead of the alias")

    def build(self, node: yaml.Node, place: Place) -> Any:
        self.source.nodes[place] = node
        self._visit()
        if node in self.open:
            self._refuse(node, place, _WITHIN_ITSELF, "write the values instead of the alias")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if node.tag not in _COLLECTIONS:
            message = f"the tag {_shown(node.tag)} is not supported"
            self._refuse(node, place, message, "write plain YAML, without `!`")
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
                hint = f"it is already set in line {own[name]}; keep one"
                message = f"'{name}' is given twice"
                self._refuse(key_node, here, message, hint)
                continue
            own[name] = span.line
            self.source.keys[here] = span
            data[name] = self.build(value_node, here)
        for value_node in merged:
            self._merge(value_node, place, data)
        return data

    def _merge(self, node: yaml.Node, place: Place, data: dict[str, Any]) -> None:
        """`<<: *base`: add the keys of the bases that `data` does not have, the first base
        first."""
        bases = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for base in bases:
            self._visit()
            if not isinstance(base, yaml.MappingNode):
                self._refuse(node, place, "`<<` takes a mapping", "write `<<: *name`")
                continue
            if base in self.open:
                self._refuse(node, place, _WITHIN_ITSELF, "write the values instead of the alias")
                continue
            for key_node, value_node in base.value:
                self._visit()
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
        reader = _READERS.get(node.tag)
        if reader is None:
            message = f"the tag {_shown(node.tag)} is not supported"
            self._refuse(node, place, message, "write plain YAML, without `!`")
            return None
        try:
            return reader(node.value)
        except ValueError:  # an explicit tag: `!!int abc`
            self._refuse(node, place, f"'{node.value}' is not what its tag says", "leave it out")
            return None

    def _refuse(self, node: yaml.Node, place: Place, message: str, hint: str | None = None) -> None:
        span = self.source._span(node.start_mark, node.end_mark)
        self.source.problems.append(self.source.problem(place, message, hint, span=span))


def _offsets(node: yaml.ScalarNode, text: str) -> list[int]:
    """For each character of the value, its index in the file.

    Every YAML style keeps the visible characters in order, so each is searched for after the last.
    """
    at, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        at = text.index("\n", at) + 1
    elif node.style in ("'", '"'):
        at += 1
    offsets: list[int] = []
    for character in node.value:
        if character.isspace():
            offsets.append(at)
            if at < end and text[at] == character:
                at += 1
            continue
        seen = text.find(character, at, end)
        if seen < 0:
            offsets.append(at)
            continue
        offsets.append(seen)
        at = seen + 1
    return offsets
