"""Writes the rules as YAML, with comments on findings, proposals and reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent.core.model.events import REGISTRY, Envelope, InnerText
from agent.core.model.field_types import DEFAULT_SCALE
from agent.core.model.paths import path_text
from agent.core.model.printable import printable
from agent.core.model.text import duration
from agent.init.drafted import Encoding, EventDraft, TimeDraft
from agent.init.fields import FieldDraft
from agent.init.measures import KpiDraft
from agent.init.places import quoted, written
from agent.init.proposal import Bound, Proposal

MODELINE = "# yaml-language-server: $schema={schema}"
MOST_LEFT_OUT = 20
"""Comments on what is left out, for each event."""


def document(
    drafts: Sequence[EventDraft],
    proposals: Mapping[str, Proposal],
    silences: Mapping[str, Bound],
    owner: str,
    schema: str = "",
) -> str:
    """One YAML file. `proposals`: by KPI; `silences` (ms): by event; `schema`: the path of the JSON
    Schema for editors."""
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


def _event(draft: EventDraft) -> Iterator[str]:
    yield f"  {quoted(draft.event)}:"
    topics = _one_or_list(list(map(quoted, draft.topics)))
    yield _noted(f"    topic: {topics}", draft.notes.get("topic"))
    yield from _encoding(draft.encoding)
    if draft.envelope is not None:
        yield f"    envelope: {_envelope(draft.envelope)}"
    if draft.decode:
        inner = ", ".join(_inner(text) for text in draft.decode)
        yield _noted(f"    decode: {{{inner}}}", draft.notes.get("decode"))
    yield from _type(draft)
    if draft.each is not None:
        yield f"    each: {quoted(path_text(draft.each))}"
    if draft.times:
        times = [_time(time) for time in draft.times]
        yield _noted(f"    time: {_one_or_list(times)}", draft.notes.get("time"))
    if draft.timezone != "UTC":
        yield f"    timezone: {quoted(draft.timezone)}"
    if draft.ids:
        ids = [written(path) or "" for path in draft.ids]
        yield _noted(f"    id: {_one_or_list(ids)}", draft.notes.get("id"))
    elif "id" in draft.notes:
        yield f"    # {draft.notes['id']}"
    if draft.lateness_ms:
        yield _noted(f"    lateness: {duration(draft.lateness_ms)}", draft.notes.get("lateness"))
    if draft.fields:
        yield "    fields:"
        yield from (f"      {_field(field)}" for field in draft.fields)
    yield from _left_out(draft)
    yield ""


def _encoding(encoding: Encoding) -> Iterator[str]:
    """The encoding of the records, if they are not plain JSON."""
    if encoding.format != "json":
        yield f"    format: {encoding.format}"
    if encoding.schema != (None if encoding.format == "json" else REGISTRY):
        yield f"    schema: {quoted(encoding.schema or '')}"
    if encoding.subject is not None:
        yield f"    subject: {quoted(encoding.subject)}"


def _type(draft: EventDraft) -> Iterator[str]:
    """The path of the type, unless it follows from the envelope, or is `type`."""
    usual = {"cloudevents": "{envelope: type}", "debezium": "none"}
    path = "none" if draft.type_field is None else written(draft.type_field)
    if path != (usual.get(draft.envelope.name, "type") if draft.envelope else "type"):
        yield f"    type_field: {path}"
    if draft.type not in (None, draft.event) and draft.type_field is not None:
        yield f"    type: {quoted(draft.type or '')}"


def _envelope(envelope: Envelope) -> str:
    return f"{{{envelope.name}: {written(envelope.path)}}}" if envelope.path else envelope.name


def _inner(text: InnerText) -> str:
    words = " ".join(text.codings)
    coding = f"{words}({text.scale})" if text.codings[-1] == "decimal" else words
    return f"{written(text.path)}: {coding}"


def _time(time: TimeDraft) -> str:
    path = written(time.path) or ""
    parts = [f"path: {path}"]
    parts += [f"time_of_day: {written(time.time_of_day)}"] if time.time_of_day else []
    parts += [f"format: {quoted(time.format)}"] if time.format is not None else []
    if len(parts) > 1:
        return f"{{{', '.join(parts)}}}"
    return f"{{path: {path}}}" if path.startswith("[") else path


def _one_or_list(items: Sequence[str]) -> str:
    is_one = len(items) == 1 and not items[0].startswith("[")
    return items[0] if is_one else f"[{', '.join(items)}]"


def _left_out(draft: EventDraft) -> Iterator[str]:
    """Comments on parts without a field or KPI, and why."""
    for path, reason in list(draft.left_out.items())[:MOST_LEFT_OUT]:
        yield f"    # left out: {printable(path)}: {printable(reason)}"
    more = len(draft.left_out) - MOST_LEFT_OUT
    if more > 0:
        yield f"    # and {more} more"


def _field(draft: FieldDraft) -> str:
    parts = [f"path: {written(draft.path)}"] if draft.path != (draft.name,) else []
    parts.append(f"type: {quoted(draft.type) if draft.type[-1] != ']' else f'[{draft.type[:-2]}]'}")
    parts += [f"scale: {draft.scale}"] if draft.scale not in (None, DEFAULT_SCALE) else []
    parts += [f"read: {quoted(draft.read)}"] if draft.read else []
    parts += [f"format: {quoted(draft.format)}"] if draft.format else []
    parts += [f"unit: {unit}"] if (unit := draft.epoch or draft.unit) else []
    parts += ["required: true"] if draft.required else []
    parts += [f"enum: [{', '.join(map(quoted, draft.values))}]"] if draft.values else []
    return (
        f"{draft.name}: {{{', '.join(parts)}}}"
        if len(parts) > 1
        else f"{draft.name}: {parts[0][6:]}"
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
