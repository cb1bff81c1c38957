"""The mail that a real Alertmanager sends of an alert: received here, and shown as a mail program
shows it."""

from __future__ import annotations

import email
import email.policy
import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast

import yaml

from tests.integration.monitoring import DEPLOY

HEAD = """<!doctype html><meta charset="utf-8">
<div style="font: 14px sans-serif; padding: 12px 24px; border-bottom: 1px solid #ccc">
<b style="font-size: 18px">{subject}</b><br>From: {sender}<br>To: {recipient}</div>
"""


@dataclass
class Mailbox:
    """What was received, by a server at this port of the loopback address."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server for as long as the block lasts."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self._reply("220 ready")
            while line := self.rfile.readline():
                verb = line[:4].upper().strip()
                if verb == b"DATA":
                    self._reply("354 go on")
                    box.mails.append(self._message())
                self._reply("221 bye" if verb == b"QUIT" else "250 ok")
                if verb == b"QUIT":
                    return

        def _message(self) -> EmailMessage:
            lines = iter(self.rfile.readline, b".\r\n")
            text = b"".join(line.removeprefix(b".") for line in lines)
            return cast(EmailMessage, email.message_from_bytes(text, policy=email.policy.default))

        def _reply(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        box = Mailbox(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()


def with_mail(receiver: str, port: int, folder: Path) -> Path:
    """The generated configuration of Alertmanager, in which a receiver has a mail address."""
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    (chosen,) = (r for r in config["receivers"] if r["name"] == receiver)
    chosen["email_configs"] = [
        {
            "to": f"{receiver}@example.org",
            "from": "alertmanager@example.org",
            "smarthost": f"127.0.0.1:{port}",
            "require_tls": False,
        }
    ]
    config["templates"] = [str(DEPLOY / "alertmanager" / "kpi-agent.tmpl")]
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    return file


def as_page(mail: EmailMessage) -> str:
    """A mail as HTML, below who wrote what to whom."""
    body = mail.get_body(("html",))
    assert body is not None
    head = HEAD.format(
        subject=html.escape(mail["Subject"]),
        sender=html.escape(mail["From"]),
        recipient=html.escape(mail["To"]),
    )
    return head + body.get_content()
