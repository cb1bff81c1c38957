"""Compares the contracts of a plan with the schemas that a registry has for their topics.

A topic's schemas are the newest versions of its subjects. A contract names them, or they follow
from the topic: `<topic>-value` and `<topic>-key` (TopicNameStrategy), or else `<topic>-<record>`
(TopicRecordNameStrategy), where a topic has only one. A record's name (RecordNameStrategy) says
nothing of a topic, so contracts have to name it:
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.core.decode.schema_fit import misfits
from agent.core.decode.schema_shape import shape_of
from agent.core.decode.schemas import SchemaError
from agent.core.model.events import REGISTRY, Contract, Schema, Topics
from agent.core.model.paths import Root
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.registry_client import RegistryClient, UnreachableError
from agent.settings import Settings

_VALUE, _KEY = "-value", "-key"
_BY_SCHEMA = (Root("schema"),)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mismatch of an event and a registered schema; `part` is its path in the rules, below the
    event. `is_unknown`: the registry has no schema, or none that can be read."""

    event: str
    part: tuple[str, ...]
    message: str
    is_unknown: bool = False


def registered(settings: Settings, plan: Plan) -> list[Finding]:
    """All mismatches, by event. Raises EnvironmentFault if the registry does not answer."""
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


@dataclass(frozen=True, slots=True)
class Registered:
    """The newest schema of a subject. Of a Protobuf file, `schema.message` is what the subject is
    called after, if it has that."""

    subject: str
    number: int
    schema: Schema


def registered_for(
    settings: Settings, topic: str, subject: str | None = None, record: str = ""
) -> Registered:
    """The schema of a topic's values. `subject`: the one that has it; None: by the full name of the
    record, or else by the topic's name.
    Raises EnvironmentFault where the registry does not answer, or has no such subject."""
    client = RegistryClient(settings)
    try:
        named = [subject] if subject else _subjects_of(client.subjects(), topic, record)
        latest = client.latest(named[0])
    except UnreachableError as error:
        raise EnvironmentFault(str(error)) from error
    if latest is None:
        hint = "Name the one that its producers use: --subject"
        raise EnvironmentFault(f"the registry has no subject {named[0]}", hint)
    number, schema = latest
    return Registered(named[0], number, _of_message(schema, named[0]))


def _subjects_of(subjects: Sequence[str], topic: str, record: str) -> list[str]:
    """The subject of a topic's values; that of TopicNameStrategy if there is none. Raises
    EnvironmentFault where there are several."""
    if named := [s for s in (f"{topic}-{record}", record) if record and s in subjects]:
        return named
    named = value_subjects(subjects, Topics((topic,))).get(topic, [topic + _VALUE])
    if len(named) > 1:
        known = ", ".join(sorted(named))
        raise EnvironmentFault(
            f"topic {topic} has several subjects: {known}", "Name one: --subject"
        )
    return named


def value_subjects(subjects: Sequence[str], topics: Topics) -> dict[str, list[str]]:
    """By topic of a contract, the subjects of its values, by their names."""
    by_record: dict[str, list[str]] = {}
    for subject in subjects:
        # Names of records have no dash, neither in Avro nor in Protobuf.
        topic, _, record = subject.rpartition("-")
        if topic in topics and f"-{record}" not in (_VALUE, _KEY):
            by_record.setdefault(topic, []).append(subject)
    return by_record | {topic: [s] for topic, s in _by_topic(subjects, topics, _VALUE).items()}


def _by_topic(subjects: Sequence[str], topics: Topics, ending: str) -> dict[str, str]:
    """The subjects that are called after a topic alone, by topic."""
    named = {s.removesuffix(ending): s for s in subjects if s.endswith(ending)}
    return {topic: subject for topic, subject in named.items() if topic in topics}


def _of_contract(
    client: RegistryClient, contract: Contract, subjects: Sequence[str]
) -> Iterator[Finding]:
    by_topic = value_subjects(subjects, contract.topics)
    if contract.type_path == _BY_SCHEMA:
        by_topic = _of_record(subjects, contract)
    yield from _of_part(client, contract, by_topic, contract.subject, is_key=False)
    if any(path[:1] and path[0] == Root("key") for path in contract.paths):
        of_keys = {t: [s] for t, s in _by_topic(subjects, contract.topics, _KEY).items()}
        yield from _of_part(client, contract, of_keys, contract.key_subject, is_key=True)


def _of_record(subjects: Sequence[str], contract: Contract) -> dict[str, list[str]]:
    """By topic, the subject that is called after the record whose name is the contract's type."""
    record = contract.type_value
    by_topic = {
        subject.removesuffix(f"-{record}"): [subject]
        for subject in subjects
        if subject.endswith(f"-{record}")
    }
    own = {topic: names for topic, names in by_topic.items() if topic in contract.topics}
    return own or {str(contract.topics): [s] for s in subjects if s == record}


def _of_part(
    client: RegistryClient,
    contract: Contract,
    by_topic: Mapping[str, Sequence[str]],
    named: str | None,
    *,
    is_key: bool,
) -> Iterator[Finding]:
    """Findings about the values or keys. `named`: the subject that the contract names."""
    option = "key_subject" if is_key else "subject"
    if named is not None:
        if (findings := _of_subject(client, contract, named, str(contract.topics), is_key)) is None:
            text = f"the registry has no subject {named}"
            yield Finding(contract.name, (option,), text, is_unknown=True)
        yield from findings or ()
        return
    for topic, subjects in by_topic.items():
        if len(subjects) > 1:
            known = ", ".join(sorted(subjects))
            text = f"topic {topic} has several subjects, name one in `{option}`: {known}"
            yield Finding(contract.name, ("topic",), text, is_unknown=True)
        else:  # none: deleted since it was listed
            yield from _of_subject(client, contract, subjects[0], topic, is_key) or ()
    if not by_topic and contract.schema == REGISTRY:
        subject = contract.topics.default + (_KEY if is_key else _VALUE)
        if not is_key and contract.type_path == _BY_SCHEMA:
            subject = contract.type_value
        text = f"the registry has no subject {subject}: name another one in `{option}`"
        yield Finding(contract.name, ("topic",), text, is_unknown=True)


def _of_subject(
    client: RegistryClient, contract: Contract, subject: str, topic: str, is_key: bool
) -> list[Finding] | None:
    """What does not fit of a subject's newest schema; None if the registry has none."""
    latest = client.latest(subject)
    if latest is None:
        return None
    number, schema = latest
    where = f"topic {topic}, subject {subject}, schema {number}"
    if not is_key and schema.format != contract.format:
        return [
            Finding(contract.name, ("format",), f"the schema is one of {schema.format}: {where}")
        ]
    try:
        wrong = misfits(contract, shape_of(_of_message(schema, subject)), is_key=is_key)
    except SchemaError as error:
        return [Finding(contract.name, ("topic",), f"{error}: {where}", is_unknown=True)]
    return [Finding(contract.name, m.part, f"{m.message}: {where}") for m in wrong]


def _of_message(schema: Schema, subject: str) -> Schema:
    """The schema of a subject's records. A Protobuf file may have several messages, and the subject
    may be called after one."""
    if schema.kind == "PROTOBUF":
        named = replace(schema, message=subject.rpartition("-")[2])
        with suppress(SchemaError):
            shape_of(named)
            return named
    return schema
