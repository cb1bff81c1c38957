"""An Alertmanager configuration from the plan: routes, receivers, inhibition and messages.

Receivers are written by people, in `receivers.yml` beside the generated file, and copied from there
with their channels and secrets. A receiver that is not described there sends nothing; its alerts
are visible on Alertmanager's own page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from agent.core.model.plan import Plan
from agent.core.output.labels import ESCALATION
from agent.errors import RulesError
from agent.generate import files
from agent.generate.inhibition import inhibit_rules

WHAT = "alertmanager"
CONFIG_FILE = "alertmanager.yml"
MESSAGES_FILE = "kpi-agent.tmpl"
RECEIVERS_FILE = "receivers.yml"

EVERYONE, ON_CALL, DIGEST = "everyone", "on-call", "digest"

Entry = dict[str, object]
Receivers = Mapping[str, Entry]
"""The receivers in `receivers.yml`, by name."""


def alertmanager_files(
    plan: Plan, receivers: Receivers | None = None, external: Sequence[str] = ()
) -> dict[str, str]:
    """The generated files by path, relative to the output directory. Raises RulesError for a
    receiver that no route uses."""
    messages = Path(__file__).with_name("messages.tmpl").read_text(encoding="utf-8")
    return {
        CONFIG_FILE: configuration(plan, receivers or {}, external),
        MESSAGES_FILE: f"{{{{/* {files.mark(WHAT)} */}}}}\n{messages}",
    }


def read_receivers(file: Path) -> dict[str, Entry]:
    """The receivers in a file; none if it does not exist. Raises RulesError if it is not a list of
    receivers in Alertmanager's format."""
    if not file.exists():
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RulesError(f"{file} can't be read: {error}") from error
    entries = content.get("receivers") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in entries
    ):
        hint = "for example `receivers: [{name: on-call}]`"
        raise RulesError(f"{file} must contain only `receivers:`, a list of named receivers", hint)
    named = [entry["name"] for entry in entries]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise RulesError(f"{file} describes {', '.join(twice)} more than once", "keep one of each")
    return dict(zip(named, entries, strict=True))


def receiver_names(plan: Plan) -> list[str]:
    """All receivers that routes use, in the order of the routes."""
    routes = _routes(plan)
    return list(dict.fromkeys([EVERYONE, *(str(route["receiver"]) for route in routes)]))


def configuration(plan: Plan, receivers: Receivers, external: Sequence[str] = ()) -> str:
    """An alertmanager.yml; `external`: the names of the labels that distinguish environments.
    Raises RulesError for a receiver that no route uses."""
    known = receiver_names(plan)
    unknown = sorted(set(receivers) - set(known))
    if unknown:
        hint = f"Rename it in {RECEIVERS_FILE}, or take it out. Routes lead to: {', '.join(known)}"
        raise RulesError(f"no route leads to the receiver {', '.join(unknown)}", hint)
    bare = [name for name in known if len(receivers.get(name, {})) < 2]
    config: Entry = {
        "route": {
            "receiver": EVERYONE,
            # One message for a rule, with all the series that it fires for.
            "group_by": ["alertname", "kpi", "team", *external],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": _routes(plan),
        },
        "receivers": [receivers.get(name, {"name": name}) for name in known],
        "inhibit_rules": inhibit_rules(plan, external),
        "templates": [MESSAGES_FILE],
    }
    lines = [
        files.mark(WHAT),
        "Routes alerts to receivers. docs/rules/routing.md says how they follow from the rules.",
    ]
    if bare:
        names = ", ".join(bare)
        lines.append(f"These send nothing until {RECEIVERS_FILE} gives them a channel: {names}.")
    head = "".join(f"# {line}\n" for line in lines)
    return head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=2**20)


def _routes(plan: Plan) -> list[Entry]:
    return [*_escalations(plan), *_severities(), *_owners(plan)]


def _escalations(plan: Plan) -> Iterator[Entry]:
    """Routes of escalated alerts to their next receivers; the others were notified when the alert
    fired."""
    receivers = {step.to for rule in plan.rules.values() for step in rule.escalation}
    for name in sorted(receivers):
        yield {
            "matchers": [_equal(ESCALATION, name)],
            "receiver": name,
            "group_wait": "0s",
            "repeat_interval": "1h",
        }


def _severities() -> Iterator[Entry]:
    # On-call is notified at once, anybody who the owner is.
    yield {
        "matchers": ['severity="page"'],
        "receiver": ON_CALL,
        "group_wait": "0s",
        "repeat_interval": "1h",
        "continue": True,
    }
    yield {
        "matchers": ['severity="critical"'],
        "receiver": ON_CALL,
        "repeat_interval": "1h",
        "continue": True,
    }
    # For the next stand-up.
    yield {
        "matchers": ['severity="info"'],
        "receiver": DIGEST,
        "group_wait": "1m",
        "group_interval": "1h",
        "repeat_interval": "24h",
    }


def _owners(plan: Plan) -> Iterator[Entry]:
    """Routes by team; without a team, by owner."""
    teams, owners = set(), set()
    pairs = [(kpi.owner, kpi.team) for kpi in plan.kpis.values()]
    pairs += [(objective.owner, objective.team) for objective in plan.objectives.values()]
    for rule in plan.rules.values():
        kpi = plan.subject(rule.kpi)
        if kpi is not None:
            pairs.append((rule.owner or kpi.owner, rule.team or kpi.team))
    for owner, team in pairs:
        if team:
            teams.add(team)
        elif owner:
            owners.add(owner)
    for team in sorted(teams):
        yield {"matchers": [_equal("team", team)], "receiver": team}
    for owner in sorted(owners):
        yield {"matchers": ['team=""', _equal("owner", owner)], "receiver": owner}


def _equal(label: str, value: str) -> str:
    return f"{label}={json.dumps(value, ensure_ascii=False)}"


def skeleton(plan: Plan) -> str:
    """An initial `receivers.yml`, in which no receiver sends anything. Written once, if there is
    none; from then on people maintain it."""
    lines = [
        "# Who the receivers are, and by which channel they are reached. Yours to edit:",
        "# `kpi-agent generate alertmanager` copies what is written here, and never writes to it.",
        "# Take the comment signs away before the channel that a receiver's people read, and fill",
        "# in what is called <…>. Secrets stay in files that you mount into Alertmanager.",
        "receivers:",
    ]
    for name in receiver_names(plan):
        secret = "/etc/alertmanager/secrets/" + re.sub(r"[^A-Za-z0-9-]+", "-", name)
        lines += [
            f"  - name: {json.dumps(name, ensure_ascii=False)}",
            "    # slack_configs:",
            f'    #   - {{channel: "<channel>", api_url_file: {secret}.slack-url}}',
            "    # pagerduty_configs:",
            f"    #   - {{routing_key_file: {secret}.pagerduty-key}}",
            "    # email_configs:",
            '    #   - {to: "<address>", from: "<address>", smarthost: "<host>:587"}',
        ]
    return "\n".join(lines) + "\n"
