"""The books of a sync."""

import pytest

from base.tables import Column, ColumnType, TableSchema
from storage.snapshots.manifest import Manifest, Part, StoredFile, StoredTable
from workers.receipts import Books, ReceiptFile, of_full_table, of_gone_table, of_sync

ORDERS = TableSchema("orders", (Column("id", ColumnType.INTEGER),), schema="shop")


def parts(*rows: tuple[str, int]) -> tuple[Part, ...]:
    """`parts(("hash", rows))`."""
    return tuple(Part(f"key/{sha}", count, count * 8, sha) for sha, count in rows)


def stored(*rows: tuple[str, int]) -> StoredTable:
    return StoredTable(ORDERS, parts(*rows))


def test_the_first_sync_inserts_everything() -> None:
    books = of_full_table(30, parts(("a", 10), ("b", 20)), None)

    assert books == Books(rows_read=30, inserted=30, rows_now=30)
    assert books.balanced


def test_files_that_are_the_same_hold_unchanged_rows() -> None:
    books = of_full_table(35, parts(("a", 10), ("c", 25)), stored(("a", 10), ("b", 20)))

    assert (books.inserted, books.unchanged, books.deleted) == (25, 10, 20)
    assert books.balanced


def test_the_same_file_twice_is_counted_twice_only_if_it_was_there_twice() -> None:
    books = of_full_table(20, parts(("a", 10), ("a", 10)), stored(("a", 10)))

    assert (books.inserted, books.unchanged, books.deleted) == (10, 10, 0)
    assert books.balanced


def test_the_same_file_with_other_rows_deleted_from_it_is_not_the_same() -> None:
    whole = parts(("a", 10))[0]
    cut = Part(whole.key, 10, 80, "a", StoredFile("key/d", 4, 32, "d"))

    books = of_full_table(10, (whole,), StoredTable(ORDERS, (cut,)))

    assert (books.inserted, books.unchanged, books.deleted, books.rows_before) == (10, 0, 6, 6)
    assert books.balanced


@pytest.mark.parametrize("rows_read", [29, 31])
def test_a_row_too_many_or_too_few_does_not_balance(rows_read: int) -> None:
    assert not of_full_table(rows_read, parts(("a", 10), ("b", 20)), None).balanced


def test_rows_that_came_twice_or_could_not_be_stored_are_in_the_books() -> None:
    books = of_full_table(35, parts(("a", 30)), None, superseded=3, quarantined=2)

    assert (books.inserted, books.unchanged, books.quarantined) == (30, 3, 2)
    assert books.balanced


@pytest.mark.parametrize(
    "books",
    [
        Books(rows_read=1),
        Books(rows_read=1, inserted=1),
        Books(rows_before=1),
        Books(rows_read=1, inserted=2, updated=-1, rows_now=2),
    ],
)
def test_books_with_a_gap_do_not_balance(books: Books) -> None:
    assert not books.balanced


def test_the_sums_balance_only_if_each_table_does() -> None:
    one_more = Books(rows_read=1, rows_now=0)
    one_less = Books(rows_read=0, inserted=1, rows_now=1)

    receipt = of_sync([one_more, one_less], Manifest(()), {}, {})

    assert (receipt.rows_read, receipt.inserted, receipt.balanced) == (1, 1, False)


def test_a_receipt_sums_up_tables_of_all_modes() -> None:
    vector = StoredFile("key/v", 5, 50, "v")
    merged = StoredTable(ORDERS, (Part("key/a", 10, 80, "a", vector), *parts(("b", 6))))
    books = [
        Books(9, inserted=2, updated=4, unchanged=2, deleted=1, quarantined=1, rows_before=10, rows_now=11),
        of_full_table(0, (), None),
        of_gone_table(stored(("x", 3))),
    ]  # fmt: skip

    receipt = of_sync(books, Manifest((merged,)), {"shop.orders": "5"}, {"shop.orders": "7"})

    assert receipt.to_json() | {"files": None} == {
        "rows_read": 9,
        "inserted": 2,
        "updated": 4,
        "unchanged": 2,
        "deleted": 4,
        "quarantined": 1,
        "balanced": True,
        "cursor_from": {"shop.orders": "5"},
        "cursor_to": {"shop.orders": "7"},
        "files": None,
    }
    assert receipt.files == (
        ReceiptFile("shop.orders", 10, 80, "a"),
        ReceiptFile("shop.orders", 5, 50, "v"),
        ReceiptFile("shop.orders", 6, 48, "b"),
    )


def test_an_empty_source_balances() -> None:
    receipt = of_sync([], Manifest(()), {}, {})

    assert receipt.balanced
    assert (receipt.cursor_from, receipt.cursor_to) == (None, None)
