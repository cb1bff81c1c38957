"""Files of events: their records as lines, however the file is compressed and laid out.

A file holds one event a line, one JSON array, or JSON documents over several lines; an event may be
the value of a record with key, headers and timestamp (`record_forms`). The file may be compressed
by gzip, bzip2 or xz, begin with a byte order mark, and be standard input or a pipe. Other formats
are recognized by their first bytes and refused, with a hint how to convert them.
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
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from io import BufferedIOBase, BufferedReader
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import msgspec

from agent.errors import EnvironmentFault, KpiAgentError
from agent.replay.record_forms import FileBatch, form_of, records_in

BATCH_RECORDS = 20_000

STANDARD_INPUT = "-"

MOST_DOCUMENT_BYTES = 512 * 1024 * 1024
"""The largest array or document over several lines: it is read as a whole."""

MOST_LINE_BYTES = 64 * 1024 * 1024
"""A file whose first line is longer is read as lines."""

Layout = Literal["lines", "array", "documents"]


def _gunzip(raw: BufferedReader) -> BufferedIOBase:
    return gzip.GzipFile(fileobj=raw)


_COMPRESSED: Mapping[bytes, Callable[[BufferedReader], BufferedIOBase]] = {
    b"\x1f\x8b": _gunzip,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""How to decompress a file, by its first bytes."""

_REFUSED: Mapping[bytes, tuple[str, str]] = {
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "zstd -dc {} | kpi-agent … -"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "lz4 -dc {} | kpi-agent … -"),
    b"\xff\x06\x00\x00sNaPpY": ("compressed with snappy", "snzip -dc {} | kpi-agent … -"),
    b"PK\x03\x04": ("a zip archive", "unzip -p {} | kpi-agent … -"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x -so {} | kpi-agent … -"),
    b"PAR1": ("Parquet", "duckdb -json -c \"from '{}'\" | kpi-agent … -"),
    b"Obj\x01": ("Avro", "avro-tools tojson {} | kpi-agent … -"),
    b"ARROW1": ("Arrow", "write it as JSON, one object a line"),
    b"ORC": ("ORC", "orc-tools data {} | kpi-agent … -"),
    b"\xff\xfe": ("UTF-16", "iconv -f UTF-16 -t UTF-8 {} | kpi-agent … -"),
    b"\xfe\xff": ("UTF-16", "iconv -f UTF-16 -t UTF-8 {} | kpi-agent … -"),
}
"""Formats that are not read, by their first bytes, and how to convert them."""

_HEAD_BYTES = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def event_file(name: str) -> Path | None:
    """The path of a file of events; None if there is no such file.

    Standard input (`-`) and pipes are spooled to a file first: some readers read events twice.
    """
    path = Path(name)
    if name == STANDARD_INPUT:
        return Path(_spooled(sys.stdin.buffer).name)
    if path.is_file():
        return path
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        return _spooled_pipe(name, path.stat().st_ino)
    return None


@cache
def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """The content of a stream in a file that is deleted with the process."""
    file = tempfile.NamedTemporaryFile(prefix="kpi-agent-")  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.flush()
    return file


@cache
def _spooled_pipe(name: str, _inode: int) -> Path:
    with Path(name).open("rb") as pipe:
        return Path(_spooled(pipe).name)


def batches_of(path: Path, name: str = "") -> Iterator[tuple[FileBatch, int]]:
    """Batches of records, each with the number of bytes of the file that were read for it.

    `name` is what messages call the file. Raises EnvironmentFault where the system does not let
    it be read, and KpiAgentError where its content can't be used.
    """
    name = name or str(path)
    try:
        layout = _layout(path, name)
        with path.open("rb") as raw, _decompressed(raw, name) as stream:
            records = _lines(stream) if layout == "lines" else _documents(stream, layout, name)
            at, form, is_first = 0, None, True
            while lines := list(islice(records, BATCH_RECORDS)):
                if is_first:
                    form, is_first = form_of(next(filter(bytes.strip, lines), b"")), False
                before, at = at, raw.tell()
                yield records_in(lines, form), at - before
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as cause:
        # Damaged archives are OSErrors for gzip and bz2, without a number of the system.
        is_systems = isinstance(cause, OSError) and cause.errno is not None
        kind = EnvironmentFault if is_systems else KpiAgentError
        raise kind(f"{name}: can't be read: {cause}") from cause


def _decompressed(raw: BufferedReader, name: str) -> BufferedIOBase:
    """The file decompressed. Raises KpiAgentError for a format that is not read."""
    head = raw.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    for magic, (kind, instead) in _REFUSED.items():
        if head.startswith(magic):
            raise KpiAgentError(f"{name} is {kind}", f"Convert it: {instead.format(name)}")
    for magic, unpack in _COMPRESSED.items():
        if head.startswith(magic):
            return unpack(raw)
    return raw


def _layout(path: Path, name: str) -> Layout:
    """How the records of a file are laid out, judged by its first line that is not empty."""
    with path.open("rb") as raw, _decompressed(raw, name) as stream:
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
        raise KpiAgentError(
            f"{name} is one JSON document of more than {MOST_DOCUMENT_BYTES // 2**20} MB",
            f"Make lines of it: jq -c '.[]' {name} | kpi-agent … -",
        )
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if layout == "array":
        try:
            elements = msgspec.json.decode(text, type=list[msgspec.Raw])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise KpiAgentError(
                f"{name} begins as a JSON array, and is none: {error}",
                "Close the array, or write one event per line.",
            ) from error
        yield from (_in_one_line(bytes(element)) for element in elements)
        return
    yield from _concatenated_documents(text)


def _concatenated_documents(text: bytes) -> Iterator[bytes]:
    """JSON documents with whitespace between them; text that is no JSON is a record up to the end
    of its line."""
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
    """The document with spaces for its line breaks: within JSON strings, these are escapes."""
    return document.replace(b"\r", b" ").replace(b"\n", b" ")
