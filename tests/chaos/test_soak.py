"""As many events as the machine can take for minutes, while the rules are reloaded: memory stays,
no lag grows, and every window and every outcome is exact."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.flood import PARTITIONS, RULES
from tests.chaos.soak import Sampler, Samples, Truth, truth_of
from tests.chaos.truth import read_all
from tests.chaos.world import Worker, ms
from tests.integration.waiting import until

log = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.needs_kafka,
    pytest.mark.timeout(3_600),
    pytest.mark.full,
]

TOPIC = "flood"
RELOAD_SECONDS = 60
WARM_SHARE = 0.3
MOST_GROWTH = 0.10
"""Of the memory, over the whole soak, once warm."""
MOST_LAG_SECONDS = 3.0


def write_rules(folder: Path, number: int) -> None:
    """Rules that differ in words only."""
    whole = folder.parent / "rules.new"
    whole.write_text(RULES.replace("TOPIC", TOPIC).replace("TITLE", f"Revenue {number}"))
    whole.replace(folder / "rules.yaml")


@pytest.fixture
def worker(cluster: Cluster, tmp_path: Path) -> Worker:
    rules = tmp_path / "rules"
    rules.mkdir()
    write_rules(rules, 0)
    settings = {
        "brokers": cluster.address,
        "group": "soak",
        "topic_prefix": "soak",
        "values_topic": "soak-values",
        "alerts_topic": "soak-alerts",
        "rules": rules,
        "data_dir": tmp_path / "data",
    }
    return Worker("soak", tmp_path, settings)


def test_soak(
    cluster: Cluster, worker: Worker, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    rate = request.config.getoption("--soak-rate")
    seconds = 60 * request.config.getoption("--soak-minutes")
    notes = tmp_path / "notes"
    notes.mkdir()
    cluster.create_topic(TOPIC, PARTITIONS)
    worker.start()
    try:
        worker.wait_ready()
        sampler = Sampler(worker)
        command = [sys.executable, "-m", "tests.chaos.flood", cluster.address, TOPIC]
        command += [str(rate), str(seconds), str(seed), str(notes)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
            reloads = reload_every_minute(worker, flood, tmp_path / "rules")
            assert flood.stdout is not None
            sent, took = flood.stdout.read().split()
        assert flood.returncode == 0
        samples = sampler.stop()
        published = int(sent) / float(took)
        log.warning("soak, seed %d: %.0f records/s for %s s, %d reloads; %s", seed, published, took,
                    reloads, words(samples, seconds))  # fmt: skip
        truth = truth_of(notes)
        until(lambda: worker.outcomes() == truth.outcomes, 120, lambda: differing(worker, truth))
        newest = max(end for _, _, end in truth.windows)
        until(lambda: told_to(cluster) >= newest, 60, worker.last_words)
        windows = check_windows(cluster, truth)
        assert worker.terminate() == 0, worker.last_words()
    finally:
        worker.clean_up()
    log.warning("soak: %s, %d windows", dict(truth.outcomes), windows)
    assert published > 0.95 * rate, f"the machine sends {published:.0f} records/s, not {rate}"
    check_samples(samples, seconds, rate)


def reload_every_minute(worker: Worker, flood: subprocess.Popen[str], rules: Path) -> int:
    """Until the flood ends; how often."""
    reloads = 0
    while True:
        try:
            flood.wait(RELOAD_SECONDS)
            return reloads
        except subprocess.TimeoutExpired:
            reloads += 1
            write_rules(rules, reloads)
            worker.signal(signal.SIGHUP)


def check_windows(cluster: Cluster, truth: Truth) -> int:
    """Every window with its value, published once or the very same again, and none too many."""
    windows: dict[tuple[str, tuple[str, ...], int], tuple[float, int]] = {}
    for message in read_all(cluster.address, "soak-values"):
        published = json.loads(message.value())
        end = ms(published["end"])
        if published["kind"] != "window" or end > truth.frontier_ms or not published["events"]:
            continue
        key = (published["kpi"], tuple(published["dimensions"].values()), end)
        value = (published["value"], published["events"])
        assert windows.setdefault(key, value) == value, f"published differently: {key}"
    assert windows.keys() == truth.windows.keys(), sorted(windows.keys() ^ truth.windows.keys())[:5]
    wrong = [
        (key, windows[key], right)
        for key, right in truth.windows.items()
        if windows[key][1] != right[1] or windows[key][0] != pytest.approx(right[0], rel=1e-9)
    ]
    assert not wrong, f"{len(wrong)} windows wrong (key, published, right): {wrong[:5]}"
    for partition, number in truth.sent.items():
        assert cluster.end(TOPIC, partition) == number, "the flood's notes are not the topic"
    return len(windows)


def told_to(cluster: Cluster) -> int:
    """The end of the newest window that is published."""
    ends = (json.loads(m.value())["end"] for m in read_all(cluster.address, "soak-values"))
    return max(map(ms, ends), default=0)


def differing(worker: Worker, truth: Truth) -> str:
    return f"counted {worker.outcomes()}, in truth {truth.outcomes}\n{worker.last_words()}"


def words(samples: Samples, seconds: float) -> str:
    """The samples in a line."""
    warm = WARM_SHARE * seconds
    growth = samples.growth_mb_per_minute(warm)
    memory = [mb for at, mb in zip(samples.seconds, samples.resident_mb, strict=True) if at > warm]
    medians = [samples.median_mb(at, at + seconds / 5) for at in fifths(seconds)]
    lags = [samples.median_lag(at, at + seconds / 5) for at in fifths(seconds)]
    return (
        f"memory {min(memory):.0f} to {max(memory):.0f} MB, {growth:+.2f} MB a minute, "
        f"median by fifths {[round(mb) for mb in medians]}; "
        f"median lag by fifths {[round(lag) for lag in lags]} records, worst {max(samples.lag)}"
    )


def fifths(seconds: float) -> list[float]:
    """The beginnings of the fifths of a stretch."""
    return [seconds / 5 * number for number in range(5)]


def check_samples(samples: Samples, seconds: float, rate: int) -> None:
    """Memory stays, and no lag grows."""
    assert len(samples.seconds) > seconds / 2, "the worker could not be asked every second"
    warm = WARM_SHARE * seconds
    memory = [mb for at, mb in zip(samples.seconds, samples.resident_mb, strict=True) if at > warm]
    growth = samples.growth_mb_per_minute(warm) * seconds / 60
    assert growth < MOST_GROWTH * memory[0], f"memory grows by {growth:.0f} MB of {memory[0]:.0f}"
    for at in fifths(seconds):
        lag = samples.median_lag(at, at + seconds / 5)
        assert lag < MOST_LAG_SECONDS * rate, f"{lag} records behind after {at} s"
