"""The schemas that records in files name, from the registry of the settings.

Files are read without Kafka, and mostly without settings: these are loaded where the first records
need a registry. Where none is set, such records are rejected, with a hint.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.decode.batch import Batch
from agent.core.decode.schemas import named_ids
from agent.core.model.plan import Plan
from agent.kafka.registry_client import SchemaCache
from agent.settings import load_settings


class FileSchemas:
    """Schemas for the files of one command."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._cache: SchemaCache | None = None

    def with_schemas(self, batch: Batch) -> Batch:
        """A batch with the schemas that its records name; the same where they need none, or no
        registry is set. Raises EnvironmentFault where the registry does not answer."""
        if not any(c.names_schemas for c in self._plan.contracts_of(batch.topic)):
            return batch
        if self._cache is None:
            settings = load_settings()
            if not settings.schema_registry:
                return batch
            self._cache = SchemaCache(settings)
        return replace(batch, schemas=self._cache.schemas(named_ids(batch)))
