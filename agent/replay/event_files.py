"""Files of events: their records as lines, however the file is packed and laid out.

A file holds one event a line, or one JSON array, or JSON documents over several lines; an event may
stand in a record with its key, headers and timestamp (`record_forms`). The file may be packed by
gzip, bzip2 or xz, begin with a byte order mark, and be standard input or a pipe. What is of another
kind is refused by its name.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from io import BufferedIOBase, BufferedReader
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import msgspec

from agent.errors import EnvironmentFault
from agent.replay.record_forms import FileBatch, form_of, records_in

BATCH_RECORDS = 20_000

STANDARD_INPUT = "-"

MOST_DOCUMENT_BYTES = 512 * 1024 * 1024
"""The largest array or document over several lines: it is read as a whole."""

MOST_LINE_BYTES = 64 * 1024 * 1024
"""A first line that is longer is not looked at to tell how the file is laid out."""

Layout = Literal["lines", "array", "documents"]


def _gunzip(raw: BufferedReader) -> BufferedIOBase:
    return gzip.GzipFile(fileobj=raw)


_PACKED: Mapping[bytes, Callable[[BufferedReader], BufferedIOBase]] = {
    b"\x1f\x8b": _gunzip,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""By their first bytes, the ways of packing that are read."""

_REFUSED: Mapping[bytes, tuple[str, str]] = {
    b"\x28\xb5\x2f\xfd": ("packed by zstd", "zstd -dc {} | kpi-agent … -"),
    b"\x04\x22\x4d\x18": ("packed by lz4", "lz4 -dc {} | kpi-agent … -"),
    b"\xff\x06\x00\x00sNaPpY": ("packed by snappy", "snzip -dc {} | kpi-agent … -"),
    b"PK\x03\x04": ("a zip archive", "unzip -p {} | kpi-agent … -"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x -so {} | kpi-agent … -"),
    b"PAR1": ("Parquet", "duckdb -json -c \"from '{}'\" | kpi-agent … -"),
    b"Obj\x01": ("Avro", "avro-tools tojson {} | kpi-agent … -"),
    b"ARROW1": ("Arrow", "write it as JSON, one object a line"),
    b"ORC": ("ORC", "orc-tools data {} | kpi-agent … -"),
    b"\xff\xfe": ("UTF-16", "iconv -f UTF-16 -t UTF-8 {} | kpi-agent … -"),
    b"\xfe\xff": ("UTF-16", "iconv -f UTF-16 -t UTF-8 {} | kpi-agent … -"),
}
"""By their first bytes, kinds of files that are not read, and how their events are."""

_HEAD_BYTES = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def event_file(name: str) -> Path | None:
    """The file that a name stands for, None where there is none.

    Standard input (`-`) and pipes are stored first: what reads events may read them twice.
    """
    path = Path(name)
    if name == STANDARD_INPUT:
        return Path(_stored(sys.stdin.buffer).name)
    if path.is_file():
        return path
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        return _stored_pipe(name, path.stat().st_ino)
    return None


@cache
def _stored(stream: IO[bytes]) -> IO[bytes]:
    """What a stream holds, in a file that is deleted with the process."""
    file = tempfile.NamedTemporaryFile(prefix="kpi-agent-")  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.flush()
    return file


@cache
def _stored_pipe(name: str, _inode: int) -> Path:
    with Path(name).open("rb") as pipe:
        return Path(_stored(pipe).name)


def records_of(path: Path) -> Iterator[bytes]:
    """The values of a file's records. Raises EnvironmentFault where it can't be read."""
    for records, _ in batches_of(path):
        yield from (value or b"" for value in records.values)


def batches_of(path: Path, name: str = "") -> Iterator[tuple[FileBatch, int]]:
    """Batches of records, with the bytes of the file read for them.

    `name` is what the file is called. Raises EnvironmentFault where it can't be read.
    """
    name = name or str(path)
    try:
        layout = _layout(path, name)
        with path.open("rb") as raw, _unpacked(raw, name) as stream:
            records = _lines(stream) if layout == "lines" else _documents(stream, layout, name)
            at, form, is_first = 0, None, True
            while lines := list(islice(records, BATCH_RECORDS)):
                if is_first:
                    form, is_first = form_of(next(filter(bytes.strip, lines), b"")), False
                before, at = at, raw.tell()
                yield records_in(lines, form), at - before
    except (OSError, EOFError, lzma.LZMAError) as cause:
        raise EnvironmentFault(f"{name}: can't be read: {cause}") from cause


def _unpacked(raw: BufferedReader, name: str) -> BufferedIOBase:
    """The text that a file holds."""
    head = raw.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    for magic, (kind, instead) in _REFUSED.items():
        if head.startswith(magic):
            raise EnvironmentFault(f"{name} is {kind}", f"Unpack it: {instead.format(name)}")
    for magic, unpack in _PACKED.items():
        if head.startswith(magic):
            return unpack(raw)
    return raw


def _layout(path: Path, name: str) -> Layout:
    """How the records of a file are laid out, by its first line that is not empty."""
    with path.open("rb") as raw, _unpacked(raw, name) as stream:
        line = b""
        for line in _text_lines(stream, MOST_LINE_BYTES):
            if line.strip():
                break
        start = line.strip()
        if not start.startswith((b"{", b"[")) or len(line) >= MOST_LINE_BYTES:
            return "lines"
        if not _is_json(start):
            return "array" if start.startswith(b"[") else "documents"
        if start.startswith(b"[") and not any(rest.strip() for rest in stream):
            return "array"
        return "lines"


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def _text_lines(stream: BufferedIOBase, most: int = -1) -> Iterator[bytes]:
    """The lines of a text, without a byte order mark."""
    first = True
    while line := stream.readline(most):
        yield line.removeprefix(_BYTE_ORDER_MARK) if first else line
        first = False


def _lines(stream: BufferedIOBase) -> Iterator[bytes]:
    for line in _text_lines(stream):
        yield line.rstrip(b"\r\n")


def _documents(stream: BufferedIOBase, layout: Layout, name: str) -> Iterator[bytes]:
    """The elements of an array, or documents one after the other, each as one line."""
    text = stream.read(MOST_DOCUMENT_BYTES + 1)
    if len(text) > MOST_DOCUMENT_BYTES:
        raise EnvironmentFault(
            f"{name} is one JSON document of more than {MOST_DOCUMENT_BYTES // 2**20} MB",
            f"Make lines of it: jq -c '.[]' {name} | kpi-agent … -",
        )
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if layout == "array":
        try:
            elements = msgspec.json.decode(text, type=list[msgspec.Raw])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise EnvironmentFault(
                f"{name} begins as a JSON array, and is none: {error}"
            ) from error
        yield from (_in_one_line(bytes(element)) for element in elements)
        return
    yield from _one_after_the_other(text)


def _one_after_the_other(text: bytes) -> Iterator[bytes]:
    """Documents with space between them; of what is none, each line is a record of its own."""
    whole = text.decode(errors="surrogateescape")
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    at = 0
    while at < len(whole):
        if whole[at].isspace():
            at += 1
            continue
        try:
            _, end = decoder.raw_decode(whole, at)
        except (ValueError, RecursionError):
            end = whole.find("\n", at)
            end = len(whole) if end < 0 else end
        yield _in_one_line(whole[at:end].encode(errors="surrogateescape"))
        at = end


def _in_one_line(document: bytes) -> bytes:
    """Line breaks are space: within a JSON text they are written as escapes."""
    return document.replace(b"\r", b" ").replace(b"\n", b" ")
