"""How each column of a part is written, chosen by its first rows; all readers of Parquet know these encodings.

Columns of few values are dictionaries. Others are written so that a scan, which is what filters and sorts do, unpacks
them fast: integers, dates and times as differences, texts as their lengths and then their bytes, which takes a quarter
to a half of the time that plain values take and less room. Zstandard packs them, and Snappy what it hardly makes
smaller: floats, and texts such as keys and hashes, where half of a scan would be to unpack what saves half of the room.

Short texts that differ are what rows are looked up by. So each of their row groups has a Bloom filter, a byte a row,
and who looks for a value skips most groups without unpacking any.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
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
_FAST = "snappy"
_SAMPLE_BYTES = 128 * 1024
_SAVED_SHARE_MIN = 0.52  # of a text's bytes; digits of hexadecimal numbers take half of theirs
_LOOKED_UP_ROWS_MIN = 32 * 1024  # in a row group; fewer are scanned in no time
_LOOKED_UP_BYTES_MAX = 64  # of a value, on average: whole texts are not looked for
_FALSE_POSITIVES = 0.05
_DECIMAL_DIGITS_MAX = 18  # of one that is stored as an integer


def options(
    schema: pa.Schema, sample: pa.RecordBatch | pa.Table | None, group_rows: int = 0
) -> dict[str, Any]:
    """Arguments of `pq.ParquetWriter` for these columns; without a sample all are dictionaries while they can.

    Bloom filters are for row groups of `group_rows` rows; there are none where that is not known.
    """
    paths = [path for field in schema for path in _leaves(field.name, field.type)]
    chosen = {} if sample is None else _varied(schema, sample.slice(0, _SAMPLE_ROWS))
    fast = {name for name, column in chosen.items() if _is_dense(column)}
    looked_up = [name for name, column in chosen.items() if _is_looked_up(column)]
    bloom = {"ndv": group_rows, "fpp": _FALSE_POSITIVES}
    return {
        "use_dictionary": [path for path in paths if path not in chosen],
        "column_encoding": {name: _encoding(column.type) for name, column in chosen.items()},
        "dictionary_pagesize_limit": DICTIONARY_BYTES_MAX,
        "store_decimal_as_integer": True,
        "compression": {path: _FAST if path in fast else COMPRESSION for path in paths},
        "compression_level": {path: COMPRESSION_LEVEL for path in paths if path not in fast},
        "bloom_filter_options": (
            dict.fromkeys(looked_up, bloom) if group_rows >= _LOOKED_UP_ROWS_MIN else None
        ),
    }


def _varied(schema: pa.Schema, rows: pa.RecordBatch | pa.Table) -> dict[str, pa.Array]:
    """The first values of the columns that are no dictionaries, without nulls."""
    chosen = {}
    for at, field in enumerate(schema):
        # A dot in a name cannot be told from the border between a struct and its field.
        if _encoding(field.type) is not None and "." not in field.name:
            values = rows.column(at).drop_null()
            if isinstance(values, pa.ChunkedArray):
                values = values.combine_chunks()
            if _is_varied(values):
                chosen[field.name] = values
    return chosen


def _encoding(of: pa.DataType) -> str | None:
    """What suits a type of which most values differ; None where a dictionary is still best, or nothing to choose."""
    if _is_text(of):
        return _LENGTHS
    if pa.types.is_integer(of) or pa.types.is_temporal(of):
        return _DIFFERENCES
    if pa.types.is_decimal(of):
        return _DIFFERENCES if of.precision <= _DECIMAL_DIGITS_MAX else "PLAIN"
    return "PLAIN" if pa.types.is_float32(of) or pa.types.is_float64(of) else None


def _is_text(of: pa.DataType) -> bool:
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_binary(of))


def _value_bytes(values: pa.Array) -> float:
    """Of one, on average."""
    return float(values.nbytes) / max(len(values), 1)


def _is_varied(values: pa.Array) -> bool:
    """Whether a dictionary of the column would hold most of its values, or outgrow its limit."""
    distinct, value_bytes = pc.count_distinct(values).as_py(), _value_bytes(values)
    if value_bytes > _VALUE_BYTES_MAX:
        return False
    return bool(
        distinct > _DISTINCT_SHARE_MAX * len(values)
        or distinct * value_bytes > DICTIONARY_BYTES_MAX
    )


def _is_dense(values: pa.Array) -> bool:
    """Whether Zstandard saves too little for the time that it takes."""
    if pa.types.is_floating(values.type):
        return True
    if not _is_text(values.type):
        return False
    some = values.slice(0, ceil(_SAMPLE_BYTES / _value_bytes(values)))
    whole = pa.ListArray.from_arrays([0, len(some)], some)
    data = pc.binary_join(whole, pa.scalar(b"", some.type))[0].as_buffer()
    packed = pa.Codec(COMPRESSION, COMPRESSION_LEVEL).compress(data)
    return bool(packed.size > (1 - _SAVED_SHARE_MIN) * data.size)


def _is_looked_up(values: pa.Array) -> bool:
    """Whether rows may be looked for by these values, and statistics do not tell where they are."""
    return _is_text(values.type) and _value_bytes(values) <= _LOOKED_UP_BYTES_MAX


def _leaves(path: str, of: pa.DataType) -> Iterator[str]:
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
        yield path
