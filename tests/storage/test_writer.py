"""Parts: what is in them, when they are durable, and what a failure leaves behind."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.errors import Conflict, StorageFull
from storage.local import LocalStore
from storage.signing import Signer
from storage.snapshots.writer import QUEUE_BATCHES, QUEUE_BYTES, Finished, PartWriter

ROOT = Path(__file__).parents[2]
PREFIX = "snapshots/1/2-3"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "objects", Signer(b"k" * 32), "http://x")


def batch(start: int, rows: int) -> pa.RecordBatch:
    return pa.record_batch(
        {"id": pa.array(range(start, start + rows)), "text": [f"row {n}" for n in range(rows)]}
    )


async def test_parts_end_with_batches_and_say_how_far_they_are(store: LocalStore) -> None:
    finished: list[Finished] = []

    with PartWriter(store.scratch(), store.adopt, PREFIX, part_rows=250) as writer:
        for number in range(7):
            finished += writer.write(batch(number * 100, 100), position=[number])
        finished += writer.finish()

    assert [each.part.key for each in finished] == [f"{PREFIX}/{n}.parquet" for n in range(3)]
    assert [each.part.rows for each in finished] == [300, 300, 100]
    assert [each.batches for each in finished] == [3, 6, 7]
    assert [each.position for each in finished] == [[2], [5], [6]]
    assert list(store.scratch().iterdir()) == []


async def test_parts_hold_the_rows_in_order_with_true_sizes_and_hashes(store: LocalStore) -> None:
    with PartWriter(store.scratch(), store.adopt, PREFIX, part_rows=250) as writer:
        finished = [each for n in range(7) for each in writer.write(batch(n * 100, 100))]
        finished += writer.finish()

    paths = [await store.local_path(each.part.key) for each in finished]
    assert [p for path in paths for p in pq.read_table(path)["id"].to_pylist()] == list(range(700))
    for path, each in zip(paths, finished, strict=True):
        body = path.read_bytes()
        assert each.part.size_bytes == len(body)
        assert each.part.sha256 == hashlib.sha256(body).hexdigest()
    column = pq.read_metadata(paths[0]).row_group(0).column(0)
    assert (column.statistics.min, column.statistics.max) == (0, 299)
    assert column.compression == "ZSTD"


async def test_a_part_ends_at_its_bytes_too(store: LocalStore) -> None:
    wide = pa.record_batch({"text": ["x" * 1000] * 100})

    with PartWriter(store.scratch(), store.adopt, PREFIX, part_bytes=150_000) as writer:
        finished = [each for _ in range(4) for each in writer.write(wide)] + writer.finish()

    assert [each.part.rows for each in finished] == [200, 200]


async def test_small_batches_become_large_row_groups(store: LocalStore) -> None:
    with PartWriter(store.scratch(), store.adopt, PREFIX) as writer:
        finished = [each for n in range(300) for each in writer.write(batch(n * 1000, 1000))]
        finished += writer.finish()

    groups = [
        pq.read_metadata(await store.local_path(each.part.key)).num_row_groups for each in finished
    ]
    assert [each.part.rows for each in finished] == [263_000, 37_000]
    assert groups == [2, 1]


@pytest.mark.parametrize("empty", [[], [batch(0, 0)]])
def test_no_rows_make_no_part(store: LocalStore, empty: list[pa.RecordBatch]) -> None:
    with PartWriter(store.scratch(), store.adopt, PREFIX) as writer:
        assert [writer.write(each) for each in empty] == [[] for _ in empty]
        assert writer.finish() == []


def test_numbers_go_on_from_the_given_one(store: LocalStore) -> None:
    with PartWriter(store.scratch(), store.adopt, PREFIX, first=7) as writer:
        writer.write(batch(0, 1))
        assert [each.part.key for each in writer.finish()] == [f"{PREFIX}/7.parquet"]


async def test_leaving_without_finish_drops_the_open_part(store: LocalStore) -> None:
    with PartWriter(store.scratch(), store.adopt, PREFIX, part_rows=100) as writer:
        writer.write(batch(0, 100))
        writer.write(batch(100, 50))

    assert list(store.scratch().iterdir()) == []
    assert {info.key async for info in store.list("")} <= {f"{PREFIX}/0.parquet"}
    assert not any(thread.name == "part-writer" for thread in threading.enumerate())


async def test_a_full_disk_is_said_and_the_open_part_removed(store: LocalStore) -> None:
    noise = pa.record_batch({"noise": [os.urandom(1000) for _ in range(1000)]})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, old[1]))
    finished: list[Finished] = []

    def write_all() -> None:
        with PartWriter(store.scratch(), store.adopt, PREFIX, part_rows=10**6) as writer:
            for _ in range(10):
                finished.extend(writer.write(noise))
            finished.extend(writer.finish())

    try:
        with pytest.raises(StorageFull, match="no space left"):
            write_all()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)

    assert finished == []
    assert list(store.scratch().iterdir()) == []
    assert [info async for info in store.list("")] == []


def test_what_adopt_raises_reaches_the_caller(store: LocalStore) -> None:
    def write_one() -> None:
        with PartWriter(store.scratch(), store.adopt, PREFIX) as writer:
            writer.write(batch(0, 1))
            writer.finish()

    write_one()
    with pytest.raises(Conflict):
        write_one()

    assert list(store.scratch().iterdir()) == []


def test_batches_of_another_schema_are_refused(store: LocalStore) -> None:
    with PartWriter(store.scratch(), store.adopt, PREFIX) as writer:
        writer.write(batch(0, 1))
        writer.write(pa.record_batch({"other": [1.5]}))
        with pytest.raises(pa.ArrowInvalid):
            writer.finish()

    assert list(store.scratch().iterdir()) == []


@pytest.mark.parametrize(("small", "least", "most"), [(True, 2, QUEUE_BATCHES + 2), (False, 1, 2)])
def test_the_writing_never_falls_far_behind(
    store: LocalStore, *, small: bool, least: int, most: int
) -> None:
    """By batches, and where they are large by their bytes."""
    rows = pa.record_batch({"n": pa.nulls(10 if small else QUEUE_BYTES // 16, pa.int64())})
    adopted = threading.Event()

    def slow_adopt(path: Path, key: str) -> None:
        adopted.wait()
        store.adopt(path, key)

    written = 0

    def write_all() -> None:
        nonlocal written
        with PartWriter(store.scratch(), slow_adopt, PREFIX, part_rows=1) as writer:
            for _ in range(40):
                writer.write(rows)
                written += 1
            writer.finish()

    reader = threading.Thread(target=write_all)
    reader.start()
    while written < least:
        assert reader.is_alive()
        time.sleep(0.01)
    reader.join(0.3)  # long enough to run ahead, if it could
    ahead = written
    adopted.set()
    reader.join()

    assert ahead <= most
    assert written == 40


_KILLED = """
import sys, pathlib, pyarrow as pa
from storage.local import LocalStore
from storage.signing import Signer
from storage.snapshots.writer import PartWriter
store = LocalStore(pathlib.Path(sys.argv[1]), Signer(b"k"), "http://x")
writer = PartWriter(store.scratch(), store.adopt, "snapshots/1/2-3", part_rows=1000)
start = 0
while True:
    for each in writer.write(pa.record_batch({"id": list(range(start, start + 300))})):
        print(each.part.key, each.part.sha256, flush=True)
    start += 300
"""


async def test_a_kill_leaves_whole_parts_only(store: LocalStore, tmp_path: Path) -> None:
    child = subprocess.Popen(  # noqa: ASYNC220 - a process that is killed in mid-write
        [sys.executable, "-c", _KILLED, str(tmp_path / "objects")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with child:
        assert child.stdout is not None
        reported = dict(child.stdout.readline().decode().split() for _ in range(5))
        child.send_signal(signal.SIGKILL)

    kept = {info.key async for info in store.list("")}
    assert reported.keys() <= kept
    for key, sha256 in reported.items():
        body = (await store.local_path(key)).read_bytes()
        assert hashlib.sha256(body).hexdigest() == sha256
    for key in kept:
        assert pq.read_metadata(await store.local_path(key)).num_rows == 1200
