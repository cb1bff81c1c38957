"""The demo's output in the terminal: addresses, a live line, and changes of alerts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status

from agent.core.model.plan import Plan
from agent.core.model.printable import printable
from agent.core.model.results import AlertPhase
from agent.export.agent_state import Alert

AlertKey = tuple[str, str, tuple[object, ...]]
PHASE_STYLE = {
    AlertPhase.PENDING: "yellow",
    AlertPhase.FIRING: "bold red",
    AlertPhase.RESOLVED: "green",
}


class Screen:
    """Lines that stay, and below them, on a terminal, one live line."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._status: Status | None = None
        self._phases: dict[AlertKey, AlertPhase] = {}

    def open(
        self, title: str, port: int, about: Sequence[str], pages: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Print the addresses, those of `pages` (path, description), too, and the announcement
        `about`."""
        url = f"http://localhost:{port}"
        lines = [
            f"board     [bold cyan]{url}/[/]",
            f"metrics   {url}/metrics",
            f"ready?    {url}/-/ready",
            *(f"private   {url}{path}\n          {escape(what)}" for path, what in pages),
            "",
            *map(escape, about),
            "",
            "[dim]Ctrl-C ends it; nothing is left behind.[/]",
        ]
        self._console.print(Panel("\n".join(lines), title=escape(title), expand=False))
        self._status = self._console.status("starting …")
        if self._console.is_terminal:
            self._status.start()

    def print(self, text: str, style: str = "") -> None:
        """Print a line that stays, with the time."""
        line = f"[dim]{time.strftime('%H:%M:%S')}[/]  {escape(printable(text))}"
        self._console.print(f"[{style}]{line}[/]" if style else line, soft_wrap=True)

    def now(self, text: str) -> None:
        """Change the live line."""
        if self._status is not None:
            self._status.update(escape(text))

    def alerts(self, alerts: Sequence[Alert], plan: Plan) -> None:
        """Print which alerts changed since the last call: pending, firing, resolved."""
        for alert in alerts:
            key = (alert.rule, alert.severity, alert.dimensions)
            before = self._phases.get(key)
            self._phases[key] = alert.phase
            begins = alert.phase in (AlertPhase.PENDING, AlertPhase.FIRING)
            if before is alert.phase or (before is None and not begins):
                continue  # alerts that were resolved in the backfilled history are not printed
            self.print(alert_line(alert, plan), PHASE_STYLE.get(alert.phase, ""))

    def close(self) -> None:
        """Remove the live line."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def alert_line(alert: Alert, plan: Plan) -> str:
    """An alert in one line: phase, severity, rule, series, and its summary."""
    kpi = plan.subject(alert.kpi)
    series = dict(zip(kpi.by if kpi else (), alert.dimensions, strict=False))
    where = f" {{{', '.join(f'{k}={v}' for k, v in series.items())}}}" if series else ""
    words = f": {alert.summary}" if alert.summary else ""
    return f"{alert.phase.value:<8}  {alert.severity:<8}  {alert.rule}{where}{words}"


def waiting_line(ready: Mapping[str, str | None]) -> str | None:
    """A component that the agent waits for, and the reason; None when it is ready."""
    waiting = [f"{name}: {reason}" for name, reason in ready.items() if reason]
    return waiting[0] if waiting else None
