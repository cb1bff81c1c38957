"""Which records name a person, in each of the agent's topics."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from agent.core.erasure import Person, PersonRecords
from agent.core.frame import Block, Frame, encode, series_key
from agent.core.model.events import Scalar
from agent.core.model.results import WindowValue
from agent.core.model.rules import RULE_SUBJECT
from agent.core.output.messages import window_key
from agent.core.output.privacy import NoSecret, Privacy
from agent.core.state.rows import SOURCES_KEY, row_key, topic_key
from tests.core.output.test_privacy import COMPANY, TASKS
from tests.export.invented import plan

SECRETS = ("a new secret of sixteen characters", "the secret that was there before it")
PRIVACY = Privacy(*SECRETS)
ANNA = PersonRecords(COMPANY, Person.of(COMPANY, PRIVACY, "employee", "4711"))

Dimensions = tuple[Scalar, ...]


def frames(kpi: str, *series: Dimensions) -> list[bytes]:
    block = Block(kpi, "f", 0, [series_key(of) for of in series], [bytes(8 * len(series))])
    return list(encode(Frame("tasks", 0, 1, 1, 0, None, 0, True, {}, [block])))


@pytest.mark.parametrize("number", ["4711", 4711])
def test_rows_of_her_series_are_hers_whatever_they_hold(number: Scalar) -> None:
    hers = ("desk", number)
    assert ANNA.has_row(row_key("tasks", hers))
    assert ANNA.has_row(msgspec.msgpack.encode(["tasks", hers, 1_000]))  # closed windows
    assert ANNA.has_row(msgspec.msgpack.encode(["tasks", hers, b"digest", 3]))  # a part
    assert ANNA.has_row(row_key(f"{RULE_SUBJECT}both", hers))


@pytest.mark.parametrize(
    "key",
    [
        row_key("tasks", ("desk", "4712")),
        row_key("tasks", ("4711", "anna")),  # a desk of that number
        row_key("tickets", ("4711",)),
        row_key("tasks", None),
        msgspec.msgpack.encode(["tasks"]),
        topic_key("4711"),
        SOURCES_KEY,
    ],
)
def test_other_rows_are_not_hers(key: bytes) -> None:
    assert not ANNA.has_row(key)


def test_of_a_kpi_that_is_not_declared_any_dimension_may_name_her() -> None:
    assert ANNA.has_row(row_key("gone", ("4711", "desk")))
    assert ANNA.has_row(row_key("tasks", ("eu", "desk", "4711")))  # had another dimension once


def test_her_rows_of_the_board_are_series_and_alerts() -> None:
    encode_json = msgspec.json.encode
    assert ANNA.has_board_row(encode_json(["series", "tasks", ["desk", "4711"]]))
    assert ANNA.has_board_row(encode_json(["alert", "slow", "warning", "tasks", ["desk", "4711"]]))
    assert not ANNA.has_board_row(encode_json(["series", "tasks", ["desk", "4712"]]))
    assert not ANNA.has_board_row(encode_json(["series", "tasks", None]))
    assert not ANNA.has_board_row(encode_json(["worker", "4711"]))


def test_a_frame_with_her_partial_is_found_beside_what_is_no_frame() -> None:
    assert ANNA.has_partial([b"\x00", *frames("tasks", ("desk", "1"), ("desk", "4711"))])
    assert not ANNA.has_partial([b"\x00", *frames("tasks", ("desk", "1"), ("4711", "1"))])


def test_outside_she_is_known_by_every_hash_that_she_has_had() -> None:
    for secret in SECRETS:
        anna = Privacy(secret).pseudonym("employee", "4711")
        assert ANNA.has_output(window_key(TASKS, WindowValue("tasks", ("d", anna), 0, 1, 1.0, 1)))
    other = PRIVACY.pseudonym("employee", "4712")
    assert not ANNA.has_output(window_key(TASKS, WindowValue("tasks", ("d", other), 0, 1, 1.0, 1)))
    assert not ANNA.has_output(None)
    assert not ANNA.has_output(b"no JSON")
    assert not ANNA.has_output(b"[1]")


def test_without_hashes_she_is_known_by_name_and_no_secret_is_needed() -> None:
    named = plan([replace(TASKS, named=True)], [], [])
    anna = PersonRecords(named, Person.of(named, Privacy(), "employee", "4711"))
    assert anna.has_output(window_key(TASKS, WindowValue("tasks", ("d", "4711"), 0, 1, 1.0, 1)))
    with pytest.raises(NoSecret):
        Person.of(COMPANY, Privacy(), "employee", "4711")


def test_in_records_as_they_came_her_name_is_a_word() -> None:
    assert ANNA.has_text([None, b'{"employee": "4711"}'])
    assert ANNA.has_text([b"4711", None])
    assert not ANNA.has_text([b'{"amount": 47110, "at": 14711}', None])
