"""The state table's databases on disk, one for each state partition.

A damaged database (a truncated file, a flipped bit, a missing file) is set aside under another
name, and the state is read from the changelog, which has all of it. RocksDB reports damage when a
database is opened, when a block is read or when files are compacted; an iterator ends silently at a
damaged block, so a complete read has to check its status.

An empty database in its place has no state until the changelog is read from its start. Recovery
requests the offset of a database once; after that, a damaged one ends the run, and only the next
run uses the empty one.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faust.stores.rocksdb import Store
from faust.types import TP

from agent.core.state.rows import Row
from agent.errors import EnvironmentFault

log = logging.getLogger(__name__)

ASIDE = ".damaged-"
DAMAGE = ("Corruption:", "No such file or directory")
"""Parts of RocksDB's messages about a damaged database. A lock, a full disk and missing permissions
are not damage."""


class DamagedState(EnvironmentFault):
    """A database on disk was damaged and is set aside; the state is read from the changelog."""


def is_damage(error: Exception) -> bool:
    """Whether an error of RocksDB says that the database itself is broken."""
    return any(sign in str(error) for sign in DAMAGE)


class StateStore(Store):
    """Faust's RocksDB store, which sets damaged databases aside. A partition whose database is set
    aside after recovery has used its offset is neither read nor written any more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._relied_on: set[int] = set()  # recovery has used their offsets
        self._lost: set[int] = set()

    def is_lost(self, partition: int) -> bool:
        """Whether the partition's database was lost after recovery had used its offset."""
        return partition in self._lost

    def check(self) -> None:
        """Raise DamagedState if a database was lost after recovery had used its offset: Faust only
        logs errors while it reads the changelog, and continues."""
        for partition in self._lost:
            raise _damaged(partition)

    def database(self, partition: int) -> Any:
        """The database of a partition if it is open, else None."""
        return self._dbs.get(partition)

    def databases(self) -> list[Any]:
        """The databases that are open now."""
        return list(self._dbs.values())

    def persisted_offset(self, tp: TP) -> int | None:
        """The offset up to which the database has the changelog. Raises DamagedState."""
        with self.guarding(tp.partition):
            offset: int | None = super().persisted_offset(tp)
            self._relied_on.add(tp.partition)
            return offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Set the offset up to which the database has the changelog. Raises DamagedState."""
        with self.guarding(tp.partition):
            super().set_persisted_offset(tp, offset)

    def _open_for_partition(self, partition: int) -> Any:
        try:
            return super()._open_for_partition(partition)
        except Exception as error:
            if not is_damage(error):
                raise
            self._set_aside(partition, error)
            if partition in self._relied_on:
                self._lost.add(partition)
                raise _damaged(partition) from error
            return super()._open_for_partition(partition)

    def get_row(self, partition: int, key: bytes) -> bytes | None:
        """The value of a key. Raises DamagedState."""
        with self.guarding(partition):
            value: bytes | None = self._db_for_partition(partition).get(key)
            return value

    def rows(self, partition: int) -> Iterator[Row]:
        """All rows of a partition. Raises DamagedState where not all of them can be read."""
        with self.guarding(partition):
            database = self._db_for_partition(partition)
            last = None
            for key, value in database.items():
                last = key
                if key != self.offset_key:
                    yield key, value
            # The iteration above ends silently at a damaged block.
            rest = database.iter()
            if last is None:
                rest.seek_to_first()
            else:
                rest.seek(last)
                if rest.valid():
                    rest.next()
            rest.status()

    @contextmanager
    def guarding(self, partition: int) -> Iterator[None]:
        """Set the partition's database aside if the block finds it damaged, and raise DamagedState,
        then and in later calls: rows that were read of it may be wrong."""
        if partition in self._lost:
            raise _damaged(partition)
        try:
            yield
        except Exception as error:
            if not is_damage(error):
                raise
            self._set_aside(partition, error)
            self._lost.add(partition)
            raise _damaged(partition) from error

    def _set_aside(self, partition: int, error: Exception) -> None:
        """Rename the partition's folder. Only the newest damaged one of a partition is kept."""
        database = self._dbs.pop(partition, None)
        if database is not None:
            database.close()
        path = Path(self.partition_path(partition))
        for older in path.parent.glob(f"{path.name}{ASIDE}*"):
            shutil.rmtree(older, ignore_errors=True)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = path.with_name(f"{path.name}{ASIDE}{stamp}")
        path.rename(aside)
        log.warning(
            "the state of partition %d on disk is damaged (%s): renamed to %s, and read from "
            "the changelog, which has everything",
            partition, str(error).splitlines()[0], aside,
        )  # fmt: skip


def _damaged(partition: int) -> DamagedState:
    return DamagedState(
        f"the state of partition {partition} on disk was damaged, and is read from the changelog"
    )


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can read, or make an existing one so: the state has names
    of people. Raises OSError if it can't be created."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # a volume may belong to somebody else
        folder.chmod(0o700)
