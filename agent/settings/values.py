"""The types of the settings that are text: checked when the settings are loaded, parsed where they
are used. All raise ValueError, which never shows a password."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from agent.core.output.labels import parse_external_labels

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def split_list(text: str) -> list[str]:
    """The parts that commas separate, stripped, without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in split_list(text)]
    return [(name, value) for name, _, value in pairs]


def parse_extensions(text: str) -> dict[str, str]:
    """`name=value`, separated by commas: letters, and printable values (RFC 7628)."""
    pairs = _pairs(text)
    for name, value in pairs:
        if not (name.isascii() and name.isalpha()) or name == "auth" or not value.isprintable():
            raise ValueError(
                f"{name!r} is not a name: letters only; write name=value, separated by commas"
            )
    return dict(pairs)


def parse_headers(text: str) -> dict[str, str]:
    """`name=value`, separated by commas: tokens (RFC 9110, 5.6.2), and printable values."""
    pairs = _pairs(text)
    for name, value in pairs:
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) or not value.isprintable():
            raise ValueError(
                f"{name!r} is not a header's name; write name=value, separated by commas"
            )
    return dict(pairs)


def _brokers(text: str) -> str:
    for address in text.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"{address.strip()!r} is not host:port")
    return text


def _addresses(text: str) -> str:
    for address in split_list(text):
        _check_url(address, f"{address!r} is not http://host:port")
    return text


def _link(text: str) -> str:
    if text:
        _check_url(text, "this is not https://host/path")
    return text.rstrip("/")


def _check_url(url: str, problem: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError(problem)
    if parts.username or parts.password:
        raise ValueError("a password has no place in an address")


def _token_url(text: str) -> str:
    parts = urlsplit(text or "https://none")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("this is not https://host/path")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("use https: the client's secret is sent to this address")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("not an IANA time zone, such as Europe/Berlin") from None
    return name


def _parsable(parse: Callable[[str], object]) -> Callable[[str], str]:
    def check(text: str) -> str:
        parse(text)
        return text

    return check


Brokers = Annotated[str, AfterValidator(_brokers)]
"""host:port, separated by commas."""
Addresses = Annotated[str, AfterValidator(_addresses)]
"""http://host:port or https://host/path, separated by commas."""
Link = Annotated[str, AfterValidator(_link)]
"""https://host/path, or empty."""
TokenUrl = Annotated[str, AfterValidator(_token_url)]
"""https://host/path."""
Zone = Annotated[str, AfterValidator(_zone)]
"""The IANA name of a time zone."""
Extensions = Annotated[str, AfterValidator(_parsable(parse_extensions))]
Headers = Annotated[str, AfterValidator(_parsable(parse_headers))]
Labels = Annotated[str, AfterValidator(_parsable(parse_external_labels))]
"""`name=value`, separated by commas; as the two above."""
