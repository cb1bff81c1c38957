"""An agent as a process of its own, as a user runs it: started, asked, measured, stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.broker import ROOT, free_port

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


class Agent:
    """A running `kpi-agent run`. `lines` are its log, each with the moment it was read (s)."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.pid = process.pid
        self.started = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._process = process
        self._url = f"http://127.0.0.1:{port}"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))

    def get(self, path: str) -> bytes:
        """The answer to a GET. Raises OSError (HTTPError among them)."""
        with urllib.request.urlopen(self._url + path, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def wait_ready(self) -> float:
        """Wait until `/-/ready` says 200; the seconds since the start."""
        reason = ""
        while time.monotonic() - self.started < READY_SECONDS:
            if self._process.poll() is not None:
                raise SystemExit("the agent ended:\n" + self.log())
            try:
                self.get("/-/ready")
                return time.monotonic() - self.started
            except urllib.error.HTTPError as error:
                reason = error.read().decode()
            except OSError as error:
                reason = str(error)
            time.sleep(0.05)
        raise SystemExit(f"the agent did not get ready: {reason}\n{self.log()}")

    def first(self, pattern: str) -> float | None:
        """When the first log line came that matches."""
        return next((at for at, line in list(self.lines) if re.search(pattern, line)), None)

    def log(self) -> str:
        """All log lines."""
        return "\n".join(line for _, line in self.lines)

    def peak_bytes(self) -> int:
        """The highest resident memory so far (VmHWM)."""
        return _status(self.pid, "VmHWM")

    def resident_bytes(self) -> int:
        """The resident memory now."""
        return _status(self.pid, "VmRSS")

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @contextmanager
    def profiled(self, out: Path | None) -> Iterator[None]:
        """Sample all threads with py-spy, if `out` names a file: collapsed stacks with counts."""
        if out is None:
            yield
            return
        command = ["py-spy", "record", "-r", "100", "-t", "-f", "raw", "-o", str(out),
                   "-p", str(self.pid)]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as spy:
            yield
            spy.send_signal(signal.SIGINT)

    def metric(self, name: str) -> float:
        """The sum of all samples of a metric."""
        text = self.get("/metrics").decode()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((name + "{", name + " "))
        )

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status has no {name}")


@contextmanager
def agent(
    broker: str,
    rules: Path,
    group: str,
    values: str | None = None,
    **settings: str,
) -> Iterator[Agent]:
    """Run an agent with a group and topics of its own while the block runs.

    `settings` are set as `KPI_AGENT_<NAME>`.
    """
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KPI_AGENT_")}
    environment |= {
        "KPI_AGENT_GROUP": group,
        "KPI_AGENT_TOPIC_PREFIX": group,
        "KPI_AGENT_VALUES_TOPIC": values or f"{group}-values",
        "KPI_AGENT_ALERTS_TOPIC": f"{group}-alerts",
        "KPI_AGENT_WEB_HOST": "127.0.0.1",
        **{f"KPI_AGENT_{name.upper()}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "agent", "run", "--rules", str(rules),
               "--brokers", broker, "--port", str(port)]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    running = Agent(process, port)
    try:
        yield running
    finally:
        running.stop()
