"""What every kind of source promises, as functions of a case. `test_conformance.py` runs them for each kind.

A kind joins with a case: a source that holds the table `people` with the columns and rows below. Rows may come in any
order, and columns be of any type whose values are these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

import connectors
from base.errors import InvalidInput
from connectors.connector import (
    Connection,
    Connector,
    Increment,
    Reading,
    ReadLimits,
    Selection,
)
from connectors.errors import ReadAgain, TableMissing

COLUMNS = ("id", "name", "score")
ROWS = [(number, f"name {number}", number / 8 if number % 3 else None) for number in range(1, 201)]
BATCH_ROWS = 7


@dataclass(frozen=True)
class Case:
    """A source that holds `table` with ROWS. `raw` is what a user would write for it."""

    connection: Connection
    raw: Mapping[str, Any]
    table: str = "people"
    schema: str | None = None

    @contextmanager
    def opened(self, limits: ReadLimits | None = None) -> Iterator[Connector]:
        connection = replace(self.connection, limits=limits or self.connection.limits)
        with closing(connectors.open(connection)) as source:
            yield source

    def selection(self, *columns: str) -> Selection:
        return Selection(self.table, self.schema, columns)


Row = tuple[Any, ...]


def rows_of(reading: Reading) -> list[Row]:
    """All rows of a reading, whose batches have to be what its table says."""
    names = [column.name for column in reading.table.columns]
    rows: list[Row] = []
    for batch in reading.batches:
        assert batch.data.schema.names == names
        rows += zip(*(column.to_pylist() for column in batch.data.columns), strict=True)
    return rows


def read(source: Connector, selection: Selection, after: list[Any] | None = None) -> list[Row]:
    """All rows; a source that asks to be read again is."""
    for _ in range(3):
        try:
            return rows_of(source.read(selection, after))
        except ReadAgain:
            continue
    raise AssertionError("the source asked to be read again for the third time")


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=repr)


def a_check_says_what_it_found(case: Case) -> None:
    with case.opened() as source:
        assert source.check().message


def tables_come_in_a_stable_order_with_their_columns(case: Case) -> None:
    with case.opened() as source:
        first, second = source.tables(), source.tables()

    assert first == second
    (table,) = (each for each in first if (each.name, each.schema) == (case.table, case.schema))
    assert tuple(column.name for column in table.columns) == COLUMNS


def a_read_gives_every_row_once(case: Case) -> None:
    with case.opened() as source:
        rows = read(source, case.selection())

    assert in_order(rows) == in_order([*ROWS])


def a_table_can_be_read_twice(case: Case) -> None:
    with case.opened() as source:
        assert read(source, case.selection()) == read(source, case.selection())


def selected_columns_come_alone(case: Case) -> None:
    with case.opened() as source:
        reading = source.read(case.selection("score", "id"))
        rows = [row for batch in reading.batches for row in batch.data.to_pylist()]

    assert {column.name for column in reading.table.columns} == {"score", "id"}
    expected = [{"id": number, "score": score} for number, _, score in ROWS]
    assert sorted(rows, key=lambda row: row["id"]) == expected


def batches_keep_to_their_limit(case: Case) -> None:
    with case.opened(ReadLimits(batch_rows=BATCH_ROWS)) as source:
        sizes = [batch.data.num_rows for batch in source.read(case.selection()).batches]

    assert max(sizes) <= BATCH_ROWS
    assert sum(sizes) == len(ROWS)


def a_read_goes_on_behind_each_position(case: Case) -> None:
    with case.opened(ReadLimits(batch_rows=BATCH_ROWS)) as source:
        whole = read(source, case.selection())
        count = 0
        for batch in source.read(case.selection()).batches:
            count += batch.data.num_rows
            if batch.position is not None:
                with case.opened(ReadLimits(batch_rows=BATCH_ROWS)) as later:
                    rest = read(later, case.selection(), batch.position)
                assert rest == whole[count:]


INCREMENTS = (("id", 0, "100"), ("id", 0, "200"), ("name", 1, "name 150"), ("score", 2, "12.5"))


def after_an_increment(place: int, since: str) -> list[Row]:
    """The rows that an increment wants: those at or after it, and those with no value."""
    bound: Any = since if place == 1 else float(since)
    rows: list[Row] = [*ROWS]
    return [row for row in rows if row[place] is None or row[place] >= bound]


def an_increment_leaves_out_what_came_before_it_or_says_that_it_does_not(case: Case) -> None:
    with case.opened() as source:
        for column, place, since in INCREMENTS:
            selection = replace(case.selection(), increment=Increment(column, since))
            is_since = source.read(selection).is_since
            rows = read(source, selection)
            wanted = after_an_increment(place, since) if is_since else ROWS
            assert in_order(rows) == in_order(wanted)


def an_increment_without_a_bound_is_every_row(case: Case) -> None:
    with case.opened() as source:
        rows = read(source, replace(case.selection(), increment=Increment("id")))

    assert in_order(rows) == in_order([*ROWS])


def an_increment_goes_on_behind_each_position(case: Case) -> None:
    selection = replace(case.selection(), increment=Increment("score", "12.5"))
    with case.opened(ReadLimits(batch_rows=BATCH_ROWS)) as source:
        whole = read(source, selection)
        count = 0
        for batch in source.read(selection).batches:
            count += batch.data.num_rows
            if batch.position is not None:
                with case.opened(ReadLimits(batch_rows=BATCH_ROWS)) as later:
                    assert read(later, selection, batch.position) == whole[count:]


def all_keys_can_be_read_after_an_increment(case: Case) -> None:
    with case.opened() as source:
        read(source, replace(case.selection(), increment=Increment("id", "190")))
        keys = read(source, case.selection("id"))

    assert sorted(keys) == [(row[0],) for row in ROWS]


def a_missing_table_is_named(case: Case) -> None:
    with case.opened() as source, pytest.raises(TableMissing, match="no_such_table"):
        read(source, Selection("no_such_table", case.schema))


def a_missing_column_is_named(case: Case) -> None:
    with case.opened() as source, pytest.raises(TableMissing, match="no_such_column"):
        read(source, case.selection("id", "no_such_column"))


def it_can_be_closed_twice(case: Case) -> None:
    with case.opened() as source:
        source.close()


def it_can_be_closed_in_the_middle_of_a_read(case: Case) -> None:
    with case.opened(ReadLimits(batch_rows=BATCH_ROWS)) as source:
        batches = iter(source.read(case.selection()).batches)
        first = next(batches)

        source.close()

    assert first.data.num_rows > 0


def a_setting_that_nobody_knows_is_refused(case: Case) -> None:
    assert connectors.parse(case.connection.kind, case.raw)
    with pytest.raises(InvalidInput) as refused:
        connectors.parse(case.connection.kind, {**case.raw, "no_such_setting": 1})

    assert refused.value.field == "no_such_setting"


PROMISES: tuple[Callable[[Case], None], ...] = (
    a_check_says_what_it_found,
    tables_come_in_a_stable_order_with_their_columns,
    a_read_gives_every_row_once,
    a_table_can_be_read_twice,
    selected_columns_come_alone,
    batches_keep_to_their_limit,
    a_read_goes_on_behind_each_position,
    an_increment_leaves_out_what_came_before_it_or_says_that_it_does_not,
    an_increment_without_a_bound_is_every_row,
    an_increment_goes_on_behind_each_position,
    all_keys_can_be_read_after_an_increment,
    a_missing_table_is_named,
    a_missing_column_is_named,
    it_can_be_closed_twice,
    it_can_be_closed_in_the_middle_of_a_read,
    a_setting_that_nobody_knows_is_refused,
)
