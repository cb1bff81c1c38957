"""Requests to the web server of a running agent."""

from __future__ import annotations

import json

from agent.errors import EnvironmentFault, RulesError

TIMEOUT_SECONDS = 30.0


def fetch(agent: str, path: str) -> bytes:
    """The body of an agent's response to GET.

    Raises RulesError with the agent's message for an error response, and EnvironmentFault if there
    is no agent at the address.
    """
    import urllib.error
    import urllib.request

    url = f"{agent.rstrip('/')}{path}"
    if not url.startswith(("http://", "https://")):
        raise EnvironmentFault(f"{agent} is no address; write http://host:9108")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        raise RulesError(_error_message(body) or f"{agent} answers {error.code}") from error
    except (OSError, ValueError) as error:
        raise not_an_agent(agent, error) from error


def not_an_agent(agent: str, error: Exception) -> EnvironmentFault:
    """The error for a response that no agent of this version gives."""
    return EnvironmentFault(f"{agent} does not answer as an agent: {error}")


def _error_message(body: str) -> str | None:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return None
