"""The rule changes of all workers, kept on the board topic.

The topic has one row of the rules that were announced last (their outline), and a row of each of
the last changes. A worker that adopts rules, by a start or a reload, compares them with that row
once: if they differ, it writes what changed. So a change is marked once for the fleet, however many
workers adopt it, and whether they were restarted or reloaded.
"""

from __future__ import annotations

import base64
import zlib
from itertools import islice

import msgspec

from agent import clock
from agent.core.changes.diff import changes_by_kpi, compare, is_general, summary
from agent.core.changes.outline import Outline, public_outline
from agent.core.model.plan import Plan

MOST_CHANGES = 50
MOST_OUTLINE_CHARS = 200_000
"""A larger outline is left out of the row, to limit the size of messages (docs/operations.md): the
next change has no details then."""
MOST_KPIS = 100
"""A change of more KPIs counts as general."""
UNKNOWN = "what changed is not known"


class RulesRow(msgspec.Struct, frozen=True, tag="rules"):
    """The rules announced last. `number` counts the changes; `outline` is compressed, "" if it is
    too large."""

    number: int
    config_hash: str
    outline: str


class RulesChangeRow(msgspec.Struct, frozen=True, tag="rules_change"):
    """A change of the rules: when a worker adopted it (wall clock), and what, in words; `about`
    each KPI. `is_general`: it may be about others, too."""

    number: int
    at_ms: int
    text: str
    about: dict[str, str]
    is_general: bool


RULES_KEY = msgspec.json.encode(["rules"])
_encoder = msgspec.json.Encoder()


class RuleHistory:
    """The changes on the board topic, and the announcement of this worker's rules."""

    def __init__(self) -> None:
        self._rules: RulesRow | None = None
        self._changes: dict[bytes, RulesChangeRow] = {}
        self._adopted_ms = clock.now_ms()
        self._announced = ""  # the config hash

    def add(self, key: bytes, row: RulesRow | RulesChangeRow) -> None:
        """Add a row of the board topic."""
        if isinstance(row, RulesRow):
            self._rules = row
        else:
            self._changes[key] = row

    def changes(self) -> list[RulesChangeRow]:
        """The last changes, oldest first."""
        return sorted(self._changes.values(), key=lambda change: change.number)

    def adopt(self) -> None:
        """Note that this worker uses other rules from now on."""
        self._adopted_ms = clock.now_ms()

    def is_announced(self, plan: Plan) -> bool:
        """Whether this worker has announced these rules: it does so once, or it would revert those
        of others in a rolling change."""
        return self._announced == plan.config_hash

    def announced(self, plan: Plan) -> None:
        """Note that the rows of the announcement are written."""
        self._announced = plan.config_hash

    def announcement(self, plan: Plan) -> dict[bytes, bytes | None]:
        """The rows to write once the topic is read to its end; none if these rules were announced
        last."""
        known = self._rules
        if known is not None and known.config_hash == plan.config_hash:
            return {}
        new = public_outline(plan)
        number = 0 if known is None else known.number + 1
        rules = RulesRow(number, plan.config_hash, _compressed(new))
        rows: dict[bytes, bytes | None] = {RULES_KEY: _encoder.encode(rules)}
        if known is not None:
            # Keys are reused, so that the topic keeps MOST_CHANGES.
            key = _encoder.encode(["rules_change", number % MOST_CHANGES])
            rows[key] = _encoder.encode(_change(known, new, number, self._adopted_ms))
        return rows


def _change(known: RulesRow, new: Outline, number: int, at_ms: int) -> RulesChangeRow:
    old = _decompressed(known.outline)
    if old is None:
        return RulesChangeRow(number, at_ms, UNKNOWN, {}, True)
    difference = compare(old, new)
    about = changes_by_kpi(old, new, difference)
    general = is_general(difference) or len(about) > MOST_KPIS
    few = dict(islice(about.items(), MOST_KPIS))
    return RulesChangeRow(number, at_ms, summary(difference), few, general)


def _compressed(outline: Outline) -> str:
    packed = base64.b64encode(zlib.compress(_encoder.encode(outline), 9)).decode()
    return packed if len(packed) <= MOST_OUTLINE_CHARS else ""


def _decompressed(packed: str) -> Outline | None:
    """The outline; None if it was left out, or another version wrote it."""
    try:
        return msgspec.json.decode(zlib.decompress(base64.b64decode(packed)), type=Outline)
    except (ValueError, zlib.error):
        return None
