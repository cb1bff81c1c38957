"""The fuzz finds nothing in the decoder as it is, and each fault that is planted in it."""

import json
from itertools import islice
from typing import Any

import numpy as np
import pytest

from agent.core.decode import batch, framed_json, json_format, json_search, layout, single_record
from tests.core.decode.fuzz import BY_COLUMNS, FRAMED, ONE_BY_ONE, differences

COUNT = 4_000


def test_the_columns_say_of_each_record_what_a_plain_reading_says() -> None:
    assert list(islice(differences(seed=7, count=COUNT), 3)) == []


def test_a_frame_that_is_cut_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framed_json, "PREFIX_BYTES", 4)
    assert next(differences(seed=7, count=COUNT, sets=FRAMED), None) is not None


def _nothing_wrong(*arguments: Any) -> Any:
    return np.zeros(len(arguments[2]), dtype=np.bool_)


FAULTS: dict[str, tuple[object, str, Any]] = {
    "half a surrogate pair is taken": (json_format, "has_lone_surrogate", lambda _: False),
    "any depth is taken": (json_format, "is_too_deep", lambda _: False),
    "the last of repeated keys counts": (single_record, "_plain", json.JSONDecoder()),
    "every text was a string": (json_format, "all_strings", lambda *_: True),
    "a wrong type is no wrong type": (json_format.JsonFormat, "wrong_types", _nothing_wrong),
    "everything is of its type": (layout.Layout, "is_proven", lambda *_: True),
    "a number out of range is taken": (single_record, "_careful", json.JSONDecoder()),
    "blank records are not seen": (json_format.JsonFormat, "_suspects", lambda *_: []),
    "a record on two lines is cut": (json_search, "_without_breaks", lambda line: line[:40]),
}


def test_duplicate_keys_are_found_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_record, "_plain", json.JSONDecoder())
    assert next(differences(seed=7, count=5 * COUNT, sets=ONE_BY_ONE), None) is not None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, replacement = FAULTS[fault]
    monkeypatch.setattr(place, name, replacement)
    assert next(differences(seed=7, count=5 * COUNT, sets=BY_COLUMNS), None) is not None


def test_bytes_that_are_unpacked_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = property(lambda chunk: b"\n".join(chunk.records))
    monkeypatch.setattr(batch.Chunk, "joined", joined)
    monkeypatch.setattr(json_format.JsonFormat, "_suspects", _only_blank)
    assert next(differences(seed=7, count=COUNT, sets=BY_COLUMNS), None) is not None


def _only_blank(_: object, chunk: batch.Chunk, __: object) -> list[int]:
    return [i for i, record in enumerate(chunk.records) if record.isspace()]


def test_rows_that_are_shifted_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    read = layout.Layout.read

    def shifted(self: layout.Layout, joined: bytes, count: int, *, strict: bool) -> Any:
        frame = read(self, joined, count, strict=strict)
        return frame[[*range(1, count), 0]] if count > 1 else frame

    monkeypatch.setattr(layout.Layout, "read", shifted)
    assert next(differences(seed=7, count=COUNT, sets=BY_COLUMNS), None) is not None
