"""What counts as a change of a source's columns, and the policy that fails on one."""

import pytest

from base.tables import Column, ColumnType, TableSchema
from models import DriftPolicy
from storage.snapshots.drifts import DRIFTED
from workers.drift import Drifted, changes, judge


def table(**columns: ColumnType) -> TableSchema:
    return TableSchema("t", tuple(Column(name, kind) for name, kind in columns.items()))


def change(column: str, kind: str, old: str | None, new: str | None) -> dict[str, str | None]:
    return {"column": column, "change": kind, "old": old, "new": new}


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (ColumnType.INTEGER, ColumnType.DECIMAL, "widened"),
        (ColumnType.DATE, ColumnType.TIMESTAMP, "widened"),
        (ColumnType.JSON, ColumnType.TEXT, "widened"),
        (ColumnType.DECIMAL, ColumnType.INTEGER, "narrowed"),
        (ColumnType.TEXT, ColumnType.FLOAT, "narrowed"),
        (ColumnType.INTEGER, ColumnType.FLOAT, "incompatible"),
        (ColumnType.BINARY, ColumnType.TEXT, "incompatible"),
        (ColumnType.TIMESTAMP, ColumnType.TIMESTAMP_TZ, "incompatible"),
    ],
)
def test_a_type_that_changed_is_told_with_both(old: ColumnType, new: ColumnType, kind: str) -> None:
    assert changes(table(a=old), table(a=new)) == [change("a", kind, old.value, new.value)]


def test_columns_that_come_and_go_are_told_and_their_order_is_not() -> None:
    stored = table(a=ColumnType.TEXT, b=ColumnType.DATE, c=ColumnType.UUID)

    assert changes(stored, table(c=ColumnType.UUID, d=ColumnType.JSON, a=ColumnType.TEXT)) == [
        change("b", "removed", "date", None),
        change("d", "added", None, "json"),
    ]


def test_a_change_that_an_incremental_sync_has_told_of_is_not_told_again() -> None:
    stored = TableSchema(
        "t",
        (Column("a", ColumnType.TEXT), Column("gone", ColumnType.DATE)),
        details={DRIFTED: {"a": "integer", "gone": None}},
    )

    assert changes(stored, table(a=ColumnType.INTEGER)) == []
    assert changes(stored, table(a=ColumnType.TEXT, gone=ColumnType.DATE)) == [
        change("a", "widened", "integer", "text"),
        change("gone", "added", None, "date"),
    ]


@pytest.mark.parametrize("policy", [DriftPolicy.EVOLVE, DriftPolicy.HOLD])
def test_only_one_policy_fails(policy: DriftPolicy) -> None:
    judge(policy, "t", [change("a", "added", None, "text")])
    judge(DriftPolicy.FAIL, "t", [])


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (change("a", "removed", "text", None), "'a' is gone (it was TEXT)"),
        (change("a", "narrowed", "text", "date"), "'a' was TEXT and is DATE"),
    ],
)
def test_the_error_names_table_column_and_types(told: dict[str, str | None], words: str) -> None:
    with pytest.raises(Drifted) as caught:
        judge(DriftPolicy.FAIL, "shop.t", [told, change("b", "added", None, "json")])

    assert caught.value.message == (
        f"The source changed the columns of shop.t: {words}, and 1 more."
    )
