"""In the peers' environment: upsert a Parquet file into a table by its key with deltalake, several times.

`python delta_merge.py <table.parquet> <changes.parquet> <key> <folder> <rounds>` prints the seconds of each merge.
"""

import sys
import time

import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

table, changes, key, folder, rounds = sys.argv[1:]
for at in range(int(rounds)):
    path = f"{folder}/{at}"
    write_deltalake(path, pq.read_table(table))
    new = pq.read_table(changes)
    started = time.perf_counter()
    (
        DeltaTable(path)
        .merge(new, predicate=f"t.{key} = s.{key}", source_alias="s", target_alias="t")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )
    print(time.perf_counter() - started)
