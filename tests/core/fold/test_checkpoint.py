"""What a commit carries, and what a gap in a source's log does to its partials and its time."""

from __future__ import annotations

import msgspec
import pytest

from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import MissedSpan, Resume
from agent.core.fold.folder import Folder
from agent.core.frame import Frame, decode
from agent.core.merge.watermark import TopicSources
from agent.core.model.plan import Plan
from agent.errors import UnknownVersionError
from tests.core.batches import batch_of
from tests.core.simulated import START_MS, TOPIC, World, sale, settle

RULES = """
version: 1
defaults: {lateness: 10s, idle_after: 30s, max_future: 1h}
events:
  sale: {topic: shop, time: at, fields: {amount: float, region: string}}
kpis:
  revenue: {from: sale, value: sum(amount), window: 1m}
"""


def batch(offset: int, *events: tuple[int, float], written_ms: int = START_MS) -> Batch:
    values = [sale(START_MS + s * 1000, amount, "a", "c", "i") for s, amount in events]
    return batch_of(TOPIC, values, offset=offset, at_ms=written_ms)


def send(world: World, folder: Folder, clock_ms: int = START_MS) -> list[Frame]:
    """Let a folder flush into the frames logs; the frames."""
    messages = folder.flush(clock_ms, {0: None}, 1)
    for target, message in messages:
        world.frames[target].append(message)
    return [decode(message) for _, message in messages]


def revenue(world: World) -> dict[int, float | None]:
    """The closed windows, by their start in s from the first."""
    settle(world)
    return {
        (w.start_ms - START_MS) // 1000: w.value
        for emitted in world.published
        for w in emitted.windows
    }


@pytest.mark.parametrize(
    "resume",
    [
        Resume(3, 7, 1_000, None),
        Resume(3, 7, None, None, "dGhlLWlkLW9mLWl0", 4),
        Resume(3, 7, 9, 8, "id", 2, MissedSpan(5, 6)),
        Resume(3, 7, 9, 8, "id", 2, MissedSpan(None, 6)),
        Resume(3, 7, 9, 8, clocks=((0, 5), (6, 10))),
    ],
)
def test_a_commit_is_read_back_as_it_was_made(resume: Resume) -> None:
    commit = resume.commit()
    assert Resume.parse(commit.offset, commit.metadata) == resume


@pytest.mark.parametrize(
    "metadata", ["", "1;7;9;8", "2;7;9", "2;x;9;8;id;0;;", "2;;;;;;;", "moved"]
)
def test_an_offset_that_the_agent_did_not_commit_is_plain(metadata: str) -> None:
    assert Resume.parse(5, metadata) == Resume(5, 5, None, None, is_plain=True)


def test_a_commit_of_a_later_version_is_refused() -> None:
    with pytest.raises(UnknownVersionError, match="format 4, and this agent reads format 3"):
        Resume.parse(5, "4;7;9;8;id;0;;;;something new")


def test_what_a_later_epoch_sends_is_added_to_what_the_earlier_one_sent(plan: Plan) -> None:
    world = World(plan, [[]], state_partitions=1)
    before = Folder(plan, TOPIC, 1)
    before.assign(0, Resume(0, 0, None, None, "first"))
    before.add(batch(0, (1, 10.0), (2, 20.0)))
    send(world, before)
    behind = Folder(plan, TOPIC, 1)
    behind.assign(0, Resume(9, 9, START_MS + 2_000, START_MS + 2_000, "first", 1))
    behind.add(batch(9, (3, 5.0), (90, 1.0)))
    send(world, behind)
    assert revenue(world) == {0: 35.0}


def test_a_topic_that_was_made_again_is_read_from_its_first_record(plan: Plan) -> None:
    world = World(plan, [[]], state_partitions=1)
    before = Folder(plan, TOPIC, 1)
    before.assign(0, Resume(0, 0, None, None, "first"))
    before.add(batch(0, *[(1, 1.0)] * 100))
    send(world, before)
    recreated = Folder(plan, TOPIC, 1)
    recreated.assign(0, Resume(0, 0, None, None, "second", 1))
    recreated.add(batch(0, (2, 7.0), (90, 1.0)))
    send(world, recreated)
    send(world, before)  # by a worker that doesn't know yet
    assert revenue(world) == {0: 107.0}


def frame(partition: int, covered: int, topic_id: str, epoch: int, partitions: int = 2) -> Frame:
    return Frame(
        TOPIC, partition, partitions, covered, START_MS, None, START_MS, True, {}, [],
        topic_id=topic_id, epoch=epoch,
    )  # fmt: skip


def test_frames_of_a_log_that_is_gone_are_stale() -> None:
    sources = TopicSources()
    sources.update(frame(0, 100, "first", 3))
    sources.update(frame(1, 100, "first", 0))
    recreated = frame(0, 1, "second", 4)
    assert not sources.is_stale(recreated) and sources.covers_new_records(recreated)
    sources.update(recreated)
    assert sources.is_stale(frame(1, 101, "first", 0))
    assert not sources.is_stale(frame(1, 1, "second", 4))


@pytest.mark.parametrize(
    ("before", "covered", "is_new"), [(100, 110, True), (90, 110, False), (100, 100, False)]
)
def test_the_records_of_a_frame_are_new_where_it_goes_on_behind_all_others(
    before: int, covered: int, is_new: bool
) -> None:
    sources = TopicSources()
    sources.update(frame(0, 100, "first", 0))
    # An owner who lost the source without noticing may repeat what its successor has sent.
    later = msgspec.structs.replace(frame(0, covered, "first", 0), covered_before=before)
    assert sources.covers_new_records(later) == is_new
    assert not sources.covers_new_records(msgspec.structs.replace(later, resent=True))
    assert sources.covers_new_records(msgspec.structs.replace(later, epoch=1))


def test_frames_say_what_those_before_them_covered(plan: Plan) -> None:
    world = World(plan, [[]], state_partitions=1)
    folder = Folder(plan, TOPIC, 1)
    folder.assign(0, Resume(50, 50, 1_000, 1_000, "id", 1))
    assert send(world, folder)[0].covered_before is None
    folder.add(batch(50, (90, 1.0)))
    assert [f.covered_before for f in send(world, folder)] == [50]
    assert [f.covered_before for f in send(world, folder)] == [51]


def test_a_topic_made_again_with_fewer_partitions_waits_for_none_that_is_gone() -> None:
    sources = TopicSources()
    sources.update(frame(0, 100, "first", 0))
    sources.update(frame(1, 100, "first", 0))
    sources.update(frame(0, 1, "second", 1, partitions=1))
    assert (sources.partitions, sorted(sources.statuses)) == (1, [0])


def test_a_topic_whose_id_is_reported_later_is_the_same() -> None:
    sources = TopicSources()
    sources.update(frame(0, 100, "", 0))
    assert sources.is_stale(frame(0, 99, "first", 0))
    assert not sources.is_stale(frame(0, 101, "first", 0))


@pytest.mark.parametrize(("written_s", "until_s"), [(-60, -60), (60, 0)])
def test_what_was_missed_ends_with_the_first_record_behind_it_or_when_that_was_found(
    plan: Plan, written_s: int, until_s: int
) -> None:
    world = World(plan, [[]], state_partitions=1)
    folder = Folder(plan, TOPIC, 1)
    folder.assign(0, Resume(50, 50, 1_000, 1_000, "id", 1, MissedSpan(1_000, None)))
    hour_ms = 3_600_000  # max_future
    assert send(world, folder)[0].missed == (1_000, START_MS + hour_ms)  # the clock
    assert send(world, folder, START_MS + 50_000)[0].missed == (1_000, START_MS + hour_ms)
    unread = folder.commits()[0]  # a restart knows it before the first record, too
    assert Resume.parse(unread.offset, unread.metadata).missed == MissedSpan(
        1_000, START_MS + hour_ms
    )
    folder.add(batch(50, (90, 1.0), written_ms=START_MS + written_s * 1_000))
    span = 1_000, START_MS + until_s * 1_000 + hour_ms
    assert send(world, folder)[0].missed == span
    commit = folder.commits()[0]
    assert Resume.parse(commit.offset, commit.metadata).missed == MissedSpan(*span)
