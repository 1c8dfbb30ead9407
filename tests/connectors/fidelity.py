"""What the type fidelity tests of the databases share.

KEPT values arrive as they are: the column keeps its type, and flags nothing. FLAGGED ones are values that their column's
type cannot hold: that column alone becomes exact text and says so in `inference`. Nothing is changed, rounded or dropped.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from base.tables import ColumnType, TableSchema

# name: (the source's type, a value in its SQL, our type, Arrow's, the stored value)
Kept = dict[str, tuple[str, str, ColumnType, pa.DataType, Any]]
Flagged = dict[str, tuple[str, str, ColumnType, str]]

GENERATED = {"b_generated", "m_stored"}  # are never null


def exactly(value: Any) -> str:
    """A value so that NaN is itself, and -0.0, 1.0 and 1.10 are not 0.0, 1 and 1.1."""
    if isinstance(value, list):
        return str([exactly(each) for each in value])
    return value.isoformat() if isinstance(value, dt.datetime) else repr(value)


def statements(kept: Kept) -> tuple[str, str]:
    columns = ", ".join(f"{name} {native}" for name, (native, *_) in kept.items())
    values = ", ".join(value for _, value, *_ in kept.values())
    return f"CREATE TABLE awkward ({columns})", f"INSERT INTO awkward VALUES ({values})"


def check_kept(table: TableSchema, data: pa.Table, kept: Kept) -> None:
    assert {c.name: c.type for c in table.columns} == {
        n: kind for n, (_, _, kind, *_) in kept.items()
    }
    assert {c.name: c.inference for c in table.columns if c.inference} == {}
    assert {f.name: f.type for f in data.schema} == {
        n: storage for n, (_, _, _, storage, _) in kept.items()
    }
    first, *nulls = data.to_pylist()
    found = {name: exactly(value) for name, value in first.items()}
    assert found == {name: exactly(value) for name, (*_, value) in kept.items()}
    assert {name for row in nulls for name, value in row.items() if value is not None} <= GENERATED


def check_flagged(table: TableSchema, data: pa.Table, kind: ColumnType, text: str) -> None:
    assert [c.type for c in table.columns] == [ColumnType.INTEGER, kind, ColumnType.DATE]
    assert [c.inference is None for c in table.columns] == [True, False, True]
    assert data.to_pylist() == [
        {"id": 1, "value": text, "at": dt.date(2020, 1, 1)},
        {"id": 2, "value": None, "at": None},
    ]
