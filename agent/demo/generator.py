"""The example company's events: a pure function of a seed, a start and a tick of the clock.

`Company.messages(tick)` gives the messages of one tenth of a second, independently of earlier
calls: any chunking of time gives the same messages. Nothing here reads a clock or writes anywhere.

Like real feeds, these hold a little of everything that goes wrong (`Rates`): broken events,
repeated ones, late ones, events of types that no contract knows, and tombstones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Any

from agent.demo import story

TICK_MS = 100
BACKFILL_SECONDS = 300
"""The history that is sent at the start, so that every sparkline has points at once."""

Event = dict[str, Any]

REGIONS = {"emea": 0.4, "amer": 0.3, "apac": 0.2, "latam": 0.1}
CHANNELS = {"web": 0.5, "app": 0.35, "partner": 0.15}
TEAMS = {"warehouse": 14, "returns": 6, "studio": 10}
ACTIVE_CUSTOMERS = 400
AGENTS = 30


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message, and when it is sent (ms since the epoch)."""

    topic: str
    key: bytes
    value: bytes
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages a second in an average hour of the day, and the shares of faulty ones."""

    visits: float = 26.0
    orders: float = 6.5
    tickets: float = 6.0
    feedback: float = 2.5
    tasks: float = 3.0
    bad: float = 0.01
    duplicate: float = 0.01
    late: float = 0.005
    unknown: float = 0.005
    empty: float = 0.002


class Company:
    """The example company from `BACKFILL_SECONDS` before `start_ms` on, forever."""

    def __init__(self, start_ms: int, seed: int = 1, rates: Rates | None = None) -> None:
        self.start_ms = start_ms - start_ms % TICK_MS
        self._seed = seed
        self._rates = rates or Rates()
        # A few customers buy often, many seldom: weights fall with the rank (Zipf, exponent 0.8).
        weights = [1 / (rank + 1) ** 0.8 for rank in range(ACTIVE_CUSTOMERS)]
        self._customers = tuple(accumulate(weights))

    @property
    def first_tick(self) -> int:
        """The tick of the oldest backfilled messages; tick 0 is `start_ms`."""
        return -BACKFILL_SECONDS * 1000 // TICK_MS

    def tick_of(self, at_ms: int) -> int:
        """The tick of an instant."""
        return (at_ms - self.start_ms) // TICK_MS

    def between(self, first_tick: int, last_tick: int) -> Iterator[Message]:
        """The messages of `[first_tick, last_tick)`, in the order in which they are sent."""
        for tick in range(first_tick, last_tick):
            yield from self.messages(tick)

    def messages(self, tick: int) -> list[Message]:
        """The messages of one tick."""
        # A seed of its own for each tick: no state to carry, nothing to replay.
        random = Random(f"{self._seed}:{tick}")  # noqa: S311 - a story, not a secret
        at_ms = self.start_ms + tick * TICK_MS
        at_seconds = tick * TICK_MS / 1000
        sent: list[Message] = []
        for feed in FEEDS:
            rate = (
                feed.rate(self._rates) * story.traffic_factor(at_seconds) * feed.factor(at_seconds)
            )
            for number in range(_poisson(random, rate * TICK_MS / 1000)):
                sent += self._message(random, feed, at_ms, f"{tick}-{number}")
        return sent

    def _message(self, random: Random, feed: Feed, at_ms: int, number: str) -> list[Message]:
        chance, rates = random.random(), self._rates
        delay_ms = int(random.random() * feed.delay_ms)
        if chance < rates.late:
            delay_ms = random.randrange(40_000, 90_000)
        event_ms = at_ms - delay_ms
        moment = Moment(event_ms, (at_ms - self.start_ms) / 1000, number, self.customer(random))
        key, event = feed.make(random, moment)
        chance -= rates.late
        if 0 <= chance < rates.unknown:
            event["type"] += ".test"
        chance -= rates.unknown
        value = json.dumps(event, separators=(",", ":")).encode()
        if 0 <= chance < rates.bad:
            value = random.choice(BREAKS)(feed, event)
        chance -= rates.bad
        if 0 <= chance < rates.empty:
            value = b""
        chance -= rates.empty
        message = Message(feed.topic, key.encode(), value, at_ms)
        return [message, message] if 0 <= chance < rates.duplicate else [message]

    def customer(self, random: Random) -> str:
        """A customer, the frequent ones more often."""
        return f"c{random.choices(range(ACTIVE_CUSTOMERS), cum_weights=self._customers)[0]:04d}"


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by whom one event happens: `at_seconds` is the story's time of sending."""

    event_ms: int
    at_seconds: float
    number: str
    customer: str


@dataclass(frozen=True, slots=True)
class Feed:
    """One event type: its topic, its rate, and how one event is made (key, event).

    An event happens up to `delay_ms` before it is sent. The story multiplies the rate by `factor`.
    """

    topic: str
    time_field: str
    typed_field: str
    delay_ms: int
    rate: Callable[[Rates], float]
    factor: Callable[[float], float]
    make: Callable[[Random, Moment], tuple[str, Event]]


def _visit(random: Random, moment: Moment) -> tuple[str, Event]:
    known = random.random() < 0.7
    return moment.customer, {
        "type": "visit.started",
        "visit_id": f"v{moment.number}",
        "started_at": moment.event_ms,
        "user": {"id": moment.customer if known else None},
        "region": _pick(random, REGIONS),
        "channel": _pick(random, CHANNELS),
    }


def _order(random: Random, moment: Moment) -> tuple[str, Event]:
    return moment.customer, {
        "type": "order.completed",
        "order_id": f"o{moment.number}",
        "completed_at": _iso(moment.event_ms),
        "amount": round(random.lognormvariate(math.log(52), 0.5), 2),
        "currency": "eur" if random.random() < 0.96 else "usd",
        "customer": moment.customer,
        "region": _pick(random, REGIONS),
        "channel": _pick(random, _order_channels(moment.at_seconds)),
    }


def _ticket(random: Random, moment: Moment) -> tuple[str, Event]:
    region = _pick(random, REGIONS)
    by_bot = random.random() < 0.25
    seconds = 2.0 if by_bot else random.lognormvariate(math.log(120), 0.4)
    if region == "emea" and not by_bot:
        seconds *= story.slowdown_factor(moment.at_seconds)
    return f"t{moment.number}", {
        "type": "ticket.answered",
        "ticket_id": f"t{moment.number}",
        "answered_at": _iso(moment.event_ms),
        "response_seconds": round(seconds, 1),
        "region": region,
        "channel": "bot" if by_bot else random.choice(("chat", "mail", "phone")),
        "agent": {"id": None if by_bot else f"a{random.randrange(AGENTS):02d}"},
    }


def _feedback(random: Random, moment: Moment) -> tuple[str, Event]:
    region = _pick(random, REGIONS)
    weights = (2, 3, 10, 38, 47)
    if region == "emea" and story.slowdown_factor(moment.at_seconds) > 2:
        weights = (30, 25, 20, 15, 10)
    return moment.customer, {
        "type": "feedback.submitted",
        "feedback_id": f"f{moment.number}",
        "submitted_at": _iso(moment.event_ms),
        "score": random.choices((1, 2, 3, 4, 5), weights)[0],
        "region": region,
        "customer": moment.customer,
    }


def _task(random: Random, moment: Moment) -> tuple[str, Event]:
    team = _pick(random, TEAMS)
    employee = f"{team}-{random.randrange(TEAMS[team]):02d}"
    return employee, {
        "type": "task.finished",
        "task_id": f"w{moment.number}",
        "finished_at": moment.event_ms,
        "employee": employee,
        "team": team,
        "minutes": round(random.lognormvariate(math.log(30), 0.5), 1),
    }


def _always(at_seconds: float) -> float:
    return 1.0


def _order_channels(at_seconds: float) -> dict[str, float]:
    """The channels of orders; with the checkout broken, the app's are fewer."""
    if not story.CHECKOUT_BROKEN.holds(at_seconds):
        return CHANNELS
    return {**CHANNELS, "app": CHANNELS["app"] * story.BROKEN_CHECKOUT_FACTOR}


def _orders_factor(at_seconds: float) -> float:
    return sum(_order_channels(at_seconds).values())


def _feedback_factor(at_seconds: float) -> float:
    return 0.0 if story.FEEDBACK_SILENT.holds(at_seconds) else 1.0


FEEDS: Sequence[Feed] = (
    Feed("visits", "started_at", "region", 1_500, lambda r: r.visits, _always, _visit),
    Feed(
        "orders",
        "completed_at",
        "amount",
        1_500,
        lambda r: r.orders,
        _orders_factor,
        _order,
    ),
    Feed(
        "support",
        "answered_at",
        "response_seconds",
        1_500,
        lambda r: r.tickets,
        _always,
        _ticket,
    ),
    Feed(
        "feedback",
        "submitted_at",
        "score",
        3_000,
        lambda r: r.feedback,
        _feedback_factor,
        _feedback,
    ),
    Feed("work", "finished_at", "minutes", 1_500, lambda r: r.tasks, _always, _task),
)


def _cut_off(feed: Feed, event: Event) -> bytes:
    return json.dumps(event).encode()[:-20]


def _not_json(feed: Feed, event: Event) -> bytes:
    return b"<html><body>502 Bad Gateway</body></html>"


def _not_utf8(feed: Feed, event: Event) -> bytes:
    return json.dumps(event).encode() + b"\xff\xfe"


def _wrong_type(feed: Feed, event: Event) -> bytes:
    return json.dumps({**event, feed.typed_field: {"value": 12}}).encode()


def _no_time(feed: Feed, event: Event) -> bytes:
    return json.dumps({k: v for k, v in event.items() if k != feed.time_field}).encode()


def _far_future(feed: Feed, event: Event) -> bytes:
    return json.dumps({**event, feed.time_field: "2099-01-01T00:00:00Z"}).encode()


BREAKS: Sequence[Callable[[Feed, Event], bytes]] = (
    _cut_off,
    _not_json,
    _not_utf8,
    _wrong_type,
    _no_time,
    _far_future,
)
"""The ways in which an event is broken."""


def _pick(random: Random, weighted: dict[str, Any]) -> str:
    return random.choices(tuple(weighted), tuple(weighted.values()))[0]


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _poisson(random: Random, mean: float) -> int:
    """A Poisson draw, by Knuth's product of uniforms; fine for the small means of a tick."""
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
