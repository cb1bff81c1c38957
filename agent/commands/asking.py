"""Asking a running agent, over HTTP."""

from __future__ import annotations

import json

from agent.errors import EnvironmentFault, RulesError

ANSWER_SECONDS = 30.0


def answer_of(agent: str, path: str) -> bytes:
    """What an agent answers at a path of its web server.

    Raises RulesError with its own words where it refuses, and EnvironmentFault where there is none.
    """
    import urllib.error
    import urllib.request

    url = f"{agent.rstrip('/')}{path}"
    if not url.startswith(("http://", "https://")):
        raise EnvironmentFault(f"{agent} is no address; write http://host:9108")
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        raise RulesError(_said(body) or f"{agent} answers {error.code}") from error
    except (OSError, ValueError) as error:
        raise not_an_agent(agent, error) from error


def not_an_agent(agent: str, error: Exception) -> EnvironmentFault:
    """What is said of an answer that no agent of this version gives."""
    return EnvironmentFault(f"{agent} does not answer as an agent: {error}")


def _said(body: str) -> str | None:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return None
