"""Arrow data as the DataFrame that a script sees, with nothing lost.

INTEGER is int64 (uint64 where it is stored so) or, where a value is null, Int64 (UInt64); FLOAT float64 with NaN for
null, or its Arrow type where NaN is a value; TEXT str; BOOLEAN bool or, where a value is null, boolean; TIMESTAMP
datetime64[us]; TIMESTAMP_TZ datetime64[us, UTC]. Everything else has its Arrow type as `pd.ArrowDtype`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType
from workers.sandbox.messages import ColumnIn

_TEXT: Any = pd.StringDtype("pyarrow", na_value=np.nan)
_BOOLEAN: Any = pd.BooleanDtype()
_NAT = np.iinfo(np.int64).min  # how NumPy writes that there is no time


def frame(
    rows: pa.Table, columns: Sequence[ColumnIn], nullable: Collection[str] = ()
) -> pd.DataFrame:
    """The rows; `nullable` columns get a dtype for nulls also where none is."""
    values = {
        each.name: _values(column, each.type, each.name in nullable or column.null_count > 0)
        for each, column in zip(columns, rows.columns, strict=True)
    }
    # The copy that it makes puts columns of one dtype together, and off the file that they are mapped from.
    return pd.DataFrame(values, index=pd.RangeIndex(rows.num_rows))


def _values(values: pa.ChunkedArray, ours: ColumnType, has_nulls: bool) -> Any:  # noqa: FBT001 - one caller
    found = _FOUND.get(ours)
    if found is not None:
        matches, make = found
        if matches(values.type):
            return make(values, has_nulls)
    return pd.arrays.ArrowExtensionArray(values)


def _integers(values: pa.ChunkedArray, has_nulls: bool) -> Any:  # noqa: FBT001 - as above
    is_large = pa.types.is_uint64(values.type)
    plain = values.cast(pa.uint64() if is_large else pa.int64())
    if has_nulls:
        dtype: Any = pd.UInt64Dtype() if is_large else pd.Int64Dtype()
        return dtype.__from_arrow__(plain)
    return plain.to_numpy()


def _floats(values: pa.ChunkedArray, _: bool) -> Any:  # noqa: FBT001 - as above
    # Beside NaN for null there is no room for NaN itself.
    if pc.any(pc.is_nan(values)).as_py():
        return pd.arrays.ArrowExtensionArray(values)
    return values.cast(pa.float64()).to_numpy()


def _texts(values: pa.ChunkedArray, _: bool) -> Any:  # noqa: FBT001 - as above
    return _TEXT.__from_arrow__(values)


def _booleans(values: pa.ChunkedArray, has_nulls: bool) -> Any:  # noqa: FBT001 - as above
    return _BOOLEAN.__from_arrow__(values) if has_nulls else values.to_numpy()


def _times(values: pa.ChunkedArray, _: bool) -> Any:  # noqa: FBT001 - as above
    if values.type.unit != "us" or pc.min(values.cast(pa.int64())).as_py() == _NAT:
        return pd.arrays.ArrowExtensionArray(values)
    if values.type.tz is None:
        return values.to_numpy()
    naive = values.cast(pa.timestamp("us")).to_numpy()
    return pd.DatetimeIndex(naive).tz_localize("UTC").array


_Make = Callable[[pa.ChunkedArray, bool], Any]
_FOUND: dict[ColumnType, tuple[Callable[[pa.DataType], bool], _Make]] = {
    ColumnType.INTEGER: (pa.types.is_integer, _integers),
    ColumnType.FLOAT: (pa.types.is_floating, _floats),
    ColumnType.TEXT: (pa.types.is_string, _texts),
    ColumnType.BOOLEAN: (pa.types.is_boolean, _booleans),
    ColumnType.TIMESTAMP: (pa.types.is_timestamp, _times),
    ColumnType.TIMESTAMP_TZ: (pa.types.is_timestamp, _times),
}
