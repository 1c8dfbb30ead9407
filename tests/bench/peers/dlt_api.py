"""In the peers' environment: one resource of a paging REST API to Parquet files with dlt's `rest_api` source.

`python dlt_api.py <url> <folder> tables|whole` prints the CPU seconds of this process for `pipeline.run`; imports are
not counted. `tables` is its default, a child table for each list; `whole` keeps nested values in one column.
"""

import sys
import time

import dlt
from dlt.sources.rest_api import rest_api_source

url, folder, nested = sys.argv[1:]
source = rest_api_source(
    {
        "client": {"base_url": url},
        "resources": [
            {
                "name": "items",
                "endpoint": {
                    "path": "items",
                    "data_selector": "data",
                    "paginator": {
                        "type": "page_number",
                        "base_page": 1,
                        "page_param": "page",
                        "total_path": None,
                        "stop_after_empty_page": True,
                    },
                },
            }
        ],
    }
)
if nested == "whole":
    source.max_table_nesting = 0
pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=f"{folder}/pipelines",
    destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/out"),
    dataset_name="bench",
)
started = time.process_time()
pipeline.run(source, loader_file_format="parquet")
print(time.process_time() - started)
