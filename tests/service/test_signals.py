"""Signals are answered, and a process that was published to stop is gone in time."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEAD = """
import asyncio, sys, threading, time
from agent.service.signals import handling

def say(text):
    print(text, flush=True)
"""


def start(body: str) -> subprocess.Popen[str]:
    """A process that runs this, once it has said `begun`."""
    program = HEAD + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_a_process_stops_and_reloads_when_it_is_asked_to() -> None:
    process = start("""
        async def main():
            over = asyncio.Event()
            with handling(over.set, lambda: say("reloaded")):
                say("begun")
                await over.wait()
            say("stopped")
        asyncio.run(main())
    """)
    assert process.stdout is not None
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "reloaded\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopped\n"
    assert process.wait(20) == 0


def assert_gone(process: subprocess.Popen[str], seconds: float) -> None:
    """It leaves by itself, as if crashed, when its time is over and not before."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(seconds + 20) == 1
    finally:
        process.kill()
    assert time.monotonic() - began >= seconds * 0.9


def test_a_process_whose_event_loop_is_blocked_leaves_in_time() -> None:
    process = start("""
        async def main():
            with handling(lambda: None, lambda: None, exit_seconds=0.5):
                say("begun")
                time.sleep(60)
        asyncio.run(main())
    """)
    assert_gone(process, 0.5)


def test_a_process_that_waits_for_a_thread_after_its_loop_has_ended_leaves_in_time() -> None:
    process = start("""
        async def main():
            over = asyncio.Event()
            with handling(over.set, lambda: None, exit_seconds=0.5):
                asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
                threading.Thread(target=time.sleep, args=(60,)).start()
                say("begun")
                await over.wait()
        asyncio.run(main())
    """)
    assert_gone(process, 0.5)
