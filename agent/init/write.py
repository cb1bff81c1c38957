"""The rules as YAML with comments: what was found, what is proposed, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agent.core.model.text import duration
from agent.init.guess import FieldGuess, Guess, KpiGuess

if TYPE_CHECKING:
    from agent.init.proposal import Bound, Proposal

MODELINE = "# yaml-language-server: $schema={schema}"
HEAD = "# A first draft by `kpi-agent init`: read it, and change what you know better."
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def document(
    guesses: Sequence[Guess],
    proposals: Mapping[str, Proposal],
    silences: Mapping[str, Bound],
    owner: str,
    schema: str = "",
) -> str:
    """One YAML file. `proposals` are by KPI, `silences` (ms) by event; `schema`: where editors find
    the JSON Schema."""
    lines = [MODELINE.format(schema=schema), "#"] if schema else []
    lines += [
        "# A first draft by `kpi-agent init`: read it, and change what you know better.",
        "version: 1",
    ]
    if owner:
        lines += ["defaults:", f"  owner: {quoted(owner)}"]
    lines += ["", "events:"]
    for guess in guesses:
        lines += _event(guess)
    lines += ["kpis:"]
    for guess in guesses:
        for kpi in guess.kpis:
            lines += _kpi(guess, kpi, proposals.get(kpi.name))
    rules = [
        line for guess in guesses for line in _rules(guess, proposals, silences.get(guess.event))
    ]
    if rules:
        lines += ["rules:", *rules]
    return "\n".join(lines).rstrip() + "\n"


def quoted(text: str) -> str:
    """A text as YAML, in quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _event(guess: Guess) -> Iterator[str]:
    yield f"  {quoted(guess.event)}:"
    yield _noted(f"    topic: {guess.topic}", guess.notes.get("topic"))
    if guess.type_field != "type":
        yield f"    type_field: {quoted(guess.type_field)}"
    yield _noted(f"    time: {quoted(guess.time)}", guess.notes.get("time"))
    if guess.timezone != "UTC":
        yield f"    timezone: {guess.timezone}"
    if guess.id is not None:
        yield _noted(f"    id: {quoted(guess.id)}", guess.notes.get("id"))
    elif "id" in guess.notes:
        yield f"    # {guess.notes['id']}"
    if guess.lateness_ms:
        yield _noted(f"    lateness: {duration(guess.lateness_ms)}", guess.notes.get("lateness"))
    if guess.fields:
        yield "    fields:"
        yield from (f"      {_field(one)}" for one in guess.fields)
    yield ""


def _field(one: FieldGuess) -> str:
    parts = [f"path: {quoted(one.path)}"] if one.path != one.name else []
    parts.append(f"type: {one.type}")
    parts += ["required: true"] if one.required else []
    parts += [f"minimum: {one.minimum:.15g}"] if one.minimum is not None else []
    parts += [f"unit: {one.unit}"] if one.unit else []
    return f"{one.name}: {{{', '.join(parts)}}}" if len(parts) > 1 else f"{one.name}: {one.type}"


def _kpi(guess: Guess, kpi: KpiGuess, proposal: Proposal | None) -> Iterator[str]:
    yield f"  {kpi.name}:"
    if kpi.unit:
        yield f"    unit: {kpi.unit}"
    if kpi.better != "higher":
        yield f"    better: {kpi.better}"
    yield f"    from: {quoted(guess.event)}"
    yield f"    value: {kpi.value}"
    if guess.by:
        yield _noted(f"    by: [{', '.join(guess.by)}]", guess.notes.get("by"))
    elif "by" in guess.notes and kpi.counts:
        yield f"    # {guess.notes['by']}"
    yield _noted(f"    window: {guess.window}", guess.notes.get("window") if kpi.counts else None)
    if guess.window in ("day", "week") and guess.timezone != "UTC":
        yield f"    timezone: {guess.timezone}"
    if proposal is not None:
        bound = "at_most" if kpi.better == "lower" else "at_least"
        yield "    target:"
        yield _noted(f"      {bound}: {proposal.target.value:.15g}", _proposed(proposal.target))
        if proposal.warn.value != proposal.target.value:
            yield _noted(f"      warn: {proposal.warn.value:.15g}", _proposed(proposal.warn))
    yield ""


def _rules(guess: Guess, proposals: Mapping[str, Proposal], silence: Bound | None) -> Iterator[str]:
    for kpi in guess.kpis:
        proposal = proposals.get(kpi.name)
        if proposal is None:
            continue
        bad, good, word = (">", "<", "high") if kpi.better == "lower" else ("<", ">", "low")
        yield f"  {kpi.name}_{word}:"
        yield f"    kpi: {kpi.name}"
        fire, clear = proposal.fire, proposal.clear
        yield _noted(f"    when: value {bad} {fire.value:.15g}", _proposed(fire))
        yield _noted(f"    clear: value {good} {clear.value:.15g}", _proposed(clear))
        if kpi.value.startswith("count("):
            yield "    min_events: 1  # a window without events is a matter of the silence below"
        yield "    severity: warning"
        yield ""
    counted = next((kpi for kpi in guess.kpis if kpi.counts), None)
    if silence is not None and counted is not None:
        yield f"  {counted.name}_silent:"
        yield f"    kpi: {counted.name}"
        yield _noted(f"    no_data_for: {duration(int(silence.value))}", _proposed(silence))
        yield "    per: kpi"
        yield "    severity: warning"
        yield ""


def _proposed(bound: Bound) -> str:
    return f"proposed: {bound.why}"


def _noted(line: str, note: str | None) -> str:
    return f"{line}  # {note}" if note else line
