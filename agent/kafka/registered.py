"""Where the schemas that a registry has for the topics of a plan don't fit its contracts.

A topic's schemas are those of the subjects `<topic>-value` and `<topic>-key` (TopicNameStrategy),
each in its newest version:
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.core.decode.schema_fit import misfits
from agent.core.decode.schema_shape import shape_of
from agent.core.decode.schemas import SchemaError
from agent.core.model.events import Contract
from agent.core.model.paths import Root
from agent.core.model.plan import Plan
from agent.core.model.schemas import REGISTRY
from agent.errors import EnvironmentFault
from agent.kafka.registry_client import RegistryClient, UnreachableError
from agent.settings import Settings

_VALUE, _KEY = "-value", "-key"
_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF", "json": "JSON"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong between an event and a registered schema; `part` is its place in the rules,
    below the event. `is_unknown`: the registry has no schema, or none that can be read."""

    event: str
    part: tuple[str, ...]
    message: str
    is_unknown: bool = False


def registered(settings: Settings, plan: Plan) -> list[Finding]:
    """All findings, by event. Raises EnvironmentFault where the registry does not answer."""
    client = RegistryClient(settings)
    try:
        subjects = client.subjects()
        return [
            finding
            for contract in plan.contracts.values()
            for finding in _of_contract(client, contract, subjects)
        ]
    except UnreachableError as error:
        raise EnvironmentFault(str(error)) from error


def _of_contract(
    client: RegistryClient, contract: Contract, subjects: Sequence[str]
) -> Iterator[Finding]:
    reads_keys = any(path[:1] and path[0] == Root("key") for path in contract.paths)
    for ending in (_VALUE, _KEY) if reads_keys else (_VALUE,):
        named = [name for name in subjects if _topic_of(name, ending) in contract.topics]
        for subject in named:
            yield from _of_subject(client, contract, subject, ending)
        if not named and contract.schema == REGISTRY:
            text = f"the registry has no subject {contract.topics.default}{ending}"
            yield Finding(contract.name, ("topic",), text, is_unknown=True)


def _of_subject(
    client: RegistryClient, contract: Contract, subject: str, ending: str
) -> Iterator[Finding]:
    latest = client.latest(subject)
    if latest is None:  # deleted since it was listed
        return
    number, schema = latest
    where = f"topic {_topic_of(subject, ending)}, subject {subject}, schema {number}"
    if ending == _VALUE and schema.kind != _KINDS[contract.format]:
        other = next(name for name, kind in _KINDS.items() if kind == schema.kind)
        text = f"the schema is one of {other}: {where}"
        yield Finding(contract.name, ("format",), text)
        return
    try:
        differing = misfits(contract, shape_of(schema), is_key=ending == _KEY)
    except SchemaError as error:
        yield Finding(contract.name, ("topic",), f"{error}: {where}", is_unknown=True)
        return
    for misfit in differing:
        yield Finding(contract.name, misfit.part, f"{misfit.message}: {where}")


def _topic_of(subject: str, ending: str) -> str | None:
    return subject.removesuffix(ending) if subject.endswith(ending) else None
