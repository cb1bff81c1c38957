"""Samples reach a receiver whatever it answers; what it refuses for good is dropped and counted."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agent.core.model import metrics
from agent.export.remote_write import sender as module
from agent.export.remote_write.metrics import REASONS, RemoteWriteMetrics
from agent.export.remote_write.sender import Sender, retry_after_seconds, series_text
from agent.export.remote_write.wire import Sample
from agent.settings import load_settings

from .receiver import Receiver, serving

NOW_MS = 1_800_000_000_000


def sample(series: str, minute: int) -> Sample:
    labels = (("__name__", "kpi_orders"), ("region", series))
    return Sample(labels, NOW_MS - 3_600_000 + minute * 60_000, float(minute))


async def send(receiver: Receiver, *batches: list[Sample], **given: object) -> dict[str, float]:
    """Send batches; what was counted: `sent`, `failures`, and by reason what was dropped."""
    registry = CollectorRegistry()
    async with serving(receiver) as url:
        chosen = load_settings(remote_write_url=url, **given)
        async with Sender(
            chosen, RemoteWriteMetrics(registry), lambda: NOW_MS, first_pause_seconds=0.01
        ) as sender:
            for batch in batches:
                await sender.deliver(batch)
    names = {"sent": metrics.REMOTE_WRITE_SAMPLES, "failures": metrics.REMOTE_WRITE_FAILURES}
    counts = {word: registry.get_sample_value(name) for word, name in names.items()} | {
        reason: registry.get_sample_value(metrics.REMOTE_WRITE_DROPPED, {"reason": reason})
        for reason in REASONS
    }
    return {word: count for word, count in counts.items() if count}


async def test_samples_are_acknowledged_and_counted() -> None:
    receiver = Receiver()
    counted = await send(receiver, [sample("a", 1), sample("b", 1), sample("a", 2)])
    assert sorted(receiver.stored) == sorted([sample("a", 1), sample("b", 1), sample("a", 2)])
    assert counted == {"sent": 3}
    (headers,) = receiver.headers
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["Content-Encoding"] == "snappy"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 302, 500, 503])
async def test_a_request_is_made_again_until_the_receiver_takes_it(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(answers=[(status, {}), (status, {})])
    with caplog.at_level(logging.INFO):
        counted = await send(receiver, [sample("a", 1)])
    assert receiver.stored == [sample("a", 1)]
    assert counted == {"sent": 1, "failures": 2}
    said = [r.message for r in caplog.records if r.name == module.__name__]
    assert len(said) == 2
    assert f"failed, retrying: {status}: not now" in said[0]
    assert "again" in said[1]


async def test_a_receiver_that_asks_for_a_pause_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    receiver = Receiver(answers=[(429, {"Retry-After": "7"}), (503, {"Retry-After": "soon"})])
    await send(receiver, [sample("a", 1)])
    assert slept[0] == 7.0
    assert 0 < slept[1] < 1


def test_retry_after_is_seconds_or_a_date_and_bounded() -> None:
    assert retry_after_seconds("120", NOW_MS) == 120.0
    assert retry_after_seconds("86400", NOW_MS) == 600.0
    assert retry_after_seconds("Fri, 15 Jan 2027 08:00:30 GMT", NOW_MS) == 30.0
    assert retry_after_seconds("Fri, 15 Jan 2027 07:00:00 GMT", NOW_MS) == 0.0
    assert retry_after_seconds("", NOW_MS) is None


async def test_what_is_refused_is_dropped_alone_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = sample("a", 3)
    receiver = Receiver(refuses=lambda s: "duplicate sample" if s == bad else None)
    good = [sample(series, minute) for series in "abc" for minute in range(5)]
    good.remove(bad)
    counted = await send(receiver, [*good, bad])
    assert sorted(receiver.stored) == sorted(good)
    assert counted == {"sent": len(good), "rejected": 1}
    assert (
        'refused 1 samples, which are dropped; the first is kpi_orders{region="a"} at '
        "2027-01-15T07:03:00Z: 400: duplicate sample"
    ) in caplog.text


async def test_what_is_older_than_the_receiver_takes_costs_few_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    floor_ms = sample("a", 50).at_ms
    receiver = Receiver(refuses=lambda s: "out of bounds" if s.at_ms < floor_ms else None)
    batch = [sample(f"s{n}", minute) for minute in range(60) for n in range(30)]
    counted = await send(receiver, batch)
    assert sorted(receiver.stored) == sorted(s for s in batch if s.at_ms >= floor_ms)
    assert counted == {"sent": 10 * 30, "too_old": 50 * 30}
    assert len(receiver.headers) < 50 * 30 / 4
    assert "refused 1500 samples" in caplog.text


async def test_login_and_headers_are_those_of_the_settings_and_read_again_after_a_failure(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    receiver = Receiver(answers=[(401, {})])
    counted = RemoteWriteMetrics(CollectorRegistry())
    async with serving(receiver) as url:
        chosen = load_settings(
            remote_write_url=url, remote_write_token_file=file,
            remote_write_headers="X-Scope-OrgID=shop",
        )  # fmt: skip
        async with Sender(chosen, counted, lambda: NOW_MS, first_pause_seconds=0.01) as sender:
            await sender.deliver([sample("a", 1)])
            file.write_text("new")
            receiver.answers.append((401, {}))
            await sender.deliver([sample("a", 2)])
    tokens = [headers["Authorization"] for headers in receiver.headers]
    assert tokens == ["Bearer old", "Bearer old", "Bearer old", "Bearer new"]
    assert {headers["X-Scope-OrgID"] for headers in receiver.headers} == {"shop"}


async def test_basic_authentication() -> None:
    receiver = Receiver()
    await send(receiver, [sample("a", 1)], remote_write_user="ada", remote_write_password="né:e")
    assert receiver.headers[0]["Authorization"] == "Basic YWRhOm7DqTpl"


STREAMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=40, unique=True)


@given(STREAMS, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
async def test_each_sample_is_stored_or_dropped_once_and_no_series_goes_back_in_time(
    stream: list[tuple[str, int]], data: st.DataObject
) -> None:
    samples = [sample(*place) for place in sorted(stream, key=lambda place: place[1])]
    bad = set(data.draw(st.lists(st.sampled_from(samples), unique=True))) if samples else set()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=3)))
    begins, ends = [0, *cuts], [*cuts, len(samples)]
    receiver = Receiver(refuses=lambda s: "no" if s in bad else None)
    counted = await send(receiver, *(samples[a:b] for a, b in zip(begins, ends, strict=True)))
    assert sorted(receiver.stored) == sorted(s for s in samples if s not in bad)
    assert counted.get("rejected", 0) == len(bad)
    for series in "abc":
        times = [s.at_ms for s in receiver.stored if dict(s.labels)["region"] == series]
        assert times == sorted(times)


def test_a_series_is_written_as_it_is_queried() -> None:
    assert series_text(sample("no\n", 1).labels) == 'kpi_orders{region="no\\n"}'
