"""The rules as YAML with comments: what was found, what is proposed, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agent.core.model.printable import printable
from agent.core.model.text import duration
from agent.init.inference import OF_ENVELOPE, EventDraft
from agent.init.measures import FieldDraft, KpiDraft

if TYPE_CHECKING:
    from agent.init.proposal import Bound, Proposal

MODELINE = "# yaml-language-server: $schema={schema}"
MOST_LEFT_OUT = 20
"""Comments on what is left out, of one event."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|\d+[a-z]+( every \d+[a-z]+)?")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def document(
    drafts: Sequence[EventDraft],
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
    for draft in drafts:
        lines += _event(draft)
    lines += ["kpis:"]
    for draft in drafts:
        for kpi in draft.kpis:
            lines += _kpi(draft, kpi, proposals.get(kpi.name))
    rules = [
        line for draft in drafts for line in _rules(draft, proposals, silences.get(draft.event))
    ]
    if rules:
        lines += ["rules:", *rules]
    return "\n".join(lines).rstrip() + "\n"


def quoted(text: str) -> str:
    """A text as YAML, in quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else printable(json.dumps(text, ensure_ascii=False))


def _event(draft: EventDraft) -> Iterator[str]:
    yield f"  {quoted(draft.event)}:"
    yield _noted(f"    topic: {quoted(draft.topic)}", draft.notes.get("topic"))
    if draft.envelope is not None:
        yield f"    envelope: {draft.envelope}"
    if draft.type_field not in ("type", OF_ENVELOPE):
        yield f"    type_field: {quoted(draft.type_field)}"
    if draft.time != OF_ENVELOPE:
        yield _noted(f"    time: {quoted(draft.time)}", draft.notes.get("time"))
    if draft.timezone != "UTC":
        yield f"    timezone: {quoted(draft.timezone)}"
    if draft.id is not None:
        paths = draft.id.split(",")
        joined = ", ".join(map(quoted, paths))
        shown = joined if len(paths) == 1 else f"[{joined}]"
        yield _noted(f"    id: {shown}", draft.notes.get("id"))
    elif "id" in draft.notes:
        yield f"    # {draft.notes['id']}"
    if draft.lateness_ms:
        yield _noted(f"    lateness: {duration(draft.lateness_ms)}", draft.notes.get("lateness"))
    if draft.fields:
        yield "    fields:"
        yield from (f"      {_field(field)}" for field in draft.fields)
    yield from _left_out(draft)
    yield ""


def _left_out(draft: EventDraft) -> Iterator[str]:
    """What has no field or KPI, and why."""
    for path, reason in list(draft.left_out.items())[:MOST_LEFT_OUT]:
        yield f"    # left out: {printable(path)}: {printable(reason)}"
    more = len(draft.left_out) - MOST_LEFT_OUT
    if more > 0:
        yield f"    # and {more} more"


def _field(draft: FieldDraft) -> str:
    parts = [f"path: {quoted(draft.path)}"] if draft.path != draft.name else []
    parts.append(f"type: {draft.type}")
    parts += ["read: text"] if draft.is_text else []
    parts += [f"unit: {draft.unit}"] if draft.unit else []
    return (
        f"{draft.name}: {{{', '.join(parts)}}}" if len(parts) > 1 else f"{draft.name}: {draft.type}"
    )


def _kpi(draft: EventDraft, kpi: KpiDraft, proposal: Proposal | None) -> Iterator[str]:
    yield f"  {kpi.name}:"
    if kpi.unit:
        yield f"    unit: {kpi.unit}"
    if kpi.better != "higher":
        yield f"    better: {kpi.better}"
    yield f"    from: {quoted(draft.event)}"
    yield f"    value: {kpi.value}"
    if draft.by:
        yield _noted(f"    by: [{', '.join(map(quoted, draft.by))}]", draft.notes.get("by"))
    elif "by" in draft.notes and kpi.counts:
        yield f"    # {draft.notes['by']}"
    yield _noted(
        f"    window: {quoted(draft.window)}", draft.notes.get("window") if kpi.counts else None
    )
    if draft.window in ("day", "week") and draft.timezone != "UTC":
        yield f"    timezone: {quoted(draft.timezone)}"
    if proposal is not None:
        bound = "at_most" if kpi.better == "lower" else "at_least"
        yield "    target:"
        yield _noted(f"      {bound}: {proposal.target.value:.15g}", _proposed(proposal.target))
        if proposal.warn.value != proposal.target.value:
            yield _noted(f"      warn: {proposal.warn.value:.15g}", _proposed(proposal.warn))
    yield ""


def _rules(
    draft: EventDraft, proposals: Mapping[str, Proposal], silence: Bound | None
) -> Iterator[str]:
    for kpi in draft.kpis:
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
    counted = next((kpi for kpi in draft.kpis if kpi.counts), None)
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
