"""CloudEvents in each of their modes."""

import base64
from typing import Any

from agent.core.model.events import Envelope, Field, TimeSource
from agent.core.model.paths import Root
from tests.core.decode.enveloped import AROUND, columns, decoded, enveloped
from tests.core.decode.samples import AT

CLOUD = enveloped(
    Envelope("cloudevents"),
    Field("total", ("total",), "float"),
    Field("tenant", (AROUND, "tenant"), "string"),
    type_path=(AROUND, "type"),
    times=(TimeSource((AROUND, "time")), TimeSource((Root("timestamp"),))),
    ids=((AROUND, "source"), (AROUND, "id")),
)


def cloud_event(id_: str = "1", **members: Any) -> dict[str, Any]:
    common = {"specversion": "1.0", "type": "order", "source": "/shop", "id": id_, "time": AT}
    return {**common, "tenant": "t", "data": {"total": 5}, **members}


def test_cloudevents_are_read_in_each_of_their_modes() -> None:
    structured = cloud_event()
    text = base64.b64encode(b'{"total": 6}').decode()
    in_base64 = cloud_event("2", data=None, data_base64=text)
    batched = [cloud_event("3", data={"total": 7}), cloud_event("4", type="other")]
    headers = [("ce_" + k, v.encode()) for k, v in cloud_event("5").items() if isinstance(v, str)]
    result = decoded(CLOUD, structured, in_base64, batched, {"total": 8}, headers={3: headers})
    assert columns(result, "_row", "total", "tenant") == [
        (0, 5.0, "t"), (1, 6.0, "t"), (2, 7.0, "t"), (3, 8.0, "t")
    ]  # fmt: skip
    assert len(set(columns(result, "_id"))) == 4


def test_one_bad_event_of_a_batch_leaves_its_neighbours() -> None:
    bad = cloud_event("2", time="soon")
    result = decoded(CLOUD, [cloud_event("1"), bad, 7, cloud_event("3")], {"total": 1})
    assert columns(result, "_row", "_id") == [(0, "/shop\x1f 1"), (0, "/shop\x1f 3")]
    assert [(row, r.reason) for row, r in result.rejects] == [
        (0, "not_an_object"), (1, "missing_field")
    ]  # fmt: skip


def test_an_event_without_data_has_only_attributes() -> None:
    event = cloud_event()
    del event["data"], event["time"]
    assert columns(decoded(CLOUD, event), "total", "tenant") == [(None, "t")]
