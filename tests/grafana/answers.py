"""What a real Prometheus answers to a board: what Grafana's backend asks it for, and as it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.export.agent_state import AgentState
from tests.export.web.browsing import served
from tests.generate.queries import fill
from tests.integration.monitoring import Prometheus
from tests.integration.waiting import until

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What the reader of a board chose, and the interval of its points: all in seconds."""

    start: int
    end: int
    step: int


def answered(prometheus: Prometheus, board: Json, shown: TimeRange) -> Json:
    """A board with what `frames.ts` makes Grafana's frames of: the answers of each panel by its id,
    and of each annotation."""
    panels = {
        panel["id"]: [_answer(prometheus, target, shown) for target in panel["targets"]]
        for panel in board["panels"]
        if panel.get("targets")
    }
    marks = [
        _answer(prometheus, {"refId": "Anno", "range": True, **mark}, shown)
        for mark in board["annotations"].get("list", [])
    ]
    span = {"from": shown.start * 1000, "to": shown.end * 1000, "step": shown.step}
    return {"board": board, "answers": panels, "marks": marks, "range": span}


def _answer(prometheus: Prometheus, target: Json, shown: TimeRange) -> Json:
    query = fill(target["expr"], f"{shown.end - shown.start}s", f"{shown.step}s")
    if target.get("instant"):
        asked = {"query": query, "time": str(shown.end)}
        answer = prometheus.get("/api/v1/query", **asked)
    else:
        asked = {"start": str(shown.start), "end": str(shown.end), "step": str(shown.step)}
        answer = prometheus.get("/api/v1/query_range", query=query, **asked)
    assert answer["status"] == "success", answer
    return {"target": target, "result": answer["data"]["result"]}


@contextmanager
def scraped(state: AgentState, folder: Path, scrapes: int = 5) -> Iterator[Prometheus]:
    """A Prometheus that has scraped an agent in this state, once a second, so many times."""
    prometheus = Prometheus("prometheus", folder)
    with served(state) as address:
        try:
            prometheus.start([address.removeprefix("http://").rstrip("/")], "127.0.0.1:9")
            until(lambda: _scrapes(prometheus) >= scrapes, 60, prometheus.last_words)
            yield prometheus
        finally:
            prometheus.clean_up()


def _scrapes(prometheus: Prometheus) -> int:
    counted = prometheus.query('count_over_time(up{job="kpi-agent"}[1m])')
    return int(counted[0]["value"][1]) if counted else 0


def newest(prometheus: Prometheus, span: int = 60) -> TimeRange:
    """The last `span` seconds before the newest scrape."""
    (sample,) = prometheus.query('timestamp(up{job="kpi-agent"})')
    end = int(float(sample["value"][1]))
    return TimeRange(end - span, end, 1)


def panel_of(answer: Mapping[str, Any], title: str) -> Json:
    """The panel of a title."""
    (panel,) = (p for p in answer["board"]["panels"] if p["title"] == title)
    return dict(panel)
