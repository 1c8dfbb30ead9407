"""How each column of a part is written, chosen by its first rows; all readers of Parquet know these encodings.

Columns of few values are dictionaries. Others are written so that a scan, which is what filters and sorts do, unpacks
them fast: integers, dates and times as differences, texts as their lengths and then their bytes, which takes a quarter
to a half of the time that plain values take and less room; floats with Snappy, as Zstandard takes four times as long
over them and saves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

COMPRESSION = "zstd"
COMPRESSION_LEVEL = 1  # level 3 costs a third more time and saves nothing on our data
DICTIONARY_BYTES_MAX = 64 * 1024  # a dictionary that outgrows it is given up
_SAMPLE_ROWS = 4096
_DISTINCT_SHARE_MAX = 0.5
_VALUE_BYTES_MAX = (
    4096  # longer ones stay plain: lengths apart from bytes are unpacked a whole page at once
)
_DIFFERENCES = "DELTA_BINARY_PACKED"
_LENGTHS = "DELTA_LENGTH_BYTE_ARRAY"
_DECIMAL_DIGITS_MAX = 18  # of one that is stored as an integer


def options(schema: pa.Schema, sample: pa.RecordBatch | pa.Table | None) -> dict[str, Any]:
    """Arguments of `pq.ParquetWriter` for these columns; without a sample all are dictionaries while they can."""
    leaves = {path: of for field in schema for path, of in _leaves(field.name, field.type)}
    encodings = {} if sample is None else _encodings(schema, sample)
    fast = {path for path, of in leaves.items() if pa.types.is_floating(of) and path in encodings}
    return {
        "use_dictionary": [path for path in leaves if path not in encodings],
        "column_encoding": encodings,
        "dictionary_pagesize_limit": DICTIONARY_BYTES_MAX,
        "store_decimal_as_integer": True,
        "compression": {path: "snappy" if path in fast else COMPRESSION for path in leaves},
        "compression_level": {path: COMPRESSION_LEVEL for path in leaves if path not in fast},
    }


def _encodings(schema: pa.Schema, sample: pa.RecordBatch | pa.Table) -> dict[str, str]:
    """The encodings of the columns that are no dictionaries."""
    chosen = {}
    rows = sample.slice(0, _SAMPLE_ROWS)
    for at, field in enumerate(schema):
        encoding = _encoding(field.type)
        # A dot in a name cannot be told from the border between a struct and its field.
        if encoding is not None and "." not in field.name and _is_varied(rows.column(at)):
            chosen[field.name] = encoding
    return chosen


def _encoding(of: pa.DataType) -> str | None:
    """What suits a type of which most values differ; None where a dictionary is still best, or nothing to choose."""
    if pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_binary(of):
        return _LENGTHS
    if pa.types.is_integer(of) or pa.types.is_temporal(of):
        return _DIFFERENCES
    if pa.types.is_decimal(of):
        return _DIFFERENCES if of.precision <= _DECIMAL_DIGITS_MAX else "PLAIN"
    return "PLAIN" if pa.types.is_float32(of) or pa.types.is_float64(of) else None


def _is_varied(column: pa.Array | pa.ChunkedArray) -> bool:
    """Whether a dictionary of the column would hold most of its values, or outgrow its limit."""
    values = len(column) - column.null_count
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    value_bytes = column.nbytes / max(values, 1)
    if value_bytes > _VALUE_BYTES_MAX:
        return False
    return bool(
        distinct > _DISTINCT_SHARE_MAX * values or distinct * value_bytes > DICTIONARY_BYTES_MAX
    )


def _leaves(path: str, of: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """The columns that Parquet makes of one of ours."""
    if pa.types.is_struct(of):
        for field in of:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_map(of):
        yield from _leaves(f"{path}.key_value.key", of.key_type)
        yield from _leaves(f"{path}.key_value.value", of.item_type)
    elif pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of):
        yield from _leaves(f"{path}.list.element", of.value_type)
    else:
        yield path, of
