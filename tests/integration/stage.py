"""One test's own world on the shared broker: source topics, rules, agents, and what they
published."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from . import company
from .agents import Agent
from .broker import Broker
from .feeds import Evaluated, Json, evaluated, place_of, produce, published, rules_of
from .waiting import until

ROOT = Path(__file__).parents[2]
HISTORY_MS = 20 * 60_000
PARTITIONS = 4
DONE_SECONDS = 120
PERSON_SECRET = "one secret for all agents of a test"


class Stage:
    """Topics and settings of one test; `name` keeps it apart from the others of the broker."""

    def __init__(self, broker: Broker, name: str, folder: Path) -> None:
        self.broker = broker
        self.prefix = f"{name}-"
        self.folder = folder
        self.rules = folder / "rules"
        self.sent = 0
        self.agents: list[Agent] = []
        self.start_ms = time.time_ns() // 1_000_000 - HISTORY_MS
        self.topics: list[str] = []

    def use_company(self, **defaults: str) -> None:
        """The example company's rules."""
        rules_of(ROOT / "rules", self.rules, self.prefix, **({"idle_after": "10m"} | defaults))
        self.topics = [self.prefix + topic for topic in company.TOPICS]

    def use_retail(self) -> None:
        """The real retailer's rules."""
        rules_of(ROOT / "examples" / "retail" / "rules", self.rules, self.prefix)
        self.topics = [self.prefix + "retail"]

    def create_topics(self) -> None:
        """Create the source topics."""
        self.broker.create_topics(self.topics, PARTITIONS)

    def agent(self, name: str, **settings: Any) -> Agent:
        """An agent on this stage, not started yet."""
        ours = {
            "brokers": self.broker.address,
            "group": f"{self.prefix}agent",
            "topic_prefix": f"{self.prefix}agent",
            "values_topic": self.values_topic,
            "alerts_topic": self.alerts_topic,
            "rules": self.rules,
            "session_timeout": 10,
            "person_secret": PERSON_SECRET,
            "data_dir": self.folder / f"{name}-data",
        }
        self.agents.append(Agent(name, self.folder, ours | settings))
        return self.agents[-1]

    @property
    def values_topic(self) -> str:
        """Where the agents tell closed windows."""
        return f"{self.prefix}values"

    @property
    def alerts_topic(self) -> str:
        """Where they tell transitions."""
        return f"{self.prefix}alerts"

    def company_parts(self, count: int) -> list[list[tuple[str, bytes, bytes]]]:
        """The company's events in so many parts."""
        return company.parts(self.start_ms, self.prefix, count)

    def send(self, events: list[tuple[str, bytes, bytes]], **settings: Any) -> None:
        """Send events, and count them."""
        self.sent += produce(self.broker.address, events, **settings)

    def send_closing(self, values: Mapping[str, bytes] | None = None) -> None:
        """An event to every partition that closes all windows before it."""
        producer = Producer({"bootstrap.servers": self.broker.address})
        for partition in range(PARTITIONS):
            events = values or dict(company.closing_events(self.start_ms, partition))
            for topic, value in events.items():
                producer.produce(self.prefix + topic, value=value, partition=partition)
                self.sent += 1
        assert producer.flush(60) == 0

    def evaluated(self) -> Evaluated:
        """What `replay` says of everything that was sent."""
        return evaluated(
            self.broker.address, self.rules, self.topics, self.folder / "events", PERSON_SECRET
        )

    def counted(self) -> Counter[str]:
        """The outcomes that the running agents have counted."""
        return sum((agent.outcomes() for agent in self.agents if agent.running), Counter())

    def wait_counted(self, before: Counter[str] | None = None) -> Counter[str]:
        """Wait until the agents have counted everything that was sent; the counts."""
        known = before or Counter()
        until(
            lambda: (known + self.counted()).total() >= self.sent,
            DONE_SECONDS,
            lambda: (
                f"{self.sent} records read; counted: {known} + {self.counted()}; {self.words()}"
            ),
        )
        return known + self.counted()

    def wait_published(self, expected: Evaluated) -> None:
        """Wait until all windows that `replay` closed, and all transitions, were published."""
        transitions = {step_of(line) for line in expected.transitions}

        def missing() -> str:
            windows = self.published_windows()
            steps = {
                step_of(line) for line in published(self.broker.address, self.alerts_topic).values()
            }
            left = expected.closed.keys() - windows.keys()
            return (
                f"{len(left)} of {len(expected.closed)} windows, such as {sorted(left)[:3]}; "
                f"transitions {sorted(transitions - steps)[:3]}"
                if left or transitions - steps
                else ""
            )

        until(
            lambda: not missing(),
            DONE_SECONDS,
            lambda: f"these are published: {missing()}; {self.words()}",
            every=2,
        )

    def published_windows(self) -> dict[tuple[str, ...], Json]:
        """The closed windows that the agents published."""
        lines = published(self.broker.address, self.values_topic).values()
        return {place_of(line): line for line in lines if line["kind"] == "window"}

    def check_exact(self, expected: Evaluated) -> None:
        """All closed windows and transitions are published, once and alike, and nothing else is."""
        windows = self.published_windows()
        assert windows.keys() == expected.closed.keys()
        for place, line in windows.items():
            assert line["events"] == expected.closed[place]["events"], place
            assert alike(line["value"], expected.closed[place]["value"]), place
        steps = published(self.broker.address, self.alerts_topic).values()
        assert sorted(map(step_of, steps)) == sorted(map(step_of, expected.transitions))

    def words(self) -> str:
        """What the agents said last."""
        return "\n".join(f"--- {a.name}: {a.last_words()}" for a in self.agents)

    def clean_up(self) -> None:
        """End all agents."""
        for agent in self.agents:
            agent.clean_up()


def alike(value: float | None, other: float | None, tolerance: float = 1e-9) -> bool:
    """Equal, to what the order of floating-point additions may change or a sketch is allowed."""
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=tolerance, abs_tol=1e-12)


def step_of(line: Json) -> tuple[str, ...]:
    """What is said of a transition, without its words."""
    dimensions = tuple(f"{k}={v}" for k, v in sorted(line["dimensions"].items()))
    names = ("rule", "severity", "kpi", "episode", "at", "previous", "state", "reason")
    return (*(line[name] for name in names), *dimensions)
