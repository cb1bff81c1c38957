"""Metadata of topics with their ids.

A topic that is deleted and created again has the same name and another id. aiokafka requests
metadata in versions without ids, so the request is declared here, in a version that Kafka has since
2.8; older brokers get aiokafka's version, and return no ids.

Internals of aiokafka in use: `protocol` (structures and their types), and
`AIOKafkaAdminClient._send_request`. `tests/kafka/test_topic_ids.py` checks both.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import LeaderNotAvailableError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

METADATA_API = 3
NO_ID = bytes(16)
_NO_TAGS: Mapping[int, bytes] = {}


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """The metadata of a topic. `topic_id` as Kafka's tools show it, "" if the broker has none."""

    topic_id: str
    partitions: int


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # untyped
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _Response_v11(Response):  # type: ignore[misc]  # untyped
    API_KEY = METADATA_API
    API_VERSION = 11
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Request_v11(RequestStruct):  # type: ignore[misc]  # untyped
    API_KEY = METADATA_API
    API_VERSION = 11
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response_v11
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


_Struct: TypeAlias = MetadataRequest_v5 | _Request_v11


class _MetadataRequest(Request[_Struct]):  # type: ignore[misc]  # untyped
    """Requests the metadata of topics; None: of all. With `auto_create`, a broker with
    auto.create.topics.enable (Kafka's default) creates those that don't exist, with its own
    defaults."""

    API_KEY = METADATA_API

    def __init__(self, topics: Collection[str] | None, auto_create: bool) -> None:
        self._topics = topics
        self._auto_create = auto_create

    def build(self, request_struct_class: type[_Struct]) -> _Struct:
        topics = None if self._topics is None else list(self._topics)
        if request_struct_class is _Request_v11:
            named = None if topics is None else [(NO_ID, topic, _NO_TAGS) for topic in topics]
            return _Request_v11(named, self._auto_create, False, _NO_TAGS)
        return MetadataRequest_v5(topics, self._auto_create)


async def describe(
    admin: AIOKafkaAdminClient, topics: Collection[str] | None, *, auto_create: bool = False
) -> Mapping[str, TopicMetadata]:
    """The metadata of those topics that exist; None: of all, without those that the broker reports
    an error for. Raises KafkaError if the request fails.

    aiokafka's own `describe_topics` creates missing topics if the broker allows it, with the
    broker's number of partitions and retention. So the agent does not use it.
    """
    if topics is not None and not topics:
        return {}
    response = await admin._send_request(_MetadataRequest(topics, auto_create))
    by_topic: dict[str, TopicMetadata] = {}
    described: list[dict[str, Any]] = response.to_object()["topics"]
    for topic in described:
        error = for_code(topic["error_code"])
        if error is UnknownTopicOrPartitionError:
            continue
        if error is LeaderNotAvailableError and auto_create:
            continue  # it is being created
        if topic["error_code"] and topics is None:
            continue  # it is being created or deleted
        if topic["error_code"]:
            raise error(topic["topic"])
        by_topic[topic["topic"]] = TopicMetadata(
            _as_text(topic.get("topic_id", NO_ID)), len(topic["partitions"])
        )
    return by_topic


def _as_text(topic_id: bytes) -> str:
    if topic_id == NO_ID:
        return ""
    return base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode()
