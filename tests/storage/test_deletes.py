"""Parts with delete vectors: found in the store, and told apart from the same parts without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

import storage
from base.errors import InvalidInput, NotFound
from base.tables import ColumnType
from storage.snapshots.manifest import LocalPart, Part, StoredFile
from storage.snapshots.pages import Page, RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables

TABLE = tables.schema([("t", ColumnType.TEXT)])


@pytest.fixture
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[LocalPart], pa.Table]:
    data = pa.table({"t": [f"text {n}" for n in range(700)]})
    return tables.write(tmp_path_factory.mktemp("stored"), data), data


async def test_a_part_with_other_deletes_is_another_table(
    rows: Rows, stored: tuple[list[LocalPart], pa.Table], tmp_path: Path
) -> None:
    parts, data = stored
    first = tables.without(parts, [0], tmp_path / "first")
    second = tables.without(parts, [0, 2], tmp_path / "second")
    asked = RowQuery(columns=["t"], first=2)

    got = [
        (await rows.page(each, TABLE, asked)).rows_json for each in (parts, first, second, first)
    ]
    cursor = (await rows.page(first, TABLE, asked)).end_cursor

    texts = data["t"].to_pylist()
    wanted = [[0, 1], [1, 2], [1, 3], [1, 2]]
    assert [orjson.loads(each) for each in got] == [[[texts[at]] for at in pair] for pair in wanted]
    with pytest.raises(InvalidInput, match="another snapshot"):
        await rows.page(second, TABLE, replace(asked, after=cursor))


async def test_a_table_with_all_rows_deleted_is_empty(
    rows: Rows, stored: tuple[list[LocalPart], pa.Table], tmp_path: Path
) -> None:
    left = tables.without(stored[0], list(range(700)), tmp_path)

    page = await rows.page(left, TABLE, RowQuery(columns=["t"], count=True))

    assert page == Page((TABLE.columns[0],), b"[]", 0, total=0)


async def test_parts_and_delete_vectors_of_the_store_are_found(tmp_path: Path) -> None:
    store = storage.open(
        f"file://{tmp_path / 'store'}", signing_key=b"k" * 32, public_url="http://localhost"
    )
    written = tables.write(tmp_path / "data", pa.table({"n": [1, 2, 3]}))
    left = tables.without(written, [1], tmp_path)[0]
    assert left.deletes is not None
    store.adopt(left.path, "parts/0")
    store.adopt(left.deletes, "parts/0.deletes")
    whole = Part("parts/0", 3, 0, "")
    part = replace(whole, deletes=StoredFile("parts/0.deletes", 1, 0, ""))
    opened = Rows()

    found = [await opened.local_parts(store, [each]) for each in (whole, part)]
    pages = [
        await opened.page(each, tables.schema([("n", ColumnType.INTEGER)]), RowQuery())
        for each in found
    ]

    assert [page.rows_json for page in pages] == [b"[[1],[2],[3]]", b"[[1],[3]]"]
    assert (found[1][0].rows, found[1][0].live_rows) == (3, 2)
    await store.delete("parts/0.deletes")
    with pytest.raises(NotFound):
        await Rows().local_parts(store, [part])
    opened.close()
