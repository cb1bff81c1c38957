"""The commands of `kpi-agent`. The only place that puts all parts together.

Exit codes: 0 done; 1 the rules or the events' files are wrong, or a check found a difference;
2 the command line is wrong; 3 the surroundings (broker, port, disk) do not let it run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent import __version__
from agent.commands.common import clock_ms, instant, known, reading, writing
from agent.core.model.printable import printable, printable_lines
from agent.errors import EnvironmentFault, KpiAgentError, RulesError

OK, WRONG, USAGE, ENVIRONMENT = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _options(arguments)
    try:
        code: int = options.run(options)
    except RulesError as error:
        _say_rules_error(error)
        return WRONG
    except EnvironmentFault as error:
        _say(f"kpi-agent: {error}")
        return ENVIRONMENT
    except KpiAgentError as error:
        _say(f"kpi-agent: {error}")
        return WRONG
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`); that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130
    return code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Files may also stand after options, which argparse itself does not take
    where something stands before them."""
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if more and not (
        hasattr(options, "files") and not any(m.startswith("-") and m != "-" for m in more)
    ):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        options.files = [*options.files, *more]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kpi-agent", description="Exact KPIs, targets and alerts over Kafka events."
    )
    parser.add_argument("--version", action="version", version=f"kpi-agent {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_check(commands)
    _add_schema(commands)
    _add_replay(commands)
    _add_modules(commands)
    _add_run(commands)
    _add_demo(commands)
    _add_generate(commands)
    return parser


Commands = argparse._SubParsersAction


def _command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _add_modules(commands: Commands[argparse.ArgumentParser]) -> None:
    """The commands that have a module each."""
    from agent.commands import backfill, backtest, diff, explain, init, link, test

    for module in (init, diff, test, backtest, backfill, explain, link):
        name = module.__name__.rpartition(".")[2]
        module.arguments(_command(commands, name, module.run, module.ABOUT))


# --- check and schema ------------------------------------------------------------------------


def _add_check(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "check", check, "read the rules and say everything that is wrong")
    parser.add_argument("rules", nargs="?", default="rules", metavar="DIR", help="default: rules")
    parser.add_argument("--format", choices=("human", "json", "github"), default="human")


def check(options: argparse.Namespace) -> int:
    """`kpi-agent check`."""
    from agent.core.changes.describe import WORDS
    from agent.language.load import check as check_rules
    from agent.language.report import render

    plan, problems = check_rules(options.rules)
    sys.stdout.write(render(problems, options.format, color=sys.stdout.isatty()))
    if plan is None:
        return WRONG
    if options.format == "human":
        counts: dict[str, Mapping[str, object]] = {
            "events": plan.contracts,
            "kpis": plan.kpis,
            "rules": plan.rules,
            "objectives": plan.objectives,
        }
        if plan.maintenance:
            counts["maintenance"] = plan.maintenance
        told = ", ".join(f"{len(made)} {WORDS[s][len(made) != 1]}" for s, made in counts.items())
        print(f"{printable(options.rules)}: {told}: all good")  # noqa: T201
    return OK


def _add_schema(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "schema", schema, "print the JSON Schema of the rules, for editors")
    parser.add_argument("--tests", action="store_true", help="that of the rule tests instead")
    parser.add_argument(
        "--rules", type=Path, metavar="DIR", help="offer the names of these rules, too"
    )


def schema(options: argparse.Namespace) -> int:
    """`kpi-agent schema`."""
    if options.tests:
        from agent.ruletests.schema import json_schema
    else:
        from agent.language.schema import json_schema
    made = json_schema()
    if options.rules is not None:
        from agent.language.declared import declare
        from agent.language.hover import with_names

        if not options.rules.exists():
            raise EnvironmentFault(f"{options.rules}: no such file or folder")
        made = with_names(made, declare(options.rules))
    json.dump(made, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return OK


# --- replay ----------------------------------------------------------------------------------


def _add_replay(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "replay", replay, "send files of events through the rules, without Kafka"
    )
    parser.add_argument(
        "files", nargs="+", metavar="[TOPIC=]FILE", help="events as JSON; - for standard input"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.add_argument("--kpi", action="append", default=[], metavar="NAME", help="only this KPI")
    parser.add_argument("--since", type=instant, metavar="TIME", help="ISO 8601, UTC if naive")
    parser.add_argument("--until", type=instant, metavar="TIME", help="ISO 8601, UTC if naive")
    parser.add_argument(
        "--now",
        type=instant,
        metavar="TIME",
        help="what counts as now for events from the future (default: the clock)",
    )


def replay(options: argparse.Namespace) -> int:
    """`kpi-agent replay`."""
    from agent.language.load import load
    from agent.replay.report import Selection, selected, write
    from agent.replay.runner import replay as run_replay
    from agent.replay.runner import sources

    plan = load(options.rules)
    known(options.kpi, tuple(plan.kpis), "KPI")
    files = sources(plan, options.files)
    with reading("replay", files) as progress:
        replayed = run_replay(plan, files, clock_ms(options.now), progress)
    selection = Selection(options.since, options.until, frozenset(options.kpi))
    write(plan, selected(replayed, selection), options.format, sys.stdout)
    if replayed.is_all_lost:
        sys.stderr.write("kpi-agent replay: no event of any contract was found in what was read\n")
        return WRONG
    return OK


# --- run and demo ----------------------------------------------------------------------------


def _add_run(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "run", run, "run the agent on Kafka")
    parser.add_argument("--rules", metavar="DIR", help="default: rules, or KPI_AGENT_RULES")
    parser.add_argument("--brokers", metavar="HOST:PORT", help="default: KPI_AGENT_BROKERS")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="or KPI_AGENT_SETTINGS")
    parser.add_argument("--port", type=_port, metavar="N", help="of the board and /metrics")


def run(options: argparse.Namespace) -> int:
    """`kpi-agent run`."""
    # What is not handled yet would end the process: a reload that is asked for by now comes later.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from agent import logs
    from agent.language.load import load
    from agent.service import supervisor as service
    from agent.settings import load_settings

    settings = load_settings(
        options.settings,
        rules=Path(options.rules) if options.rules else None,
        brokers=options.brokers,
        web_port=options.port,
    )
    logs.configure(settings)
    asyncio.run(service.run(settings, lambda: load(settings.rules)))
    return OK


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number up to 65535; 0 takes any")
    return int(text)


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "demo", demo, "run the whole agent on an embedded broker with an example company"
    )
    parser.add_argument(
        "--retail", action="store_true", help="replay a real retailer's year instead"
    )
    parser.add_argument("--port", type=_port, default=9108, metavar="N", help="default: 9108")
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after that long")


def demo(options: argparse.Namespace) -> int:
    """`kpi-agent demo`."""
    from agent.demo.runner import run_demo

    return run_demo(retail=options.retail, port=options.port, seconds=options.seconds)


# --- generate --------------------------------------------------------------------------------


GENERATED = {
    "prometheus": "deploy/prometheus",
    "alertmanager": "deploy/alertmanager",
    "grafana": "grafana",
}
"""What can be generated, and where it goes."""


def _add_generate(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "generate",
        generate,
        "write Prometheus rules, Alertmanager routes or Grafana boards from the rules",
    )
    parser.add_argument("what", choices=tuple(GENERATED))
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"default: {', '.join(GENERATED.values())}"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where the files differ"
    )
    parser.add_argument(
        "--external-labels",
        metavar="NAMES",
        help="labels that keep environments apart, by commas; default: those of the setting",
    )


def generate(options: argparse.Namespace) -> int:
    """`kpi-agent generate`."""
    from agent.core.output.labels import check_external_labels
    from agent.generate.alertmanager import (
        RECEIVERS_FILE,
        alertmanager_files,
        read_receivers,
        skeleton,
    )
    from agent.generate.files import differs, write
    from agent.generate.grafana import grafana_files
    from agent.generate.prometheus import Deployment, prometheus_files
    from agent.language.load import load

    plan = load(options.rules)
    external = _external_names(options.external_labels)
    check_external_labels(plan, external)
    what = options.what
    out = options.out or Path(GENERATED[what])
    receivers = out / RECEIVERS_FILE
    if what == "alertmanager":
        files = alertmanager_files(plan, read_receivers(receivers), external)
    else:
        deployment = Deployment(external_labels=external)
        prometheus = what == "prometheus"
        files = prometheus_files(plan, deployment) if prometheus else grafana_files(plan, external)
    if options.check:
        found = differs(out, files, what)
        for path in found:
            _say(f"{path} is not what the rules generate; run: kpi-agent generate {what}")
        return WRONG if found else OK
    with writing(out):
        for path in write(out, files, what):
            _say(f"wrote {path}")
        if what == "alertmanager" and not receivers.exists():
            receivers.write_text(skeleton(plan), encoding="utf-8")
            _say(f"wrote {receivers}: yours to fill in")
    return OK


def _external_names(option: str | None) -> tuple[str, ...]:
    """The names of the external labels: of the option, else of the setting."""
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


# --- saying it -------------------------------------------------------------------------------


def _say_rules_error(error: RulesError) -> None:
    from agent.language.problems import SpecError
    from agent.language.report import render

    if isinstance(error, SpecError):
        sys.stderr.write(render(error.problems, color=sys.stderr.isatty()))
    else:
        _say(f"kpi-agent: {error}")


def _say(text: str) -> None:
    sys.stderr.write(f"{printable_lines(text)}\n")
