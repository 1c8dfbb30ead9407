"""In the peers' environment: one table of a database to Parquet files with dlt, by its fastest backend.

`python dlt_table.py <url> <table> <backend> <folder>` prints the seconds of `pipeline.run`; imports are not counted.
"""

import sys
import time

import dlt
from dlt.sources.sql_database import sql_table

url, table, backend, folder = sys.argv[1:]
pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=f"{folder}/pipelines",
    destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/out"),
    dataset_name="bench",
)
started = time.perf_counter()
pipeline.run(
    sql_table(credentials=url, table=table, backend=backend, chunk_size=100_000),
    loader_file_format="parquet",
)
print(time.perf_counter() - started)
