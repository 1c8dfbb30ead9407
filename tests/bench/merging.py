"""Merging changes into a stored table: ours against deltalake's merge, on the same rows."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from storage.snapshots.manifest import LocalPart
from storage.snapshots.merge import combine
from storage.snapshots.modes import SyncMode
from storage.snapshots.writer import PartWriter
from tests.bench import peers

ROWS = 1_000_000
CHANGED_ROWS = 10_000
ROUNDS = 7
MEMORY_BYTES = 512 * 1024**2

ROW = """i AS id, (i / 100)::DECIMAL(12, 2) AS amount, i / 7.0 AS ratio, (i % 1000)::INTEGER AS quantity,
  'title of order ' || i || {note} AS title, md5(i::VARCHAR) AS hash, 'city ' || (i % 300) AS city,
  DATE '2020-01-01' + (i % 1500)::INTEGER AS day, TIMESTAMP '2020-01-01' + to_seconds(i) + {later} AS at, i % 3 = 0 AS paid,
  'kind ' || (i % 5) AS kind, CASE WHEN i % 4 > 0 THEN 'note ' || (i % 5000) END AS note"""


def make_rows(path: Path, ids: str, note: str, later: str = "INTERVAL 0 SECOND") -> None:
    """Rows with these ids as a Parquet file."""
    duckdb.connect().execute(
        f"COPY (SELECT {ROW.format(note=note, later=later)} FROM {ids} t(i)) TO '{path}' (FORMAT parquet)"
    )


def as_parts(path: Path, folder: Path, prefix: str) -> list[LocalPart]:
    """The rows as a sync would have stored them."""
    (folder / prefix).mkdir()

    def adopt(part: Path, key: str) -> None:
        part.rename(folder / key)

    finished = []
    with PartWriter(folder, adopt, prefix) as writer:
        for batch in pq.ParquetFile(path).iter_batches(65_536):
            finished += writer.write(batch)
        finished += writer.finish()
    return [LocalPart(folder / each.part.key, each.part.rows) for each in finished]


def main() -> None:
    """Medians of both, in turn, and their ratio."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        table, changes = folder / "table.parquet", folder / "changes.parquet"
        make_rows(table, f"range({ROWS})", "''")
        # Half of them are there already and changed, spread over the whole table; half are new.
        half = CHANGED_ROWS // 2
        make_rows(
            changes,
            f"(SELECT r * {ROWS // half} FROM range({half}) a(r) UNION ALL SELECT {ROWS} + r FROM range({half}) b(r))",
            "' changed'",
            "INTERVAL 1 YEAR",
        )
        base, staged = as_parts(table, folder, "base"), as_parts(changes, folder, "staged")
        ours = []
        for at in range(ROUNDS):
            out = folder / f"merge-{at}"
            out.mkdir()
            started = time.perf_counter()
            combined = combine(
                base, staged, mode=SyncMode.MERGE, key=["id"], cursor="at", keys=None,
                is_whole=False, folder=out, memory_bytes=MEMORY_BYTES,
            )  # fmt: skip
            ours.append(time.perf_counter() - started)
            assert (combined.updated, combined.inserted) == (half, half)
        (folder / "delta").mkdir()
        theirs = peers.run("delta_merge.py", table, changes, "id", folder / "delta", ROUNDS)
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(
            f"merge of {CHANGED_ROWS:,} into {ROWS:,} × 12   ours {statistics.median(ours) * 1000:.0f} ms"
            f" ({min(ours) * 1000:.0f}-{max(ours) * 1000:.0f})   deltalake {statistics.median(theirs) * 1000:.0f} ms"
            f" ({min(theirs) * 1000:.0f}-{max(theirs) * 1000:.0f})   ratio {ratio:.1f}"
        )


if __name__ == "__main__":
    main()
