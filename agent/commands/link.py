"""`kpi-agent link`: the address at which a person, or an owner, sees private KPIs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from agent.commands.common import add_settings, nearest, usage
from agent.errors import EnvironmentFault, RulesError

ABOUT = "print the address of the private page of a person or an owner"
EXAMPLES = (
    "kpi-agent link employee=4711",
    "kpi-agent link --owner warehouse-lead --base https://kpi.example.org",
    "kpi-agent link employee=4711 --hashes",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "person", nargs="?", metavar="DIMENSION=NAME", help="for example employee=4711"
    )
    parser.add_argument("--owner", metavar="NAME", help="the owner of private KPIs")
    parser.add_argument(
        "--hashes",
        action="store_true",
        help="print the person's hash instead, then those by earlier secrets",
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    add_settings(parser)
    parser.add_argument(
        "--base", default="http://localhost:9108", metavar="URL", help="the address of the agent"
    )


def run(options: Namespace) -> int:
    """`kpi-agent link`."""
    from agent.core.output.privacy import Privacy
    from agent.language.load import load
    from agent.settings import load_settings

    if (options.person is None) == (options.owner is None):
        return usage("link", "name either a person (employee=4711) or an --owner")
    if options.hashes and options.owner is not None:
        return usage("link", "--hashes are of a person (employee=4711)")
    private = [kpi for kpi in load(options.rules).kpis.values() if kpi.person is not None]
    settings = load_settings(options.settings)
    people, links = settings.secrets_of("person"), settings.secrets_of("link")
    if not people and not links:
        raise EnvironmentFault(
            "there is no person_secret, by which the agent makes these addresses",
            "Set KPI_AGENT_PERSON_SECRET_FILE or KPI_AGENT_PERSON_SECRET as for the agent.",
        )
    privacy = Privacy(*people, link_secrets=links)
    if options.owner is not None:
        owners = {kpi.owner for kpi in private if kpi.owner}
        _known(options.owner, owners, "owner of a private KPI", "owners of private KPIs")
        token = privacy.owner_tokens(options.owner)[0]
    else:
        dimension, _, name = options.person.partition("=")
        persons = {kpi.person for kpi in private if kpi.person}
        _known(dimension, persons, "person of a private KPI", "people of private KPIs")
        if options.hashes:
            sys.stdout.writelines(f"{line}\n" for line in privacy.pseudonyms(dimension, name))
            return 0
        token = privacy.person_tokens(dimension, name)[0]
    sys.stdout.write(f"{options.base.rstrip('/')}/private/{token}\n")
    return 0


def _known(name: str, names: set[str], what: str, several: str) -> None:
    if name not in names:
        raise RulesError(f"{name} is not the {what} in these rules", nearest(name, names, several))
