"""`kpi-agent generate`: Prometheus rules, Alertmanager routes, Grafana boards, event contracts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import OK, WRONG, say, writing
from agent.errors import RulesError

if TYPE_CHECKING:
    from agent.generate.prometheus import Deployment

ABOUT = "write Prometheus rules, Alertmanager routes, Grafana boards or event contracts"
EXAMPLES = (
    "kpi-agent generate prometheus",
    "kpi-agent generate grafana --out dashboards",
    "kpi-agent generate alertmanager --check",
)

GENERATED = {
    "prometheus": "deploy/prometheus",
    "alertmanager": "deploy/alertmanager",
    "grafana": "grafana",
    "contracts": "contracts",
}
"""What can be generated, and the default folder."""

LINKS = {
    "external_url": "the address of the board",
    "grafana_url": "the address of Grafana",
    "runbooks_url": "the address of the runbooks",
}
"""The settings of addresses that alerts and boards link to."""


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("what", choices=tuple(GENERATED))
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"default: {', '.join(GENERATED.values())}"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if the files differ"
    )
    parser.add_argument(
        "--external-labels",
        metavar="NAMES",
        help="labels that distinguish environments, separated by commas; default: the setting",
    )
    for name, address in LINKS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="URL",
            help=f"{address}, which alerts and boards link to; default: the setting",
        )


def run(options: Namespace) -> int:
    """`kpi-agent generate`."""
    from agent.core.output.labels import check_external_labels
    from agent.generate.alertmanager import (
        RECEIVERS_FILE,
        alertmanager_files,
        read_receivers,
        skeleton,
    )
    from agent.generate.contracts import contract_files
    from agent.generate.files import differs, write
    from agent.generate.grafana import grafana_files
    from agent.generate.prometheus import prometheus_files
    from agent.language.load import load

    plan = load(options.rules)
    external = _external_names(options.external_labels)
    check_external_labels(plan, external)
    what = options.what
    out = options.out or Path(GENERATED[what])
    receivers = out / RECEIVERS_FILE
    if what == "contracts":
        files = contract_files(plan)
    elif what == "alertmanager":
        files = alertmanager_files(plan, read_receivers(receivers), external)
    else:
        deployment = _deployment(options, external)
        prometheus = what == "prometheus"
        files = (
            prometheus_files(plan, deployment)
            if prometheus
            else grafana_files(plan, external, deployment.board)
        )
    if options.check:
        outdated = differs(out, files, what)
        for path in outdated:
            say(f"{path} is not what the rules generate; run: kpi-agent generate {what}")
        return WRONG if outdated else OK
    with writing(out):
        for path in write(out, files, what):
            say(f"wrote {path}")
        if what == "alertmanager" and not receivers.exists():
            receivers.write_text(skeleton(plan), encoding="utf-8")
            say(f"wrote {receivers}: yours to fill in")
    return OK


def _deployment(options: Namespace, external: tuple[str, ...]) -> Deployment:
    """The addresses that alerts link to, from the options, else the settings. Raises
    EnvironmentFault."""
    from agent.generate.prometheus import Deployment
    from agent.settings import load_settings

    settings = load_settings(**{name: getattr(options, name) for name in LINKS})
    return Deployment(settings.external_url, settings.grafana_url, settings.runbooks_url, external)


def _external_names(option: str | None) -> tuple[str, ...]:
    """The names of the external labels, from the option, else the setting."""
    from agent.core.output.labels import check_external_name

    if option is None:
        from agent.settings import load_settings

        return tuple(load_settings().labels)
    names = tuple(filter(None, (name.strip() for name in option.split(","))))
    for name in names:
        try:
            check_external_name(name)
        except ValueError as error:
            raise RulesError(f"--external-labels: {error}") from error
    return names
