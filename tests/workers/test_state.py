"""What a checkpoint keeps is what the next attempt goes on from."""

import orjson

from base.tables import Column, ColumnType, TableSchema
from connectors.connector import Reject, Selection
from storage.snapshots.manifest import Part, StoredFile
from storage.snapshots.modes import SyncMode
from workers.messages import Plan, Rejected, TableOrder
from workers.state import Merging, SyncState, TableState

ORDERS = TableSchema("orders", (Column("id", ColumnType.INTEGER),), schema="shop", row_estimate=100)
MERGE = Plan(SyncMode.MERGE, "at", finds_deletes=True, lookback_seconds=5)
REJECT = Reject(7, "at", "is no time", "x,y")


def half_way() -> SyncState:
    """One table done, one begun, one not."""
    done = TableState(
        Selection("users"), TableSchema("users", ()), [Part("k/0", 5, 50, "a")], None, 5, 500, True
    )
    begun = TableState(
        Selection("orders", "shop", ("id",), ("id",)),
        ORDERS,
        [Part("k/1", 10, 80, "b")],
        [10],
        17,
        800,
        plan=MERGE,
        merging=Merging(("id",), "at", "5", False, ORDERS, [{"column": "at"}], True),
        cursor="9",
        keys=[Part("k/2", 3, 30, "c")],
        rejects=[StoredFile("k/3", 2, 20, "d")],
        first_reject=REJECT,
    )
    return SyncState([done, begun, TableState(Selection("late"))], base_id=7, generation=2)


def test_a_state_survives_the_database() -> None:
    state = half_way()

    read = SyncState.from_json(orjson.loads(orjson.dumps(state.to_json())))

    assert read.to_json() == state.to_json()


def test_rows_that_were_read_but_are_not_durable_do_not_count() -> None:
    read = SyncState.from_json(half_way().to_json())

    assert [table.rows_read for table in read.tables] == [5, 12, 0]


def test_the_next_attempt_is_told_where_to_go_on_and_what_to_expect() -> None:
    assert [table.order() for table in half_way().tables] == [
        TableOrder(Selection("users"), None, TableSchema("users", ()), is_done=True),
        TableOrder(
            Selection("orders", "shop", ("id",), ("id",)), [10], ORDERS, plan=MERGE, cursor="9"
        ),
        TableOrder(Selection("late")),
    ]


def test_starting_over_gives_the_void_parts_and_keeps_nothing() -> None:
    table = half_way().tables[1]

    void = table.start_over()

    assert void == ["k/1", "k/2", "k/3"]
    assert table == TableState(table.selection, ORDERS, plan=MERGE)


def test_the_next_attempt_is_told_how_many_rows_were_bad() -> None:
    assert half_way().rejected() == (Rejected(1, 2, 17, REJECT),)


def test_progress_has_a_total_once_every_table_s_is_known() -> None:
    state = half_way()
    assert state.progress("x").rows_total is None

    state.tables[2].table = TableSchema("late", (), row_estimate=0)

    progress = state.progress("x")
    assert (progress.rows_done, progress.rows_total, progress.bytes_done) == (22, 22, 1300)

    state.tables[1].merging = Merging()

    assert state.progress("x").rows_total == 105


def test_an_estimate_that_was_too_low_is_not_overtaken() -> None:
    state = half_way()
    state.tables[1].rows_read = 1000
    state.tables[2].table = TableSchema("late", (), row_estimate=0)

    assert state.progress(None).rows_total == 1005
