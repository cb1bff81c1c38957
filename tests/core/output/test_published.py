"""What is published of windows, from the messages of the values topic."""

from __future__ import annotations

from msgspec import structs

from agent.core.model.kpis import Target
from agent.core.model.results import TargetState, TargetStatus, WindowValue
from agent.core.output.messages import (
    correction_json,
    dumps,
    target_json,
    window_json,
)
from agent.core.output.value_messages import PublishedWindows, read_value, window_key
from tests.core.small_plans import kpi

KPI = kpi()
FIRST = WindowValue("response_time", ("a",), 0, 60_000, 5.0, 2)
CORRECTED = structs.replace(FIRST, value=6.0, events=3)


def plain(window: WindowValue) -> bytes:
    return dumps(window_json(KPI, window))


def correction(window: WindowValue, before: WindowValue | None) -> bytes:
    return dumps(correction_json(window_json(KPI, window), before, 1_800_000_000_000))


def published(*messages: bytes) -> PublishedWindows:
    made = PublishedWindows()
    for message in messages:
        made.add(read_value(message))
    return made


def value_of(*messages: bytes) -> object:
    return published(*messages).windows("response_time")[window_key(FIRST)].value


def test_the_last_message_of_a_window_counts() -> None:
    assert value_of(plain(FIRST), plain(FIRST)) == 5.0
    assert value_of(plain(FIRST), correction(CORRECTED, FIRST)) == 6.0


def test_a_repeat_of_what_was_corrected_undoes_no_correction() -> None:
    again = structs.replace(FIRST, value=7.0, events=4)
    corrected = [correction(CORRECTED, FIRST), correction(again, CORRECTED)]
    assert value_of(plain(FIRST), *corrected, plain(FIRST)) == 7.0
    assert value_of(plain(FIRST), *corrected, plain(CORRECTED)) == 7.0


def test_a_window_says_what_its_last_correction_replaced() -> None:
    corrected = published(plain(FIRST), correction(CORRECTED, FIRST), plain(FIRST))
    assert corrected.corrected(window_key(FIRST)) == (5.0, 2)
    assert published(plain(FIRST)).corrected(window_key(FIRST)) is None


def test_a_window_that_is_published_anew_with_another_value_counts() -> None:
    redefined = structs.replace(FIRST, value=8.0)
    assert value_of(plain(FIRST), correction(CORRECTED, FIRST), plain(redefined)) == 8.0


def test_the_correction_of_a_missing_window_replaces_nothing() -> None:
    assert value_of(correction(FIRST, None), plain(CORRECTED)) == 6.0


def test_target_states_are_corrected_as_their_windows_are() -> None:
    target = Target(at_most=5.5)
    met = TargetStatus(FIRST, TargetState.MET, None, 1.0, target)
    missed = TargetStatus(CORRECTED, TargetState.MISSED, None, 0.9, target)
    corrected = dumps(correction_json(target_json(KPI, missed), FIRST, 1_800_000_000_000))
    old = dumps(target_json(KPI, met))
    assert published(old, corrected, old).status(window_key(FIRST)) == missed
