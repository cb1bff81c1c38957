"""The requests of Prometheus remote write 1.0: a `prometheus.WriteRequest`, compressed with snappy.

https://prometheus.io/docs/specs/prw/remote_write_spec/; the numbers of the fields are those of
`prompb/remote.proto` and `prompb/types.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

Labels = tuple[tuple[str, str], ...]
"""The labels of a series with its name (`__name__`), sorted by name as the protocol requires."""


class Sample(NamedTuple):
    """A value of a series at an instant (ms)."""

    labels: Labels
    at_ms: int
    value: float


def encode(samples: Iterable[Sample]) -> bytes:
    """The body of a request. It groups the samples by series, in the order given."""
    request = _WriteRequest()
    series: dict[Labels, Any] = {}
    for sample in samples:
        at = series.get(sample.labels)
        if at is None:
            at = series[sample.labels] = request.timeseries.add()
            for name, value in sample.labels:
                at.labels.add(name=name, value=value)
        at.samples.add(value=sample.value, timestamp=sample.at_ms)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def _message(file: Any, name: str, *fields: tuple[str, int, int, str | None]) -> None:
    """Add a message to a file: its fields as (name, number, type, message of a repeated one)."""
    message = file.message_type.add(name=name)
    for field, number, kind, repeated in fields:
        added = message.field.add(name=field, number=number, type=kind)
        added.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
        if repeated:
            added.type_name = f".kpi_agent.remote_write.{repeated}"


def _write_request() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="kpi_agent/remote_write.proto", package="kpi_agent.remote_write", syntax="proto3"
    )
    _message(
        file, "Label", ("name", 1, Field.TYPE_STRING, None), ("value", 2, Field.TYPE_STRING, None)
    )
    _message(
        file, "Sample",
        ("value", 1, Field.TYPE_DOUBLE, None), ("timestamp", 2, Field.TYPE_INT64, None),
    )  # fmt: skip
    _message(
        file, "TimeSeries",
        ("labels", 1, Field.TYPE_MESSAGE, "Label"), ("samples", 2, Field.TYPE_MESSAGE, "Sample"),
    )  # fmt: skip
    _message(file, "WriteRequest", ("timeseries", 1, Field.TYPE_MESSAGE, "TimeSeries"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("kpi_agent.remote_write.WriteRequest")
    return message_factory.GetMessageClass(descriptor)


_WriteRequest = _write_request()
