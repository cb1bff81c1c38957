"""The single values of the language: names, durations, windows.

Validators raise `problems.wrong`, whose context may hold a `hint`, which `explain` reads.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from agent.core.model.rules import Flapping, Severity
from agent.language.models import dates, durations
from agent.language.problems import nearest, suggest, wrong

NAME = r"^[a-z][a-z0-9_]*$"
FIELD = r"^[A-Za-z][A-Za-z0-9_]*$"
TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
"""Kafka's own rule for topic names (org.apache.kafka.common.internals.Topic)."""


def form(value: Any) -> str:
    """Which of the forms of a value is written: the tags of the models' unions.

    The tags stand in `<>` so that they are never taken for part of a place.
    """
    if isinstance(value, dict) or hasattr(value, "model_fields_set"):
        return "<mapping>"
    if isinstance(value, list):
        return "<list>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "<number>"
    return "<text>"


def by_form(**types: Any) -> Any:
    """The union of types by the form of what is written: `text`, `number`, `list`, `mapping`."""
    tagged = [Annotated[type_, Tag(f"<{name}>")] for name, type_ in types.items()]
    return Annotated[reduce(operator.or_, tagged), Discriminator(form)]


def mapping_or_text(value: Any) -> str:
    """As `form`, where everything but a mapping is validated as text, with messages of its own."""
    return "<mapping>" if isinstance(value, dict) else "<text>"


def _text(value: str) -> str:
    if not value.strip():
        raise wrong("is empty text", "write something, or leave it out")
    return value


def _matching(pattern: str, what: str, repair: Callable[[str], str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value):
            return value
        fixed = repair(value)
        hint = f"for example '{fixed}'" if re.fullmatch(pattern, fixed) else None
        raise wrong(f"'{value}' is not {what}", hint)

    return check


def _snake(value: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value.strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower().replace("%", "percent")).strip("_0123456789")


def _plain(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", value.strip()).strip("_")


def _topic(value: str) -> str:
    try:
        return _matching(TOPIC, _TOPIC_RULE, lambda v: re.sub(r"[^A-Za-z0-9._-]+", "-", v))(value)
    except PydanticCustomError as cause:
        if re.search(r"[*+?|()\[\]\\^$]", value):
            message = f"'{value}' is not {_TOPIC_RULE}"
            raise wrong(message, f"to match topics by a pattern: {{pattern: '{value}'}}") from cause
        raise


_NAME_RULE = "a name: lower-case letters, digits and _, beginning with a letter"
_UNIT_RULE = (
    "a unit that Prometheus accepts: lower-case letters, digits and _, beginning with a letter"
)
_FIELD_RULE = "a field name: letters, digits and _, beginning with a letter"
_LABEL_RULE = "a label name: letters, digits and _, beginning with a letter"
_TOPIC_RULE = "a topic name: letters, digits, '.', '_' and '-', at most 249"


def _unit_repair(value: str) -> str:
    return {"%": "ratio", "€": "eur", "$": "usd", "£": "gbp"}.get(value.strip(), _snake(value))


def _event_name(value: str) -> str:
    if value != value.strip() or not value or any(ord(c) < 32 for c in value):
        raise wrong(f"'{value}' is not an event name", "leave out the space around it")
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong("should be a duration", "a number and its unit: 30s, 5m, 1h30m, 7d")
    if isinstance(value, int | float) and value != 0:
        raise wrong(f"{value} has no unit", f"write {value}s, {value}m or {value}h")
    try:
        return durations.parse(str(value) if value else "0")
    except ValueError as error:
        raise wrong(str(error), "a number and its unit: 30s, 5m, 1h30m, 7d") from error


def _positive(value: int) -> int:
    if value <= 0:
        raise wrong("must be longer than 0s")
    return value


def _window(value: Any) -> Any:
    if isinstance(value, durations.WindowSpec):
        return value
    if not isinstance(value, str):
        raise wrong(
            "should be a window", "a number and its unit, `5m every 1m`, or day, week, month"
        )
    return durations.parse_window(value)


_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Names in a machine's tables of zones that mean another one on each machine, or none."""


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES


def _zone(value: str) -> str:
    if value in _NO_ZONES or value.startswith(("posix/", "right/")):
        raise wrong(
            f"'{value}' is not the same time zone on every machine",
            "an IANA name, such as Europe/London",
        )
    try:
        ZoneInfo(value)
        return value
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # OSError: the name of a folder of zones, as `Europe`
    cities = {zone.rsplit("/", 1)[-1]: zone for zone in sorted(_zones()) if "/" in zone}
    near = nearest(value, _zones()) or cities.get(nearest(value.replace(" ", "_"), cities) or "")
    hint = f"did you mean '{near}'?" if near else "an IANA name, such as Europe/London"
    raise wrong(f"unknown time zone '{value}'", hint)


def _date(value: Any) -> Any:
    # A year is a number in YAML.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise wrong("should be a date", dates.DATE_HOW)
    dates.first_day(text)
    return text


def _moment(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise wrong("should be a date or a time", "for example 2027-03-06T22:00")
    dates.moment(text)
    return text


def _clock(value: Any) -> Any:
    if not isinstance(value, str):
        raise wrong("should be a time of the day", 'hours and minutes: "02:00", "17:30"')
    dates.clock(value)
    return value


def _days(value: Any) -> Any:
    days = value if isinstance(value, list) else [value]
    if not days:
        raise wrong("is empty")
    for day in days:
        if isinstance(day, bool) or not isinstance(day, int | str):
            raise wrong("should be a day, or a list of days", "sunday, first sunday, 1, 12-24")
        dates.day(day)
    return days


def _country(value: str) -> str:
    # Imported on first use: it takes longer to import than the rest of the language.
    from holidays import country_holidays, list_supported_countries

    country, _, part = value.partition("-")
    try:
        country_holidays(country, subdiv=part or None)
        if country == country.upper():
            return value
    except NotImplementedError:
        pass
    countries = list_supported_countries(include_aliases=False)
    if country in countries:
        raise wrong(
            f"unknown part '{part}' of {country}",
            suggest(part, countries[country], f"parts of {country}"),
        )
    near = country.upper() if country.upper() in countries else None
    hint = f"did you mean '{near}'?" if near else "its ISO 3166 code: GB, NO, US-CA, DE-BY"
    raise wrong(f"unknown country '{country}'", hint)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int | bool):
        return value
    raise wrong("should be text, a whole number, true, false or null")


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+\S*", value):
        raise wrong(f"'{value}' is not a web address", "it begins with https://")
    return value


def _label(value: str) -> str:
    if value.startswith("__"):
        raise wrong(f"'{value}' begins with __, which Prometheus keeps for itself")
    return _matching(FIELD, _LABEL_RULE, _plain)(value)


def _flapping(value: Any) -> Any:
    if isinstance(value, Flapping):
        return value
    match = re.fullmatch(r"(\d+) in (\S+)", value.strip()) if isinstance(value, str) else None
    hint = "how often within which time: 3 in 1h"
    if match is None:
        raise wrong("should be a number of firings and a time", hint)
    within_ms = _positive(_duration(match[2]))
    if int(match[1]) < 2:
        raise wrong("an alert that fires once does not flap", hint)
    return Flapping(int(match[1]), within_ms)


@dataclass(frozen=True, slots=True)
class Slo:
    """A service level objective: the share of good events (0 to 1) over a period (ms)."""

    share: float
    period_ms: int


def _slo(value: Any) -> Any:
    if isinstance(value, Slo):
        return value
    pattern = r"(\d+(?:\.\d+)?)\s*%\s+over\s+(\S+)"
    match = re.fullmatch(pattern, value.strip()) if isinstance(value, str) else None
    hint = "a share and a period: 99.5% over 30d"
    if match is None:
        raise wrong("should be a share over a period", hint)
    share = float(match[1]) / 100
    if not 0 < share < 1:
        raise wrong(f"{match[1]}% leaves no error budget, or nothing else", hint)
    return Slo(share, _positive(_duration(match[2])))


def _shape(value: Any) -> Any:
    if value == "line" or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    match = re.fullmatch(r"last (\d+)", value.strip()) if isinstance(value, str) else None
    if match is None or not 1 <= int(match[1]) <= 12:
        raise wrong("should be `line`, or `last 3`: as the last three periods did")
    return int(match[1])


_Scalar = str | int | bool | None
DimensionValue = Annotated[Any, BeforeValidator(_scalar, json_schema_input_type=_Scalar)]
Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[
    str,
    AfterValidator(_matching(NAME, _NAME_RULE, _snake)),
    Field(json_schema_extra={"pattern": NAME}),
]
Unit = Annotated[
    str,
    AfterValidator(_matching(NAME, _UNIT_RULE, _unit_repair)),
    Field(json_schema_extra={"pattern": NAME}),
]
FieldName = Annotated[
    str,
    AfterValidator(_matching(FIELD, _FIELD_RULE, _plain)),
    Field(json_schema_extra={"pattern": FIELD}),
]
LabelName = Annotated[str, AfterValidator(_label), Field(json_schema_extra={"pattern": FIELD})]
Topic = Annotated[
    str,
    AfterValidator(_topic),
    Field(json_schema_extra={"pattern": TOPIC}),
]
EventName = Annotated[str, AfterValidator(_event_name)]
TimeZone = Annotated[str, AfterValidator(_zone)]
Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"format": "uri"})]
Number = Annotated[float, Field(json_schema_extra={"type": "number"})]

_BENCHMARK = r"kpi\(\s*([a-z][a-z0-9_]*)\s*\)"


def _benchmark(value: str) -> str:
    if re.fullmatch(_BENCHMARK, value.strip()) is None:
        hint = "a number, or another KPI's value: `kpi(team_median)`"
        if share := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *%", value.strip()):
            number = f"{float(share[1]) / 100:.12g}"
            hint = f"write `{number}`, or `{share[1]}` if the KPI's value is in percent"
        raise wrong(f"'{value}' is not a bound", hint)
    return value.strip()


def benchmark_of(bound: object) -> str | None:
    """The KPI that a bound names; None: it is a number, or there is none."""
    match = re.fullmatch(_BENCHMARK, bound) if isinstance(bound, str) else None
    return match[1] if match else None


Benchmark = Annotated[
    str,
    AfterValidator(_benchmark),
    Field(json_schema_extra={"pattern": f"^{_BENCHMARK}$", "examples": ["kpi(team_median)"]}),
]

_DurationText = (
    Annotated[str, Field(pattern=rf"^({durations.PATTERN}|0)$", examples=["5m"])] | Literal[0]
)
Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=_DurationText)]
PositiveDuration = Annotated[
    int, BeforeValidator(_duration, json_schema_input_type=_DurationText), AfterValidator(_positive)
]
_DateText = Annotated[str, Field(pattern=rf"^({dates.DATE})$", examples=["2027-Q1"])]
DateText = Annotated[
    str, BeforeValidator(_date, json_schema_input_type=_DateText | Annotated[int, Field(ge=1900)])
]
_MomentText = Annotated[str, Field(pattern=rf"^({dates.MOMENT})$", examples=["2027-03-06T22:00"])]
MomentText = Annotated[
    str,
    BeforeValidator(_moment, json_schema_input_type=_MomentText | Annotated[int, Field(ge=1900)]),
]
_ClockText = Annotated[str, Field(pattern=f"^{dates.CLOCK}$", examples=["02:00"])]
ClockText = Annotated[str, BeforeValidator(_clock, json_schema_input_type=_ClockText)]
_Day = (
    Annotated[int, Field(ge=1, le=31)]
    | Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    | Annotated[str, Field(pattern=dates.DAY, examples=["first sunday", "12-24"])]
)
OnDays = Annotated[
    list[int | str], BeforeValidator(_days, json_schema_input_type=_Day | list[_Day])
]
Country = Annotated[str, AfterValidator(_country)]
_WindowPattern = Annotated[
    str, Field(pattern=durations.WINDOW_PATTERN, examples=["5m every 1m", "day"])
]
WindowText = Annotated[
    durations.WindowSpec, BeforeValidator(_window, json_schema_input_type=_WindowPattern)
]
_FlappingPattern = Annotated[str, Field(pattern=r"^\d+ in \S+$", examples=["3 in 1h"])]
FlappingText = Annotated[
    Flapping, BeforeValidator(_flapping, json_schema_input_type=_FlappingPattern)
]
_SloPattern = Annotated[
    str, Field(pattern=r"^\d+(\.\d+)?\s*%\s+over\s+\S+$", examples=["99.5% over 30d"])
]
SloText = Annotated[Slo, BeforeValidator(_slo, json_schema_input_type=_SloPattern)]
_ShapePattern = Annotated[str, Field(pattern=r"^(line|last \d+)$", examples=["last 3"])]
Shape = Annotated[
    Literal["line"] | int, BeforeValidator(_shape, json_schema_input_type=_ShapePattern)
]
SeverityTexts = Annotated[dict[Severity, Text], Field(min_length=1)]
SeverityDurations = Annotated[dict[Severity, PositiveDuration], Field(min_length=1)]
