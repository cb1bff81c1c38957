"""A draft: an event type, with its fields and KPIs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from agent.core.model.events import Envelope, InnerText
from agent.core.model.paths import Elements, Path, Root
from agent.init.fields import FieldDraft
from agent.init.measures import KpiDraft
from agent.init.naming import free
from agent.language.models.values import EventName, WindowText

_EVENT_NAME: TypeAdapter[str] = TypeAdapter(EventName)
_WINDOW: TypeAdapter[object] = TypeAdapter(WindowText)


@dataclass(frozen=True, slots=True)
class TimeDraft:
    """The path of an event's time, its format, if it needs one, and the path of the time of day, if
    that of the time has only the date."""

    path: Path
    format: str | None = None
    time_of_day: Path | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """The format of a topic's records. `schema`: as in rules, None for plain JSON; `subject`: of
    the registry, unless it follows from the topic's name."""

    format: str = "json"
    schema: str | None = None
    subject: str | None = None


@dataclass(slots=True)
class EventDraft:
    """An event type with its KPIs.

    `type_field` None: all events of the topic have this type; `type`: its value, if it is not the
    event's name. `times` and `ids` are empty if they follow from the envelope, or there are none.
    `notes`: comments that explain parts of the draft; `left_out`: by path, why a part of the events
    has no field or KPI.
    """

    event: str
    topics: Sequence[str]
    type_field: Path | None
    times: Sequence[TimeDraft] = ()
    type: str | None = None
    timezone: str = "UTC"
    ids: Sequence[Path] = ()
    lateness_ms: int = 0
    fields: list[FieldDraft] = field(default_factory=list)
    kpis: list[KpiDraft] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    window: str = "1h"
    notes: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    envelope: Envelope | None = None
    decode: Sequence[InnerText] = ()
    each: Path | None = None
    encoding: Encoding = Encoding()

    def slice_ms(self) -> int:
        """The slice in which the events of its KPIs are counted, in ms."""
        try:
            window = _WINDOW.validate_python(self.window)
        except ValidationError:
            return 0  # refused by the check
        return int(window.compile(self.timezone).slice_ms)  # type: ignore[attr-defined]


def as_list(draft: EventDraft) -> EventDraft:
    """A draft of lines as one of events in a list, each with a verdict of its own."""
    begin = (*(draft.each or ()), Elements())

    def inside(path: Path) -> Path:
        if path[: len(begin)] == begin:
            return path[len(begin) :]
        return path if isinstance(path[0], Root) else (Root("envelope"), *path)

    return replace(
        draft,
        each=None,
        envelope=Envelope("list", draft.each or ()),
        type_field=None if draft.type_field is None else inside(draft.type_field),
        times=[
            replace(
                time,
                path=inside(time.path),
                time_of_day=None if time.time_of_day is None else inside(time.time_of_day),
            )
            for time in draft.times
        ],
        fields=[replace(field, path=inside(field.path)) for field in draft.fields],
    )


def with_own_names(drafts: Sequence[EventDraft]) -> list[EventDraft]:
    """The drafts with unique names of KPIs: types such as `order.paid` and `order-paid` would both
    have the prefix `order_paid`."""
    used: set[str] = set()
    renamed = []
    for draft in drafts:
        kpis = []
        for kpi in draft.kpis:
            kpis.append(replace(kpi, name=free(kpi.name, used)))
            used.add(kpis[-1].name)
        renamed.append(replace(draft, kpis=kpis))
    return renamed


def is_event_name(name: str) -> bool:
    """Whether rules allow a name for an event."""
    try:
        _EVENT_NAME.validate_python(name)
    except ValidationError:
        return False
    return True
