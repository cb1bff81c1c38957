"""A blocking client of a schema registry, over the vendor's client."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import Any

from agent.core.decode.schemas import SchemaId
from agent.core.model.events import Schema, SchemaKind
from agent.errors import EnvironmentFault, reason_of
from agent.settings import Settings

TIMEOUT_SECONDS = 10.0  # of one request
_NOT_FOUND = frozenset({40401, 40402, 40403})
"""The registry's error codes for unknown subjects, versions and schemas; a bare 404 comes from
another server."""
_MOST_REFERENCES = 200


class UnreachableError(Exception):
    """The registry did not answer whether it has a schema. The message has the reason."""


class RegistryClient:
    """A client of one registry. Raises EnvironmentFault if the vendor's client is not installed, or
    the settings can't be used; every method raises UnreachableError."""

    def __init__(self, settings: Settings) -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError as error:
            raise EnvironmentFault(
                "a schema registry needs libraries that are not installed",
                "Install them: pip install 'kpi-agent[schemas]'",
            ) from error
        try:
            self._client: Any = SchemaRegistryClient(client_settings(settings))
        except (OSError, ValueError) as error:
            raise EnvironmentFault(
                f"the schema registry's settings can't be used: {error}"
            ) from error
        self._name = f"the schema registry {settings.schema_registry}"

    def schema(self, schema_id: SchemaId) -> Schema | None:
        """A schema with its references; None if the registry has none of this id."""

        def get() -> Any:
            if isinstance(schema_id, int):
                return self._client.get_schema(schema_id, fmt="serialized")
            return self._client.get_schema_by_guid(schema_id, fmt="serialized")

        registered = self._request(get)
        return None if registered is None else self._complete(registered)

    def latest(self, subject: str) -> tuple[int, Schema] | None:
        """The id and schema of a subject's newest version; None if the registry has none."""
        newest = self._request(partial(self._client.get_latest_version, subject, fmt="serialized"))
        return None if newest is None else (newest.schema_id, self._complete(newest.schema))

    def subjects(self) -> list[str]:
        """The names of all subjects."""
        return list(self._request(self._client.get_subjects) or ())

    def _complete(self, registered: Any) -> Schema:
        references: dict[str, str] = {}
        self._collect(registered, references)
        kind: SchemaKind = registered.schema_type or "AVRO"
        if kind == "PROTOBUF":
            return Schema(kind, _file_set(registered.schema_str, references))
        return Schema(kind, registered.schema_str, tuple(references.items()))

    def _collect(self, schema: Any, references: dict[str, str]) -> None:
        """Add the references of a schema, each after its own references."""
        for reference in schema.references or ():
            if reference.name in references or len(references) >= _MOST_REFERENCES:
                continue
            version = partial(self._client.get_version, fmt="serialized")
            referenced = self._request(partial(version, reference.subject, reference.version))
            if referenced is not None:
                self._collect(referenced.schema, references)
                references[reference.name] = referenced.schema.schema_str

    def _request(self, get: Callable[[], Any]) -> Any:
        """The result of a request, None if the registry does not have it."""
        from confluent_kafka.schema_registry import SchemaRegistryError

        try:
            return get()
        except SchemaRegistryError as error:
            if error.error_code in _NOT_FOUND:
                return None
            status = f"(HTTP {error.http_status_code})"
            if error.http_status_code in (401, 403):
                message = f"{self._name} refuses the credentials {status}"
            else:
                message = f"{self._name} answers: {error.error_message} {status}"
            raise UnreachableError(message) from error
        except Exception as error:  # the client's transport has errors of its own
            reason = reason_of(error)
            raise UnreachableError(f"{self._name} does not answer: {reason}") from error


class SchemaCache:
    """Schemas by id, each fetched once, for those who wait for the registry's answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: RegistryClient | None = None
        self._known: dict[SchemaId, Schema | None] = {}

    def schemas(self, ids: Set[SchemaId]) -> Mapping[SchemaId, Schema | None]:
        """Schemas by id, None of those that the registry does not have. Raises EnvironmentFault
        where it does not answer, or none is set."""
        for schema_id in ids - self._known.keys():
            self._client = self._client or RegistryClient(self._settings)
            try:
                self._known[schema_id] = self._client.schema(schema_id)
            except UnreachableError as error:
                raise EnvironmentFault(str(error)) from error
        return {schema_id: self._known[schema_id] for schema_id in ids}


def client_settings(settings: Settings) -> dict[str, Any]:
    """The settings as the vendor's client has them. Raises EnvironmentFault without an address."""
    if not settings.schema_registry:
        raise EnvironmentFault(
            "events name schemas of a registry, and no registry is set",
            "Say where it is: KPI_AGENT_SCHEMA_REGISTRY=https://host:8081",
        )
    own: dict[str, Any] = {
        "url": settings.schema_registry,
        "timeout": TIMEOUT_SECONDS,
        "max.retries": 0,  # callers retry, and report it
    }
    files = {
        "ssl.ca.location": settings.schema_registry_cafile,
        "ssl.certificate.location": settings.schema_registry_certfile,
        "ssl.key.location": settings.schema_registry_keyfile,
    }
    own |= {name: str(file) for name, file in files.items() if file is not None}
    if settings.schema_registry_user:
        password = settings.password_of("schema_registry") or ""
        own["basic.auth.user.info"] = f"{settings.schema_registry_user}:{password}"
    if (token := settings.token_of("schema_registry")) is not None:
        own |= {
            "bearer.auth.credentials.source": "STATIC_TOKEN",
            "bearer.auth.token": token,
            "bearer.auth.logical.cluster": settings.schema_registry_cluster,
        }
    return own


def _file_set(text: str, references: Mapping[str, str]) -> str:
    """The descriptor set of a Protobuf schema and its imports, the schema last. A text that is no
    file descriptor is returned as it is; reading it fails."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

    files = FileDescriptorSet()
    try:
        for name, content in (*references.items(), ("", text)):
            file = FileDescriptorProto.FromString(base64.b64decode(content, validate=True))
            file.name = name or file.name or "schema.proto"
            files.file.append(file)
    except ValueError:
        return text
    return base64.b64encode(files.SerializeToString()).decode()
