"""Privacy: which KPIs have values of single people, and how they are published without names.

A private KPI declares which dimension names a person. Its series are published under a pseudonym: a
keyed hash, so a person has the same one on every worker, in every metric and after every restart,
and without the secret nobody can invert it or try out names. From another secret, each person and
each owner gets the token of a page of their own.

Each of the two secrets can be rotated: the first of a list is the one in use. Pages whose addresses
were made with earlier ones can still be opened, and the earlier pseudonyms of a person are known.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from agent.core.model.events import Scalar
from agent.core.model.kpis import OTHER, Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, SeriesView, TargetStatus, Transition, WindowValue
from agent.core.model.rules import CompositeRule
from agent.core.output.messages import label
from agent.errors import EnvironmentFault

PSEUDONYM_DIGITS = 16
"""64 bits: among a million people, two have the same with a probability of one in 37 million."""
TOKEN_DIGITS = 32
"""128 bits: nobody guesses one."""


class NoSecret(EnvironmentFault):
    """A pseudonym or a token is needed, and no secret is set."""


def private_subjects(plan: Plan) -> frozenset[str]:
    """The private KPIs, and the subjects of the composite rules that depend on their alerts."""
    private = {name for name, kpi in plan.kpis.items() if kpi.person is not None}
    # In a plan, a rule comes after those that it depends on.
    for rule in plan.rules.values():
        if isinstance(rule, CompositeRule) and any(h.subject in private for h in rule.dependencies):
            private.add(rule.kpi)
    return frozenset(private)


def public_plan(plan: Plan) -> Plan:
    """The plan without its private parts: what everybody may see."""
    private = private_subjects(plan)
    if not private:
        return plan
    objectives = {
        name: replace(objective, kpis={k: w for k, w in objective.kpis.items() if k not in private})
        for name, objective in plan.objectives.items()
    }
    return replace(
        plan,
        kpis={name: kpi for name, kpi in plan.kpis.items() if name not in private},
        rules={name: rule for name, rule in plan.rules.items() if rule.kpi not in private},
        objectives=objectives,
    )


def names_people(plan: Plan, topic: str) -> bool:
    """Whether the events of a topic name people of a private KPI, or of one that is shown for
    groups of people only."""
    return any(
        kpi.person is not None or kpi.people is not None
        for contract in plan.contracts_of(topic)
        for kpi in plan.kpis_of(contract.name)
    )


class Privacy:
    """Pseudonyms and tokens, made with secrets; the newest secret is the first. Without secrets,
    only plans without private KPIs can be published. Tokens are made with `link_secrets`; if there
    are none, with the secrets of pseudonyms."""

    def __init__(self, *secrets: str, link_secrets: Sequence[str] = ()) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._link_secrets = tuple(secret.encode() for secret in link_secrets) or self._secrets
        self._known: dict[tuple[str, str], str] = {}
        self._plan: Plan | None = None
        self._hidden_indices: Mapping[str, tuple[int, ...]] = {}

    def pseudonym(self, dimension: str, value: Scalar) -> str:
        """The pseudonym of a person, the same in all KPIs. Raises NoSecret."""
        name = label(value)
        pseudonym = self._known.get((dimension, name))
        if pseudonym is None:
            pseudonym = self.pseudonyms(dimension, name)[0]
            self._known[dimension, name] = pseudonym
        return pseudonym

    def pseudonyms(self, dimension: str, name: str) -> tuple[str, ...]:
        """The pseudonyms of a person by all secrets, the one in use first; `name` is the
        dimension's value as a label. Raises NoSecret."""
        digests = _digests(self._secrets, "pseudonym", dimension, name)
        return tuple(f"p-{digest[:PSEUDONYM_DIGITS]}" for digest in digests)

    def person_tokens(self, dimension: str, name: str) -> tuple[str, ...]:
        """The tokens that open a person's page, the one in use first; `name` is the dimension's
        value as a label. Raises NoSecret."""
        return _tokens(self._link_secrets, "person", dimension, name)

    def owner_tokens(self, owner: str) -> tuple[str, ...]:
        """The tokens that open the page of an owner of private KPIs, the one in use first. Raises
        NoSecret."""
        return _tokens(self._link_secrets, "owner", owner)

    def check(self, plan: Plan) -> None:
        """Raise NoSecret for a plan that can't be published without the secret."""
        if not self._secrets and private_subjects(plan):
            _digests(self._secrets)

    # --- results as they are published ----------------------------------------------------------

    def dimensions(self, plan: Plan, subject: str, dimensions: Dimensions) -> Dimensions:
        """The dimensions under which a series is published."""
        indices = self._indices(plan).get(subject)
        if not indices:
            return dimensions
        by = plan.by_of(subject) or ()
        return tuple(
            self.pseudonym(by[n], value)
            if n in indices and value is not None and value != OTHER
            else value
            for n, value in enumerate(dimensions)
        )

    def views(self, plan: Plan, views: Iterable[SeriesView]) -> Sequence[SeriesView]:
        """Series as they are published."""
        if not self._indices(plan):
            return tuple(views)
        return [
            view
            if view.dimensions is None
            else structs.replace(view, dimensions=self.dimensions(plan, view.kpi, view.dimensions))
            for view in views
        ]

    def transition(self, plan: Plan, transition: Transition) -> Transition:
        """A transition as it is published."""
        dimensions = self.dimensions(plan, transition.kpi, transition.dimensions)
        if dimensions is transition.dimensions:
            return transition
        return replace(transition, dimensions=dimensions)

    def emitted(self, plan: Plan, emitted: Emitted) -> Emitted:
        """Results as they are published."""
        if not self._indices(plan):
            return emitted
        return replace(
            emitted,
            windows=tuple(self._window(plan, window) for window in emitted.windows),
            targets=tuple(self._status(plan, status) for status in emitted.targets),
            transitions=tuple(
                self.transition(plan, transition) for transition in emitted.transitions
            ),
        )

    def _window(self, plan: Plan, window: WindowValue) -> WindowValue:
        dimensions = self.dimensions(plan, window.kpi, window.dimensions)
        if dimensions is window.dimensions:
            return window
        return structs.replace(window, dimensions=dimensions)

    def _status(self, plan: Plan, status: TargetStatus) -> TargetStatus:
        return structs.replace(status, window=self._window(plan, status.window))

    def _indices(self, plan: Plan) -> Mapping[str, tuple[int, ...]]:
        if self._plan is not plan:
            self._plan, self._hidden_indices = plan, pseudonym_indices(plan)
        return self._hidden_indices


def _tokens(secrets: Sequence[bytes], *parts: str) -> tuple[str, ...]:
    return tuple(digest[:TOKEN_DIGITS] for digest in _digests(secrets, *parts))


def _digests(secrets: Sequence[bytes], *parts: str) -> list[str]:
    if not secrets:
        raise NoSecret(
            "the rules have private KPIs, and there is no person_secret to hide people by",
            "Set KPI_AGENT_PERSON_SECRET_FILE to a file that holds what this prints: "
            "openssl rand -hex 32",
        )
    # With lengths, ("a", "bc") and ("ab", "c") have different texts.
    text = "".join(f"{len(part.encode())}:{part}" for part in parts).encode()
    return [hmac.new(secret, text, "sha256").hexdigest() for secret in secrets]


def pseudonym_indices(plan: Plan) -> dict[str, tuple[int, ...]]:
    """By subject, the indices of the dimensions that are published under a pseudonym. Subjects with
    none are left out."""
    indices_of: dict[str, tuple[int, ...]] = {
        kpi.name: (kpi.by.index(kpi.person),)
        for kpi in plan.kpis.values()
        if kpi.person is not None and not kpi.named
    }
    for rule in plan.rules.values():
        if isinstance(rule, CompositeRule):
            hidden = {
                (plan.by_of(dependency.subject) or ())[index]
                for dependency in rule.dependencies
                for index in indices_of.get(dependency.subject, ())
            }
            indices = tuple(n for n, name in enumerate(rule.by) if name in hidden)
            if indices:
                indices_of[rule.kpi] = indices
    return indices_of


_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_NUMBER = re.compile(r"(?<![\w\[.-])[-+]?\d[\w.,:+-]*")


def masked(detail: str) -> str:
    """The detail of a rejection without the record's values: `found the string "…"`."""
    return _NUMBER.sub("…", _TEXT.sub('"…"', detail))
