"""The formats of records, by the name that rules call them."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.decode.format import Format
from agent.core.decode.json_format import JSON

FORMATS: Mapping[str, Format] = {"json": JSON}
"""`events.X.format` is one of these. One whose library is an extra imports it when it reads."""
