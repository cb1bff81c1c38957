"""A real Prometheus with the labels of an operator's scrape beside dimensions of the same names."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import SeriesView, TargetState, TargetStatus, WindowValue
from agent.export.metrics.kpi_series import families
from agent.export.metrics.label_cache import LabelCache
from agent.export.metrics.text_format import render
from agent.generate.grafana import dashboards
from tests.generate.queries import fill, queries

from .monitoring import Prometheus
from .waiting import until

pytestmark = [pytest.mark.needs_prometheus, pytest.mark.timeout(120)]

SCRAPE = {
    "pod": "kpi-agent-0", "namespace": "shop", "service": "kpi-agent", "container": "agent",
    "endpoint": "web",
}  # fmt: skip
RULES = """
events:
  call:
    topic: calls
    time: at
    fields: {pod: string, namespace: string, service: string, container: string, endpoint: string}
kpis:
  calls:
    from: call
    value: count(*)
    by: [pod, namespace, service, container, endpoint]
    window: 5m
    target: {at_least: 10}
"""
PODS = ("a", "b")


@pytest.fixture
def exporter(plan: Plan) -> Iterator[str]:
    """The address of a `/metrics` with one series a pod, all of the other dimensions alike."""
    views = [view(plan, (pod, "n", "s", "c", "e")) for pod in PODS]
    body = b"".join(render(families(plan, views, None, {}, LabelCache()), openmetrics=False))

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def view(plan: Plan, dimensions: Dimensions) -> SeriesView:
    window = WindowValue("calls", dimensions, 0, 300_000, 12.0, 12, False)
    target = plan.kpis["calls"].target
    assert target is not None
    status = TargetStatus(window, TargetState.MET, None, 1.2, target)
    return SeriesView("calls", dimensions, window, None, target, status)


def test_dimensions_called_like_labels_of_the_scrape_come_through_and_stay_apart(
    plan: Plan, exporter: str, tmp_path: Path
) -> None:
    server = Prometheus("prometheus", tmp_path)
    try:
        server.start([exporter], "127.0.0.1:1", SCRAPE)
        until(lambda: bool(server.query("kpi_calls")), 30, server.last_words)
        by_pod = {sample["metric"]["pod"]: sample["metric"] for sample in server.query("kpi_calls")}
        assert sorted(by_pod) == list(PODS)
        assert {by_pod["a"][name] for name in plan.kpis["calls"].by} == {"a", "n", "s", "c", "e"}
        boards = {name: json.loads(text) for name, text in dashboards(plan).items()}
        (targets,) = (p for p in boards["strategy.json"]["panels"] if p["title"] == "Targets")
        rows = server.query(fill(targets["targets"][0]["expr"]))
        assert sorted(row["metric"]["pod"] for row in rows) == list(PODS)
        last, *_ = queries(dashboards(plan)["kpi-calls.json"])
        # A ranking among many series reads whole steps of a minute: the first may be to come.
        until(lambda: bool(server.query(last)), 90, server.last_words)
        assert sorted(row["metric"]["pod"] for row in server.query(last)) == list(PODS)
    finally:
        server.clean_up()
