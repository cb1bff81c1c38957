"""The errors of the agent, split by whose fault they are.

    KpiAgentError
    ├── RulesError           the user's: what is declared in YAML is wrong
    │   └── SpecError            with all problems (agent.language.problems)
    ├── EnvironmentFault     the environment's: broker, network, disk, port, settings
    │   └── UnknownVersionError  another version of the agent wrote it
    └── InternalError        ours: a state that the code rules out; please report it

Only `RulesError` and `EnvironmentFault` are shown to a person without a traceback. Where one error
causes another, the cause is chained (`raise … from error`).
"""

from __future__ import annotations


class KpiAgentError(Exception):
    """The base of the agent's errors. `hint` says how to mend it, where that is known."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class RulesError(KpiAgentError):
    """The declared rules are wrong: their author can mend it."""


class EnvironmentFault(KpiAgentError):
    """Broker, network, disk, port or settings: anybody who runs the agent can mend it."""


class UnknownVersionError(EnvironmentFault):
    """Another version of the agent wrote this, in a format that this one does not know."""

    def __init__(self, what: str, version: int, known: int) -> None:
        super().__init__(
            f"{what} has format {version}, and this agent reads format {known}",
            "Another version of the agent wrote it. Run one version, or wait for the upgrade to "
            "reach every worker.",
        )
        self.version = version


class InternalError(KpiAgentError):
    """A bug of the agent itself."""


def reason_of(error: BaseException) -> str:
    """What an error says; its type where it says nothing, as a timeout."""
    return str(error) or type(error).__name__
