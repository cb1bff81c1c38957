"""The state's databases on disk: a damaged one is set aside, and the changelog has everything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import rocksdict
from faust.types import TP

from agent.core.model.plan import Plan
from agent.core.state.rows import row_key
from agent.kafka.client import new_producer
from agent.kafka.embedded import EmbeddedBroker
from agent.kafka.state_store import ASIDE, DamagedState, StateStore, make_private
from agent.kafka.topics import TopicNames
from agent.settings import Settings
from tests.kafka.stage_two import (
    KEY,
    faust_running,
    plan_of,
    settings_for,
    stored,
    write_row,
    write_state,
)

ROWS = 3_000
OTHER_KEY = row_key("revenue", ("b",))
TOPIC = TP("series", 0)


def open_store(folder: Path) -> StateStore:
    conf = SimpleNamespace(tabledir=folder, table_key_index_size=1_000)
    changelog = SimpleNamespace(topics=[TOPIC.topic])
    table = SimpleNamespace(name="series", is_global=False, changelog_topic=changelog)
    return StateStore(
        "rocksdb:", SimpleNamespace(conf=conf), table, table_name="series", driver="rocksdict"
    )


def write(store: StateStore, keys: range) -> None:
    """Rows in a file of their own."""
    store.persisted_offset(TOPIC)  # opens it
    database = store.database(0)
    batch = rocksdict.WriteBatch(raw_mode=True)
    for number in keys:
        batch.put(b"%08d" % number, os.urandom(100))
    database.write(batch)
    store.set_persisted_offset(TOPIC, keys[-1])
    database.flush()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with rows in two files."""
    store = open_store(tmp_path)
    write(store, range(ROWS))
    write(store, range(ROWS // 2, ROWS))
    close(store)
    return tmp_path


def close(store: StateStore) -> None:
    for database in store.databases():
        database.close()


def files(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"series-0.db/{name}"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 255  # in the first block of rows
    path.write_bytes(bytes(content))


def flush_and_harm(data: Path, harm: Callable[[Path], None]) -> None:
    """Harm what a worker has on disk of partition 1."""
    store = open_store(data / "faust" / "v1" / "tables")
    store.persisted_offset(TP("series", 1))
    store.database(1).flush()
    close(store)
    for path in data.glob("faust/**/series-1.db/*.sst"):
        harm(path)


def keep_offset(data: Path, offset: int) -> None:
    """Write the offset once more, so that it can be read where the rows can't."""
    store = open_store(data / "faust" / "v1" / "tables")
    store._db_for_partition(1).put(store.offset_key, str(offset).encode())
    close(store)


async def write_later(settings: Settings, plan: Plan) -> None:
    """A row of another series, behind what a worker has on disk."""
    producer = new_producer(settings)
    await producer.start()
    await write_row(producer, TopicNames.of(settings), plan, 11, 11_000, OTHER_KEY)
    await producer.stop()


def set_aside(folder: Path, partition: int = 0) -> list[Path]:
    return sorted(folder.glob(f"series-{partition}.db{ASIDE}*"))


def test_an_unharmed_store_gives_every_row_and_its_offset(folder: Path) -> None:
    store = open_store(folder)
    assert store.persisted_offset(TOPIC) == ROWS - 1
    assert len(list(store.rows(0))) == ROWS
    assert store.get_row(0, b"%08d" % 5) is not None
    assert set_aside(folder) == []
    close(store)


@pytest.mark.parametrize(
    ("name", "harm"),
    # A manifest that is cut short is one of before: fewer rows, and the offset that goes with them.
    [("*.sst", cut), ("CURRENT", cut)]
    + [(name, Path.unlink) for name in ("*.sst", "CURRENT", "MANIFEST-*")],
)
def test_a_file_that_is_cut_short_or_gone_begins_an_empty_database(
    folder: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(files(folder, name)[0])
    store = open_store(folder)
    assert store.persisted_offset(TOPIC) is None  # so that all of the changelog is read
    assert list(store.rows(0)) == []
    assert len(set_aside(folder)) == 1
    write(store, range(10))
    assert len(list(store.rows(0))) == 10
    close(store)


def test_a_flipped_bit_is_found_when_rows_are_read_and_none_is_missing_in_silence(
    folder: Path,
) -> None:
    flip(files(folder, "*.sst")[0])
    store = open_store(folder)
    assert store.persisted_offset(TOPIC) == ROWS - 1  # opening did not notice
    with pytest.raises(DamagedState, match="partition 0"):
        list(store.rows(0))
    assert len(set_aside(folder)) == 1
    close(store)
    assert open_store(folder).persisted_offset(TOPIC) is None


def test_a_flipped_bit_is_found_when_a_single_row_is_read(folder: Path) -> None:
    for path in files(folder, "*.sst"):
        flip(path)
    store = open_store(folder)
    with pytest.raises(DamagedState):
        for number in range(ROWS):
            store.get_row(0, b"%08d" % number)
    close(store)
    assert open_store(folder).get_row(0, b"%08d" % 0) is None


def test_nobody_takes_the_empty_database_for_the_state_once_recovery_has_begun(
    folder: Path,
) -> None:
    flip(files(folder, "*.sst")[0])
    store = open_store(folder)
    store.check()
    assert store.persisted_offset(TOPIC) == ROWS - 1
    with pytest.raises(DamagedState):
        list(store.rows(0))
    for use in (
        lambda: list(store.rows(0)),
        lambda: store.get_row(0, b"%08d" % 0),
        lambda: store.persisted_offset(TOPIC),
        lambda: store.set_persisted_offset(TOPIC, ROWS),
        store.check,
    ):
        with pytest.raises(DamagedState, match="partition 0"):
            use()
    close(store)


def test_a_database_found_damaged_when_it_is_opened_again_does_not_begin_empty_in_silence(
    folder: Path,
) -> None:
    store = open_store(folder)
    assert store.persisted_offset(TOPIC) == ROWS - 1
    store.revoke_partitions(store.table, {TOPIC})
    cut(files(folder, "*.sst")[0])
    with pytest.raises(DamagedState):
        list(store.rows(0))
    with pytest.raises(DamagedState):
        store.check()


def test_only_the_newest_damaged_database_of_a_partition_is_kept(folder: Path) -> None:
    for stamp in ("20200101T000000Z", "20210101T000000Z"):
        (folder / f"series-0.db{ASIDE}{stamp}").mkdir()
    cut(files(folder, "*.sst")[0])
    store = open_store(folder)
    store.persisted_offset(TOPIC)
    [aside] = set_aside(folder)
    assert not aside.name.endswith("T000000Z")
    close(store)


def test_a_locked_database_is_not_taken_for_a_damaged_one(folder: Path) -> None:
    first, second = open_store(folder), open_store(folder)
    first.persisted_offset(TOPIC)
    with pytest.raises(Exception, match="lock"):
        second.persisted_offset(TOPIC)
    assert set_aside(folder) == []
    close(first)


@pytest.mark.parametrize(("harm", "restarts"), [(cut, 0), (flip, 1)])
async def test_a_worker_whose_disk_is_damaged_has_the_state_of_the_changelog(
    tmp_path: Path, broker: EmbeddedBroker, harm: Callable[[Path], None], restarts: int
) -> None:
    settings = settings_for(broker.address, tmp_path)
    await write_state(settings, plan_of(tmp_path))
    async with faust_running(settings) as app:
        assert await stored(app) == (10, [(KEY, 9_000)])
    flush_and_harm(tmp_path, harm)
    for _ in range(restarts):
        with pytest.raises(DamagedState):
            async with faust_running(settings) as app:
                await stored(app)
    async with faust_running(settings) as app:
        assert await stored(app) == (10, [(KEY, 9_000)])
    assert len(set_aside(tmp_path / "faust" / "v1" / "tables", partition=1)) == 1


async def test_damage_that_is_found_while_the_changelog_is_read_loses_no_row(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    # Faust logs what is raised then, and goes on with what is left of the changelog.
    settings, plan = settings_for(broker.address, tmp_path), plan_of(tmp_path)
    await write_state(settings, plan)
    async with faust_running(settings) as app:
        assert await stored(app) == (10, [(KEY, 9_000)])
    flush_and_harm(tmp_path, flip)
    keep_offset(tmp_path, 1)
    await write_later(settings, plan)
    with pytest.raises(DamagedState):
        async with faust_running(settings) as app:
            await stored(app)
    async with faust_running(settings) as app:
        assert await stored(app) == (11, [(KEY, 9_000), (OTHER_KEY, 11_000)])


def test_the_state_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    for folder in (there, tmp_path / "new" / "faust"):
        make_private(folder)
        assert folder.stat().st_mode & 0o077 == 0
