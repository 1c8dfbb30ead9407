"""Timestamps of 96 bits, as Spark, Hive and Impala write them.

Arrow reads them as nanoseconds of 64 bits, in which years before 1677 and after 2262 wrap around without an error:
9999-12-31 becomes a day of 1816. So they are read a second time, in microseconds, which hold every year there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.errors import Unsupported
from connectors import moments
from connectors.files.arrow_types import Inexact, Path, TextPaths

_NANOS = 1_000  # of a microsecond
_TYPE = "INT96"


class Int96:
    """The columns of a Parquet file that hold such timestamps, at any depth; `places` says which they are."""

    def __init__(self, parquet: pq.ParquetFile, file: BinaryIO, buffer_bytes: int) -> None:
        self.places: frozenset[int] = frozenset()
        leaves = parquet.schema
        if not any(leaves.column(at).physical_type == _TYPE for at in range(len(leaves))):
            return
        self._parquet = pq.ParquetFile(
            file, buffer_size=buffer_bytes, pre_buffer=False, coerce_int96_timestamp_unit="us"
        )
        pairs = zip(parquet.schema_arrow, self._parquet.schema_arrow, strict=True)
        self.places = frozenset(
            at for at, (found, ours) in enumerate(pairs) if found.type != ours.type
        )

    def reader(
        self, group: int, places: Sequence[int], rows: int, *, is_plain: bool
    ) -> Callable[[int], list[pa.Array]]:
        """Gives the next so many rows of these columns of a row group, in microseconds.

        `rows` are read at once; where names are not plain, columns cannot be chosen by them.
        """
        if not places:
            return lambda _: []
        names = self._parquet.schema_arrow.names
        wanted = [names[at] for at in places] if is_plain else None
        batches = self._parquet.iter_batches(rows, [group], wanted, use_threads=False)
        left: list[pa.RecordBatch] = []

        def take(count: int) -> list[pa.Array]:
            while sum(batch.num_rows for batch in left) < count:
                batch = next(batches)
                left.append(batch if is_plain else batch.select(places))
            table = pa.Table.from_batches(left)
            left[:] = table.slice(count).to_batches()
            return [column.combine_chunks() for column in table.slice(0, count).columns]

        return take


def exact(nanos: pa.Array, micros: pa.Array, path: Path, as_text: TextPaths) -> pa.Array:
    """The values in nanoseconds where they fit, else in microseconds, or as text with up to nine decimals.

    Raises Inexact where only text holds them, and Unsupported for such values inside nested ones.
    """
    try:
        micros.cast(nanos.type)
    except pa.ArrowInvalid:
        pass
    else:
        return nanos
    is_whole = micros.cast(nanos.type, safe=False).equals(nanos)  # both wrap around alike
    if path not in as_text:
        if is_whole:
            return micros
        if not pa.types.is_timestamp(nanos.type):
            raise Unsupported(
                f"{'.'.join(path)!r} holds times in nanoseconds before 1677 or after 2262.",
                hint="Write them in microseconds.",
            )
        raise Inexact(path)
    counts = (each.cast(pa.int64()).fill_null(0).to_numpy() for each in (nanos, micros))
    wrapped, whole = (each.view(np.uint64) for each in counts)
    digits = (wrapped - whole * np.uint64(_NANOS)).astype(np.int64)  # in the numbers modulo 2**64
    decimals = pc.utf8_lpad(pa.array(digits).cast(pa.string()), 3, "0")
    return moments.naive(pc.binary_join_element_wise(micros.cast(pa.string()), decimals, ""))
