"""All files of a rule set as one declaration: entries by section and name, with their places."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from agent.core.changes.describe import WORDS
from agent.core.model.events import Schema
from agent.language.error_text import explain
from agent.language.models.events import EventSpec
from agent.language.models.file import SECTIONS, Defaults, FileHead, FileSpec
from agent.language.models.kpis import KpiSpec, ObjectiveSpec
from agent.language.models.lookups import LookupSpec
from agent.language.models.maintenance import MaintenanceSpec
from agent.language.models.rules import RuleSpec
from agent.language.models.values import EventName, Name
from agent.language.problems import Importance, Problem, suggest
from agent.language.recovery import mended, recover, written
from agent.language.source import On, Place, Source, read
from agent.language.sql.expressions import SqlProblem
from agent.language.sql.nulls import refuse_nulls

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

STANDARD_INPUT = "-"
"""The path of rules that are read from standard input."""

_ATTRIBUTES = {"for": "for_", "from": "from_"}
"""The attributes of keys that are keywords of Python."""

_NAMES: dict[str, TypeAdapter[str]] = {
    section: TypeAdapter(EventName if section == "events" else Name) for section in SECTIONS
}


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Generic[M]):
    """A declared event, KPI, rule, …: its model, and its place in a file.

    The model of an entry with errors has what could be read; values at its `holes` are unknown.
    `keys`: the keys as written, where a misspelt one was read as another.
    """

    section: str
    name: str
    source: Source
    model: M
    holes: frozenset[Place] = frozenset()
    keys: Mapping[Place, str] | None = None

    @property
    def place(self) -> Place:
        """Its path in its file."""
        return (self.section, self.name)

    def is_written(self, key: str) -> bool:
        """Whether an optional field of the entry is written, valid or not."""
        given = getattr(self.model, _ATTRIBUTES.get(key, key))
        return (key,) in self.holes or given is not None

    def has_hole(self, *at: str | int) -> bool:
        """Whether a hole is at a place, around it or below it."""
        return any(all(a == b for a, b in zip(hole, at, strict=False)) for hole in self.holes)

    def problem(
        self,
        at: Place,
        message: str,
        hint: str | None = None,
        *,
        on: On = "value",
        severity: Importance = "error",
        chars: tuple[int, int] | None = None,
    ) -> Problem | None:
        """A problem of the entry; `at` is below it, `chars` a span within the text there.

        None inside a hole: its error has been reported.
        """
        inside = at[:-1] if on == "key" else at
        if any(inside[: len(hole)] == hole for hole in self.holes):
            return None
        place = (*self.place, *written(at, self.keys))
        source = self.source
        span = source.locate_text(place, *chars, on) if chars else None
        return source.problem(place, message, hint, on=on, severity=severity, span=span)


@dataclass(slots=True)
class Declared:
    """The declaration of all files. Entries that could not be read are not in the mappings; `names`
    has the names of all entries, so that references to them are not reported as unknown."""

    defaults: Defaults = field(default_factory=lambda: Defaults.model_validate({}))
    events: dict[str, Entry[EventSpec]] = field(default_factory=dict)
    kpis: dict[str, Entry[KpiSpec]] = field(default_factory=dict)
    rules: dict[str, Entry[RuleSpec]] = field(default_factory=dict)
    objectives: dict[str, Entry[ObjectiveSpec]] = field(default_factory=dict)
    maintenance: dict[str, Entry[MaintenanceSpec]] = field(default_factory=dict)
    lookups: dict[str, Entry[LookupSpec]] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)
    """The schema files of events, by event."""
    names: dict[str, dict[str, Source]] = field(default_factory=lambda: {s: {} for s in SECTIONS})
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    """False where a file could not be read: its declarations are unknown."""

    def report(
        self,
        entry: Entry[Any],
        at: Place,
        message: str,
        hint: str | None = None,
        *,
        on: On = "value",
        severity: Importance = "error",
        chars: tuple[int, int] | None = None,
    ) -> None:
        """Add a problem of an entry; see `Entry.problem`."""
        problem = entry.problem(at, message, hint, on=on, severity=severity, chars=chars)
        if problem is not None:
            self.problems.append(problem)

    def check_reference(
        self,
        entry: Entry[Any],
        at: Place,
        section: str,
        name: str,
        hint: str | None = None,
        *,
        on: On = "value",
    ) -> bool:
        """Whether a name is declared in a section; reports it where it is not."""
        if name in self.names[section]:
            return True
        if self.complete:
            singular, many = WORDS[section]
            others = [n for n in self.names[section] if (section, n) != entry.place]
            hint = hint or suggest(name, others, many)
            self.report(entry, at, f"unknown {singular} '{name}'", hint, on=on)
        return False

    def compile_first(
        self, entry: Entry[Any], at: Place, text: str, ways: Iterable[Callable[[str], T]]
    ) -> T | None:
        """SQL compiled in the first way that works; None, and a report, where all fail alike."""
        problems = []
        for compiler in ways:
            try:
                compiled = compiler(text)
                refuse_nulls(text)
                return compiled
            except SqlProblem as problem:
                problems.append(problem)
        if len({(p.message, p.start, p.end) for p in problems}) == 1:
            first = problems[0]
            chars = (first.start, max(first.end, first.start + 1))
            self.report(entry, at, first.message, first.hint, chars=chars)
        return None


def files_of(path: Path) -> list[Path]:
    """The files of rules of a folder tree, sorted; hidden ones and rule tests are left out."""
    if path.is_file():
        return [path]
    return [file for file in yaml_files(path) if not is_test_file(file)]


def yaml_files(folder: Path) -> list[Path]:
    """The YAML files of a folder tree, sorted, without hidden ones."""
    return sorted(
        file
        for pattern in ("*.yaml", "*.yml")
        for file in folder.rglob(pattern)
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def is_test_file(path: Path) -> bool:
    """Whether a file holds rule tests, by its name: they stand beside the rules."""
    return path.name.endswith(("_test.yaml", "_test.yml"))


def declare(path: Path) -> Declared:
    """Read and validate every file under a path, each entry by itself; `-` is standard input."""
    declared = Declared()
    if str(path) == STANDARD_INPUT:
        return _declare_sources(declared, [read("<stdin>", sys.stdin.buffer.read())], "<stdin>")
    files = files_of(path) if path.exists() else []
    if path.is_file() and is_test_file(path):
        hint = f"run them: kpi-agent test {path}"
        message = "a file of rule tests, not of rules"
        declared.problems.append(Problem(str(path), 1, 1, 2, "", message, hint))
        return declared
    if not files:
        declared.problems.append(_nothing(path))
        return declared
    sources = []
    for file in files:
        try:
            sources.append(read(str(file), file.read_bytes()))
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            declared.problems.append(
                Problem(str(file), 1, 1, 2, "", message, "look at its permissions")
            )
            declared.complete = False
    return _declare_sources(declared, sources, str(files[0]) if path.is_file() else str(path))


def zone_of(declared: Declared, written: str | None) -> str:
    """A time zone as written; else that of the defaults, or UTC."""
    return written or declared.defaults.timezone or "UTC"


def _declare_sources(declared: Declared, sources: Sequence[Source], name: str) -> Declared:
    for source in sources:
        declared.problems.extend(source.problems)
        declared.complete = declared.complete and (source.data is not None or not source.problems)
        _declare_file(declared, source)
    _defaults(declared, sources)
    unread = any(p.severity == "error" for p in declared.problems)
    if not declared.names["kpis"] and not unread:
        hint = "declare one under `kpis:`; `kpi-agent schema` describes the language"
        declared.problems.append(Problem(name, 1, 1, 2, "", "no KPI is declared", hint))
    return declared


def _nothing(path: Path) -> Problem:
    if not path.exists():
        return Problem(str(path), 1, 1, 2, "", "no such file or folder", "is the path right?")
    hint = "rules are YAML files (*.yaml, *.yml) anywhere below this folder"
    return Problem(str(path), 1, 1, 2, "", "no YAML file in this folder", hint)


def _declare_file(declared: Declared, source: Source) -> None:
    data = source.data
    if data is None:
        return
    if not isinstance(data, dict):
        hint = f"write sections: {', '.join(SECTIONS)}"
        declared.problems.append(source.problem((), "should be a mapping", hint))
        return
    head = {}
    for key, value in data.items():
        if key in SECTIONS:
            _declare_section(declared, source, key, value)
        elif not key.startswith("x-"):  # x-…: a place for anchors
            head[key] = value
            # The names under a misspelt section must not be reported as unknown.
            declared.complete = declared.complete and key in FileSpec.model_fields
    head.pop("defaults", None)
    _validate(declared, source, FileHead, head, (), FileSpec)


def _declare_section(declared: Declared, source: Source, section: str, data: Any) -> None:
    if data is None:
        return
    if not isinstance(data, dict):
        declared.problems.append(source.problem((section,), "should be a mapping (name: …)"))
        return
    entries: dict[str, Entry[Any]] = getattr(declared, section)
    for name, value in data.items():
        place = (section, name)
        other = declared.names[section].get(name)
        if other is not None:
            _report_duplicate(declared, place, other, source)
            continue
        declared.names[section][name] = source
        _check_name(declared, source, place)
        whole = _mended(declared, source, value, place)
        recovered = recover(SECTIONS[section], whole)
        for at, on, message, hint in recovered.mistakes:
            declared.problems.append(source.problem((*place, *at), message, hint, on=on))
        nulls = frozenset(_report_nulls(declared, source, whole, place))
        if recovered.model is not None:
            holes = recovered.holes | nulls
            entries[name] = Entry(section, name, source, recovered.model, holes, recovered.keys)


def _mended(declared: Declared, source: Source, value: Any, place: Place) -> Any:
    """An entry without texts that a comma has cut, which are reported."""
    whole, cuts = mended(value)
    for at, text in cuts:
        message = "a comma inside { } ends the value"
        hint = f"put it in quotes: `{at[-1]}: {json.dumps(text, ensure_ascii=False)}`"
        declared.problems.append(source.problem((*place, *at), message, hint))
    return whole


def _check_name(declared: Declared, source: Source, place: tuple[str, str]) -> None:
    """Report what is wrong with an entry's name."""
    try:
        _NAMES[place[0]].validate_python(place[1])
    except ValidationError as error:
        for _, _, message, hint in explain(error, FileSpec, place):
            declared.problems.append(source.problem(place, message, hint, on="key"))


def _report_nulls(declared: Declared, source: Source, data: Any, place: Place) -> Iterator[Place]:
    """Report keys without a value (`owner:`), which are mostly unfinished; yields their places
    below the entry."""
    children: Iterable[tuple[str | int, Any]] = ()
    if isinstance(data, dict):
        children = data.items()
    elif isinstance(data, list):
        children = enumerate(data)
    for key, value in children:
        at = (*place, key)
        if key == "match":
            continue  # null is a dimension's value like any other
        if value is None:
            message, hint = f"'{key}' has no value", "give it one, or leave it out"
            declared.problems.append(source.problem(at, message, hint))
            yield at[2:]
        yield from _report_nulls(declared, source, value, at)


def _report_duplicate(declared: Declared, place: Place, first: Source, second: Source) -> None:
    """Report a name that is declared twice, at both places."""
    for here, there in ((first, second), (second, first)):
        other = there.locate(place, "key")
        message = f"'{place[-1]}' is also declared in {there.name}:{other.line}:{other.column}"
        hint = "keep one, or rename one"
        declared.problems.append(here.problem(place, message, hint, on="key"))


def _validate(
    declared: Declared,
    source: Source,
    model: type[BaseModel],
    data: Any,
    place: Place,
    whole: type[BaseModel] | None = None,
) -> Any:
    """The validated model; None, and reports, where it is invalid. Hints name the fields of
    `whole`, which the model is a part of."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for at, on, message, hint in explain(error, whole or model, place):
            declared.problems.append(source.problem(at, message, hint, on=on))
        return None


def _defaults(declared: Declared, sources: Iterable[Source]) -> None:
    defaults: list[tuple[Source, Defaults]] = []
    for source in sources:
        if not isinstance(source.data, dict) or source.data.get("defaults") is None:
            continue
        model = _validate(declared, source, Defaults, source.data["defaults"], ("defaults",))
        if model is not None:
            defaults.append((source, model))
    for source, model in defaults[1:]:
        first, kept = defaults[0]
        if model != kept:
            at = first.locate(("defaults",), "key")
            message = f"other defaults than in {first.name}:{at.line}:{at.column}"
            hint = "defaults hold for all files: keep them in one"
            declared.problems.append(source.problem(("defaults",), message, hint, on="key"))
    if defaults:
        declared.defaults = defaults[0][1]
