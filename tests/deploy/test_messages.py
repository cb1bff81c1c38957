"""The messages of alerts, by Alertmanager's own templates: what people read, and that no text of an
event becomes markup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.test_alertmanager import FILE, tool

pytestmark = pytest.mark.needs_prometheus
MESSAGES = FILE.with_name("kpi-agent.tmpl")
LINKS = {
    "kpi_url": "https://kpis.example.org/kpis/response_time?series=region%3D%22emea%22",
    "dashboard_url": "https://grafana.example.org/d/kpi-response_time",
    "runbook_url": "https://example.org/runbooks/slow-support",
}


def alert(summary: str, status: str = "firing", **annotations: str) -> dict[str, Any]:
    labels = {
        "alertname": "slow_support",
        "severity": "critical",
        "owner": "ann",
        "team": "support",
    }
    times = {"startsAt": "2026-03-02T10:00:00Z", "endsAt": "2026-03-02T10:20:00Z"}
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": summary, **LINKS, **annotations},
        **times,
    }


def rendered(folder: Path, template: str, *alerts: dict[str, Any], kind: str = "text") -> str:
    summaries = {a["annotations"]["summary"] for a in alerts}
    data = {
        "receiver": "support",
        "status": alerts[0]["status"],
        "alerts": alerts,
        "groupLabels": {"alertname": "slow_support"},
        "commonLabels": alerts[0]["labels"],
        "commonAnnotations": alerts[0]["annotations"] if len(summaries) == 1 else LINKS,
        "externalURL": "http://alertmanager:9093",
    }
    file = folder / "data.json"
    file.write_text(json.dumps(data))
    call = f'{{{{ template "{template}" . }}}}'
    arguments = (
        f"--template.glob={MESSAGES}",
        f"--template.text={call}",
        f"--template.type={kind}",
    )
    return tool("amtool", "template", "render", *arguments, f"--template.data={file}")


def test_a_message_of_slack_says_what_whose_and_where(tmp_path: Path) -> None:
    fired = alert("emea waits 9m", description="Move agents over.", escalation="boss after 30m")
    text = rendered(tmp_path, "slack.default.text", fired)
    assert text.strip() == (
        "*critical:* emea waits 9m\nMove agents over.\nann, then boss after 30m"
        f" · <{LINKS['kpi_url']}|KPI> · <{LINKS['dashboard_url']}|Grafana>"
        f" · <{LINKS['runbook_url']}|Runbook>\n\n"
        "<http://alertmanager:9093/#/alerts?receiver=support|Silence>"
    )
    title = rendered(tmp_path, "slack.default.title", fired)
    assert title.strip() == "[FIRING critical] emea waits 9m"
    assert rendered(tmp_path, "slack.default.titlelink", fired).strip() == LINKS["kpi_url"]


def test_several_series_are_one_subject(tmp_path: Path) -> None:
    alerts = [alert(f"{region} waits") for region in ("emea", "apac", "amer")]
    for template in ("__subject", "slack.default.title"):
        subject = rendered(tmp_path, template, *alerts)
        assert subject.strip() == "[FIRING critical] emea waits (one of 3)"


def test_what_is_over_calls_nobody(tmp_path: Path) -> None:
    over = alert("emea waits 9m", "resolved", description="Move agents over.")
    for template, kind in (("slack.default.text", "text"), ("email.default.html", "html")):
        text = rendered(tmp_path, template, over, kind=kind)
        assert "resolved" in text
        assert "emea waits 9m" in text
        assert "Move agents over" not in text
        assert "Runbook" not in text


def test_text_of_events_mentions_nobody_and_is_no_markup(tmp_path: Path) -> None:
    evil = alert("<!channel> <https://evil.com|Runbook> <img src=x onerror=alert(1)>")
    for template in ("slack.default.title", "slack.default.text"):
        text = rendered(tmp_path, template, evil)
        assert "&lt;!channel&gt; &lt;https://evil.com|Runbook&gt;" in text
        assert "<!" not in text
        assert "<https://evil" not in text
    mail = rendered(tmp_path, "email.default.html", evil, kind="html")
    assert "<img" not in mail
    script = alert("x", kpi_url="javascript:alert(1)")
    assert "javascript:" not in rendered(tmp_path, "email.default.html", script, kind="html")
