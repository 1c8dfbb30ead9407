"""Which records the pages of an API have: behind empty pages, by paths that leave some out, and where there are none."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pytest

from base.errors import ConnectionFailed
from base.tables import ColumnType
from connectors.connector import Increment, Selection, StoredColumn, Unseen
from connectors.errors import FileInvalid
from connectors.rest import documents
from connectors.rest.documents import Known, Places
from tests.connectors.test_rest import ALL, opened, paging, rows, run
from tests.http_server import HttpServer

__all__ = ["run"]


def test_records_behind_empty_pages_are_read(http_server: HttpServer, run: str) -> None:
    source = opened(http_server, run, "sparse-pages", pagination=paging("CURSOR", next="$.next"))

    assert rows(source) == ALL[:2]


def test_empty_pages_without_end_are_refused(
    http_server: HttpServer, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.rest.paging.EMPTY_PAGES_MAX", 20)
    source = opened(http_server, run, "empty-pages", pagination=paging("CURSOR", next="$.next"))

    with pytest.raises(ConnectionFailed, match="20 in a row had no records"):
        rows(source)
    assert len(http_server.seen(run)) == 20


@pytest.mark.parametrize(
    ("what", "kind", "records"),
    [
        ("page", "PAGE", "$.data[?@.owner.admin == true]"),
        ("page", "PAGE", "$.data[?@.id > 15]"),
        ("page", "PAGE", "$.data[:5]"),
        ("offset", "OFFSET", "$.result.items[?@.owner.admin == true]"),
    ],
)
def test_records_that_a_path_leaves_out_are_counted_all_the_same(
    http_server: HttpServer, run: str, what: str, kind: str, records: str
) -> None:
    """The API knows nothing of the path: its pages and offsets are those of all records."""
    source = opened(http_server, run, what, pagination=paging(kind), records=records)

    expected = {
        "true]": [row for row in ALL if row["owner"]["admin"]],
        "15]": ALL[16:],
        ":5]": [row for row in ALL if row["id"] % 10 < 5],
    }
    assert rows(source) == next(expected[end] for end in expected if records.endswith(end))


def test_a_resource_without_records_has_the_columns_that_are_known(
    http_server: HttpServer, run: str
) -> None:
    known = {"primary_key": ["id"], "cursor_column": "changed", "records": "$.data"}
    http_server.empty_out(run)
    with closing(opened(http_server, run, "page", **known)) as source:
        (listed,) = source.tables()
        whole = source.read(Selection("items", key=("code",)))
        some = source.read(Selection("items", columns=("id", "name", "changed")))
        assert [*whole.batches, *some.batches] == []

    assert [(c.name, c.type.name) for c in listed.columns] == [("id", "TEXT"), ("changed", "TEXT")]
    assert listed.primary_key == ("id",)
    assert [c.name for c in whole.table.columns] == ["code", "id", "changed"]
    assert [c.name for c in some.table.columns] == ["id", "name", "changed"]
    assert {whole.unseen, some.unseen} == {Unseen.COLUMNS}


def test_empty_pages_to_the_end_are_no_records(http_server: HttpServer, run: str) -> None:
    http_server.empty_out(run)
    paged = {"pagination": paging("CURSOR", next="$.next"), "records": "$.data"}
    with closing(opened(http_server, run, "sparse-pages", **paged)) as source:
        reading = source.read(Selection("items"))

        assert (reading.unseen, list(reading.batches)) == (Unseen.COLUMNS, [])


def test_a_column_that_no_changed_record_has_is_not_gone(http_server: HttpServer, run: str) -> None:
    """APIs leave out what has no value; only whole reads tell that a key is gone."""
    values = {"cursor_param": "since", "cursor_column": "changed"}
    stored = {
        "id": StoredColumn(ColumnType.INTEGER, pa.int64()),
        "note": StoredColumn(ColumnType.LIST, pa.list_(pa.string())),
    }
    found = []
    for increment in (Increment("changed", "2026-01-25T00:00:00Z"), Increment("changed")):
        source = opened(http_server, run, "page", pagination=paging("PAGE"), **values)
        with closing(source):
            wanted = Selection("items", stored=stored, increment=increment)
            reading = source.read(wanted)
            rows = sum(batch.data.num_rows for batch in reading.batches)
        found.append((rows, [c.name for c in reading.table.columns if c.name not in ALL[0]]))

    assert found == [(1, ["note"]), (25, [])]


def test_keys_without_end_are_refused_early() -> None:
    records = ",".join(f'{{"k{at}": 1}}' for at in range(100_000))

    with pytest.raises(FileInvalid, match="There are 10,001 columns; the limit is 10,000"):
        documents.read(Known(), Places(None), f"[{records}]".encode(), with_records=False)
