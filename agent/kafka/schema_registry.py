"""Fetches the schemas of records from a registry, and caches them.

The core decodes a batch with schemas that are part of it, so they are fetched before. While a
registry can't be reached, or refuses the credentials, batches wait, and the reason is reported: no
record is rejected for it. Records whose schema the registry does not have are rejected. Requests
are made in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from agent.core.decode.batch import Batch
from agent.core.decode.schemas import SchemaId, named_ids
from agent.core.model.events import Schema
from agent.core.model.plan import Plan
from agent.errors import EnvironmentFault
from agent.kafka.registry_client import RegistryClient, UnreachableError
from agent.settings import Settings

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""How long a batch waits. Then the run of the stage ends, and the next run waits again: a consumer
that fetches nothing for five minutes loses its partitions (aiokafka: max_poll_interval_ms)."""
UNKNOWN_SECONDS = 60.0
"""How long an unknown id is not requested again."""


class SchemaRegistry:
    """Schemas by id, of the topics of a plan whose records name their own."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        report: Callable[[str | None], None] = lambda reason: None,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._named: dict[str, bool] = {}  # topics, and whether their records name their schemas
        self._report = report  # what is waited for; None: nothing
        self._known: dict[SchemaId, Schema] = {}
        self._unknown: dict[SchemaId, float] = {}  # since when, monotonic
        self._requests = ThreadPoolExecutor(1, thread_name_prefix="schemas")
        self._client: RegistryClient | None = None
        self._given_up = asyncio.Event()
        self._waits = False

    async def with_schemas(self, batch: Batch) -> Batch:
        """A batch with the schemas of its records. Raises EnvironmentFault if waiting for them is
        given up."""
        if not self._names_schemas(batch.topic):
            return batch
        ids = await asyncio.get_running_loop().run_in_executor(None, named_ids, batch)
        return replace(batch, schemas=await self.fetch(ids))

    async def fetch(self, ids: Collection[SchemaId]) -> Mapping[SchemaId, Schema | None]:
        """Schemas by id, None of those that the registry does not have."""
        now = time.monotonic()
        for missing in [i for i in ids if i not in self._known]:
            if now - self._unknown.get(missing, -UNKNOWN_SECONDS) >= UNKNOWN_SECONDS:
                await self._fetch_one(missing)
        return {schema_id: self._known.get(schema_id) for schema_id in ids}

    def give_up(self) -> None:
        """Fail the batches that wait for the registry."""
        if self._waits:
            self._given_up.set()

    def close(self) -> None:
        """Cancel all requests."""
        self._report(None)
        self._requests.shutdown(wait=False, cancel_futures=True)

    async def _fetch_one(self, schema_id: SchemaId) -> None:
        wait_seconds, started = FIRST_WAIT_SECONDS, time.monotonic()
        while True:
            try:
                loop = asyncio.get_running_loop()
                schema = await loop.run_in_executor(self._requests, self._ask, schema_id)
            except UnreachableError as error:
                await self._wait(str(error), wait_seconds, started)
                wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
                continue
            if schema is None:
                self._unknown[schema_id] = time.monotonic()
            else:
                self._known[schema_id] = schema
            self._waits = False
            self._report(None)
            return

    async def _wait(self, reason: str, seconds: float, started: float) -> None:
        self._waits = True
        self._report(reason)
        try:
            await asyncio.wait_for(self._given_up.wait(), seconds)
        except TimeoutError:
            if time.monotonic() - started < PATIENCE_SECONDS:
                return
        self._waits = False
        self._given_up.clear()
        raise EnvironmentFault(reason)

    def _names_schemas(self, topic: str) -> bool:
        """Whether records of a topic have ids of schemas in a registry."""
        if topic not in self._named:
            contracts = self._plan.contracts_of(topic)
            self._named[topic] = any(contract.names_schemas for contract in contracts)
        return self._named[topic]

    def _ask(self, schema_id: SchemaId) -> Schema | None:
        """A schema, None if the registry has none of this id. Raises UnreachableError."""
        if self._client is None:
            self._client = RegistryClient(self._settings)
        return self._client.schema(schema_id)
