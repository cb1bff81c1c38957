"""Files of events, as people have them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import EnvironmentFault, KpiAgentError
from agent.replay.event_files import batches_of, event_file

EVENTS = [{"type": "sold", "price": 1.50, "id": 2**63}, {"type": "sold", "note": 'a\n"[{"'}]
LINES = [b'{"type": "sold", "price": 1.50}', b"rubbish", b"", b'{"type": "sold"}']


def records_of(path: Path) -> Iterator[bytes]:
    """The values of a file's records."""
    for records, _ in batches_of(path):
        yield from (value or b"" for value in records.values)


def written(folder: Path, content: bytes) -> Path:
    file = folder / "events.ndjson"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_are_records_however_they_are_packed(
    pack: Any, end: bytes, mark: bytes, tmp_path: Path
) -> None:
    file = written(tmp_path, pack(mark + end.join(LINES) + end))
    assert list(records_of(file)) == LINES


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(EVENTS),
        json.dumps(EVENTS, indent=2),
        "\ufeff \n" + json.dumps(EVENTS, indent=4).replace("\n", "\r\n"),
        "".join(json.dumps(event, indent=2) for event in EVENTS),
        "\n\n".join(json.dumps(event, indent="\t") for event in EVENTS) + "\n",
        "\n".join(json.dumps(event) for event in EVENTS),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_arrays_and_documents_over_several_lines_are_records_too(
    content: str, pack: Any, tmp_path: Path
) -> None:
    records = list(records_of(written(tmp_path, pack(content.encode()))))
    assert [json.loads(record) for record in records] == EVENTS
    assert all(b"\n" not in record for record in records)


def test_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    file = written(tmp_path, b'[\n{"a": 1.10, "b": 12345678901234567890.123}\n]')
    assert list(records_of(file)) == [b'{"a": 1.10, "b": 12345678901234567890.123}']


def test_lines_that_are_arrays_stay_lines(tmp_path: Path) -> None:
    file = written(tmp_path, b"[1, 2]\n[3]\n")
    assert list(records_of(file)) == [b"[1, 2]", b"[3]"]


def test_a_first_line_that_is_cut_costs_itself_only(tmp_path: Path) -> None:
    file = written(tmp_path, b'{"a": 1, "b\n{"a": 2}\n{"a": 3}\n')
    assert list(records_of(file)) == [b'{"a": 1, "b', b'{"a": 2}', b'{"a": 3}']


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x28\xb5\x2f\xfd\x04\x00", "is compressed with zstd"),
        (b"\x04\x22\x4d\x18\x64\x40", "is compressed with lz4"),
        (b"PK\x03\x04\x14\x00", "is a zip archive"),
        (b"PAR1\x15\x04", "is Parquet"),
        (b"Obj\x01\x04\x16", "is Avro"),
        ('{"a": 1}\n'.encode("utf-16"), "is UTF-16"),
        (b'[{"a": 1},\n{"a": 2}\n', "begins as a JSON array, and is none"),
        (gzip.compress(mtime=0, data=b'{"a": 1}\n' * 9)[:-12], "can't be read"),
        (gzip.compress(mtime=0, data=b'{"a": 1}\n' * 9)[:10] + b"\xff" * 9, "can't be read"),
        (b"BZh91AY&SY" + b"\xff" * 9, "can't be read"),
        (lzma.compress(b'{"a": 1}\n' * 9)[:-12], "can't be read"),
    ],
)
def test_formats_that_are_not_read_are_refused_by_name(
    content: bytes, said: str, tmp_path: Path
) -> None:
    file = written(tmp_path, content)
    with pytest.raises(KpiAgentError) as refused:
        list(records_of(file))
    assert not isinstance(refused.value, EnvironmentFault)  # the exit code of unusable events
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_the_bytes_of_a_file_are_reported_as_it_is_read(tmp_path: Path) -> None:
    file = written(tmp_path, b'{"a": 1}\n' * 50_000)
    sizes = [size for _, size in batches_of(file)]
    assert len(sizes) == 3
    assert sum(sizes) == file.stat().st_size


class _Input:
    """Standard input that can be read once."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_standard_input_can_be_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Input(b'[{"a": 1}]'))
    for _ in range(2):
        file = event_file("-")
        assert file is not None
        assert list(records_of(file)) == [b'{"a": 1}']


def test_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b'{"a": 1}\n',))
    writer.start()
    for _ in range(2):
        file = event_file(str(pipe))
        assert file is not None
        assert list(records_of(file)) == [b'{"a": 1}']
    writer.join()


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    assert event_file(str(tmp_path)) is None
    assert event_file(str(tmp_path / "nothing")) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from([*LINES, b"{", b"}", b"[", b'[{"a":', b"1", b"\xff\xfe{", b'"']), max_size=8
    )
)
def test_any_text_is_read_or_refused_and_nothing_of_it_is_lost(
    tmp_path: Path, lines: list[bytes]
) -> None:
    file = written(tmp_path, b"\n".join(lines))
    try:
        records = list(records_of(file))
    except KpiAgentError:
        return
    squeezed = b"".join(b"".join(records).split())
    text = b"".join(b"".join(lines).split())
    assert squeezed == text or text.startswith(b"[")
