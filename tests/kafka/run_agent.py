"""An agent as a process of its own, for tests that kill it. Settings come from the environment."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys

from agent import logs
from agent.language.load import load
from agent.service import supervisor as service
from agent.settings import load_settings

PR_SET_PDEATHSIG = 1  # linux/prctl.h: a test that dies takes its agents with it


def say_port(port: int) -> None:
    """Tell the test which port was free."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def main() -> None:
    """Run until published to stop; the first line of stdout is the port of the web server."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    settings = load_settings()
    logs.configure(settings)
    asyncio.run(
        service.run(
            settings,
            lambda: load(settings.rules),
            on_serving=say_port,
        )
    )


if __name__ == "__main__":
    main()
