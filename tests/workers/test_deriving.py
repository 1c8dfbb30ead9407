"""What a script left is stored exactly, or refused with a word; a damaged file never is anything worse."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from base.errors import InvalidInput, PayloadTooLarge, PlatformError, Unsupported
from base.tables import Column, ColumnType, TableSchema
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import LocalPart
from storage.snapshots.pages import RowFilter, RowOp, RowQuery
from storage.snapshots.rows import Rows
from workers import deriving
from workers.deriving import derive
from workers.messages import Derived, DeriveOrder

TABLE = TableSchema("t", (Column("id", ColumnType.UUID, "uuid"),), "public")
SEEDS = range(60)


def written(path: Path, *batches: pa.RecordBatch, **options: Any) -> Path:
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(
            sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)
        ) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    return path


def derived(path: Path, **values: Any) -> tuple[Derived, pa.Table]:
    """What comes of a file, and its rows as other code than ours reads them."""
    folder = path.parent / f"{path.stem}-derived"
    folder.mkdir()
    shape: dict[str, Any] = {
        "table": TABLE,
        "columns": {},
        "bytes_max": 2**28,
        "cell_bytes_max": 2**20,
        "memory_bytes": 2**28,
    }
    with path.open("rb") as file:
        done = derive((file.fileno(),), DeriveOrder(folder=folder, **shape | values))
    tables = [pq.read_table(folder / part.name) for part in done.parts]
    assert [table.num_rows for table in tables] == [part.rows for part in done.parts]
    assert all(
        (folder / file.name).stat().st_size == file.size_bytes
        for file in (*done.parts, done.profile)
    )
    return done, pa.concat_tables(tables) if tables else pa.table({})


def test_types_and_values_are_those_of_the_script(tmp_path: Path) -> None:
    batch = pa.record_batch(
        {
            "i": pa.array([1, None, 2**53 + 1], pa.int64()),
            "f": pa.array([0.1, float("nan"), None]),
            "s": pa.array(["é", "", None]),
            "d": pa.array([date(2026, 1, 2), None, date(1, 1, 1)]),
            "n": pa.array([Decimal("1.10"), None, Decimal("-9.99")]),
            "t": pa.array([datetime(2026, 1, 2, 3, 4, 5, 6, UTC)] * 3, pa.timestamp("us", "UTC")),
            "l": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
            "b": pa.array([b"\0\1", None, b""], pa.binary()),
            "o": pa.array([True, None, False]),
        }
    )  # fmt: skip

    done, rows = derived(written(tmp_path / "out.arrow", batch.slice(0, 2), batch.slice(2)))

    assert rows.to_pylist()[2] == batch.to_pylist()[2]
    assert rows.drop_columns("f").equals(pa.Table.from_batches([batch]).drop_columns("f"))
    assert [column.type for column in done.table.columns] == [
        ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.TEXT, ColumnType.DATE, ColumnType.DECIMAL,
        ColumnType.TIMESTAMP_TZ, ColumnType.LIST, ColumnType.BINARY, ColumnType.BOOLEAN,
    ]  # fmt: skip
    assert (done.table.qualified_name, done.rows, done.notes) == ("public.t", 3, ())
    profile = orjson.loads((tmp_path / "out-derived" / "profile.json").read_bytes())
    assert [each["nulls"] for each in profile["columns"]] == [1, 1, 1, 1, 1, 0, 1, 1, 1]


def test_a_result_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    batch = pa.record_batch({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})

    done, _ = derived(written(tmp_path / "out.arrow", batch))

    assert (done.rows, done.parts) == (0, ())
    assert [(each.name, each.type) for each in done.table.columns] == [
        ("a", ColumnType.INTEGER),
        ("b", ColumnType.TEXT),
    ]


def test_what_arrow_wraps_around_values_is_taken_off(tmp_path: Path) -> None:
    batch = pa.record_batch(
        {
            "dictionary": pa.array(["x", None, "x"]).dictionary_encode(),
            "large": pa.array(["a", "b", "c"], pa.large_string()),
            "view": pa.array(["a", "b", "c"], pa.string_view()),
            "null": pa.nulls(3),
            "uuid": pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([b"0123456789abcdef"] * 3, pa.binary(16))
            ),
            "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            "list": pa.array([[1], [], None], pa.list_(pa.field("other", pa.int64(), nullable=False))),
        }
    )  # fmt: skip

    done, rows = derived(written(tmp_path / "out.arrow", batch))

    assert rows.column("dictionary").to_pylist() == ["x", None, "x"]
    assert rows.column("map").to_pylist() == [[{"key": "k", "value": 1}], [], None]
    assert [str(each.type) for each in rows.schema][:5] == ["string"] * 5
    assert rows.column("list").to_pylist() == [[1], [], None]
    assert rows.column("uuid").to_pylist() == ["30313233-3435-3637-3839-616263646566"] * 3
    assert [column.type for column in done.table.columns][4:6] == [ColumnType.UUID, ColumnType.LIST]


def test_moments_that_do_not_fit_microseconds_are_kept_as_text(tmp_path: Path) -> None:
    batches = [
        pa.record_batch({"t": pa.array([count], pa.timestamp("ns"))}) for count in (1_000, 1_001)
    ]

    done, rows = derived(written(tmp_path / "out.arrow", *batches))

    assert rows.column("t").to_pylist() == [
        "1970-01-01T00:00:00.000001",
        "1970-01-01T00:00:00.000001001",
    ]
    assert done.table.columns[0].type is ColumnType.TEXT
    assert done.notes == (
        "The column 't' is stored as text: a value of timestamp[ns] does not fit the types that are stored.",
    )


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ColumnType.UUID, "30313233-3435-3637-3839-616263646566", "no uuid"),
        (ColumnType.DECIMAL, "-1.5e10", "1,5"),
        (ColumnType.TIME, "23:59:60.5+02:00", "noon"),
        (ColumnType.DURATION, "PT30H1.5S", "an hour"),
        (ColumnType.JSON, '{"a": [1]}', "{"),
        (ColumnType.DATE, None, "2026-01-01"),
    ],
)
def test_a_text_is_more_than_text_only_where_every_value_is(
    tmp_path: Path, kind: ColumnType, good: str | None, bad: str
) -> None:
    for name, values, expected in (
        ("good", [good, None, good], kind if good else ColumnType.TEXT),
        ("bad", [good, bad], ColumnType.TEXT),
    ):
        path = written(tmp_path / name, pa.record_batch({"id": pa.array(values, pa.string())}))

        done, rows = derived(path, columns={"id": kind})

        assert done.table.columns[0].type is expected
        assert done.table.columns[0].native_type == (
            "uuid" if expected is ColumnType.UUID else None
        )
        assert rows.column("id").to_pylist() == values


async def test_names_stay_as_they_are_and_are_told_apart(tmp_path: Path) -> None:
    names = ["a", "A", " ", " x ", "x", "c0", "ß", "SS", "q\"'", "ä.ö"]
    arrays = [pa.array([place, None], pa.int64()) for place in range(len(names))]
    batch = pa.RecordBatch.from_arrays(arrays, names=names)

    done, rows = derived(written(tmp_path / "out.arrow", batch))

    assert rows.column_names == names
    assert done.notes == ()
    folder = tmp_path / "out-derived"
    profile = orjson.loads((folder / done.profile.name).read_bytes())["columns"]
    assert [(each["column"], each["nulls"]) for each in profile] == [(name, 1) for name in names]
    parts = [LocalPart(folder / part.name, part.rows) for part in done.parts]
    where = [RowFilter(name, RowOp.EQ, place) for place, name in enumerate(names)]
    with closing(Rows()) as reader:
        page = await reader.page(parts, done.table, RowQuery(["A", "a"], where))
        stream = reader.exports.stream(parts, done.table, ExportFormat.JSONL)
        text = b"".join([chunk async for chunk in stream]).decode()
    assert page.rows_json == b"[[1,0]]"
    assert json.loads(text.splitlines()[0]) == {name: at for at, name in enumerate(names)}


def named(*names: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([1])] * len(names), names=list(names))


@pytest.mark.parametrize(
    ("batch", "error", "said"),
    [
        (pa.RecordBatch.from_arrays([], names=[]), InvalidInput, "no columns"),
        (named("a\0b"), InvalidInput, "control characters"),
        (named("a", "a"), InvalidInput, "of the same name"),
        (named("a", ""), InvalidInput, "Column 2 of the script's result has no name"),
        (named("x" * 1_001), InvalidInput, "1,001 characters"),
        (named(*map(str, range(10_001))), InvalidInput, "10,001 columns"),
        (
            pa.RecordBatch.from_arrays([pa.nulls(2_000_000)], names=["n"]),
            InvalidInput,
            "more rows than it has bytes for",
        ),
        (
            pa.record_batch({"u": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}),
            Unsupported,
            "'u' is of the type sparse_union",
        ),
        (
            pa.record_batch({"s": pa.array([{"a": 1, "A": 2}])}),
            InvalidInput,
            "differ in nothing but case",
        ),
        (pa.record_batch({"s": ["a", "x" * 2**20 + "x"]}), PayloadTooLarge, "row 2 of the column 's'"),
        (
            pa.record_batch({"d": pa.DictionaryArray.from_arrays(pa.array([0] * 300), ["x" * 2**20])}),
            PayloadTooLarge,
            "larger than the limit of 256 MB",
        ),
    ],
    ids=["nothing", "control", "twice", "unnamed", "long", "many", "rows", "union", "fields", "cell", "bomb"],
)  # fmt: skip
def test_what_cannot_be_stored_is_refused_with_a_word(
    tmp_path: Path, batch: pa.RecordBatch, error: type[PlatformError], said: str
) -> None:
    with pytest.raises(error, match=said):
        derived(written(tmp_path / "out.arrow", batch))


def rough(seed: int) -> pa.RecordBatch:
    chance = random.Random(seed)
    rows = chance.randrange(1, 300)
    texts = [chance.choice([None, "", "ä" * chance.randrange(9)]) for _ in range(rows)]
    return pa.record_batch(
        {
            "i": pa.array(range(rows)),
            "s": pa.array(texts, pa.string()),
            "d": pa.array(texts, pa.string()).dictionary_encode(),
            "l": pa.array([[i] * (i % 4) for i in range(rows)]),
            "t": pa.array([{"a": i, "b": "x"} for i in range(rows)]),
        }
    )


def damaged(chance: random.Random, content: bytes) -> bytes:
    how = chance.randrange(4)
    at = chance.randrange(len(content))
    if how == 0:
        return content[:at]
    data = bytearray(content)
    if how == 1:
        for _ in range(chance.randrange(1, 20)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif how == 2:
        data[at : at + 8] = chance.randbytes(8)
    else:
        data[at:at] = chance.randbytes(chance.randrange(1, 64))
    return bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_file_is_refused_or_is_a_sound_table(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = written(tmp_path / "whole", rough(seed), rough(seed)).read_bytes()
    path = tmp_path / "out.arrow"
    path.write_bytes(damaged(chance, content))

    try:
        done, rows = derived(path)
    except (InvalidInput, PayloadTooLarge, Unsupported):
        return

    rows.validate(full=True)
    assert done.rows == rows.num_rows


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"not arrow", b"ARROW1\0\0" * 1000])
def test_what_is_no_arrow_file_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.arrow"
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match="damaged or cut off") as refused:
        derived(path)

    assert str(tmp_path) not in refused.value.message
    assert refused.value.hint == deriving._HINT


def test_a_compressed_file_is_read_too(tmp_path: Path) -> None:
    values: Sequence[int] = range(1000)

    _, rows = derived(
        written(
            tmp_path / "out.arrow", pa.record_batch({"a": pa.array(values)}), compression="zstd"
        )
    )

    assert rows.column("a").to_pylist() == list(values)
