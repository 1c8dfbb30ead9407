"""What users say about the tables to sync, checked, and as it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from base.errors import InvalidInput
from services.sources import SyncMode, TableGiven
from services.sources.selections import LOOKBACK_SECONDS_MAX, are_read_alike, selections


def selected(name: str, **values: Any) -> dict[str, Any]:
    """A selection as it is kept, of all columns and synced whole unless told."""
    usual: dict[str, Any] = {
        "name": name,
        "schema": None,
        "columns": [],
        "mode": "full",
        "cursor_column": None,
        "primary_key": [],
        "detect_deletes": False,
        "lookback_seconds": None,
    }
    return usual | values


def test_everything_that_is_said_is_kept() -> None:
    given = TableGiven(
        "orders",
        "public",
        ["at", "b", "a"],
        mode=SyncMode.MERGE,
        cursor_column="at",
        primary_key=["a", "b"],
        detect_deletes=True,
        lookback_seconds=0,
    )

    kept = selections([given, TableGiven("log", mode=SyncMode.APPEND)], "t")

    assert kept == [
        selected(
            "orders",
            schema="public",
            columns=["at", "b", "a"],
            mode="merge",
            cursor_column="at",
            primary_key=["a", "b"],
            detect_deletes=True,
            lookback_seconds=0,
        ),
        selected("log", mode="append"),
    ]
    assert selections(None, "t") == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"primary_key": []}, "primaryKey"),
        ({"primary_key": ["a", "a"]}, "primaryKey"),
        ({"primary_key": ["a", ""]}, "primaryKey[1]"),
        ({"primary_key": [f"c{each}" for each in range(33)]}, "primaryKey"),
        ({"cursor_column": ""}, "cursorColumn"),
        ({"cursor_column": "a\x00"}, "cursorColumn"),
        ({"columns": ["a"], "cursor_column": "b"}, "cursorColumn"),
        ({"columns": ["a"], "primary_key": ["a", "b"]}, "primaryKey"),
        ({"detect_deletes": True}, "detectDeletes"),
        ({"detect_deletes": True, "mode": SyncMode.APPEND}, "detectDeletes"),
        ({"lookback_seconds": -1}, "lookbackSeconds"),
        ({"lookback_seconds": LOOKBACK_SECONDS_MAX + 1}, "lookbackSeconds"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        selections([TableGiven("t", **values)], "tables")

    assert caught.value.field == f"tables[0].{field}"


@pytest.mark.parametrize(
    ("old", "new", "is_alike"),
    [
        ([], [], True),
        ([selected("a")], [selected("a")], True),
        ([selected("a")], [selected("a"), selected("b", columns=["x"])], True),
        ([selected("a"), selected("b", columns=["x"])], [selected("a")], True),
        ([selected("a")], [selected("a", lookback_seconds=9, detect_deletes=True)], True),
        ([selected("a")], [selected("a", mode="merge")], True),
        ([selected("a")], [selected("a", columns=["x"])], False),
        ([selected("a")], [selected("a", primary_key=["x"])], False),
        ([selected("a")], [selected("a", cursor_column="x")], False),
        ([selected("a", schema="s")], [selected("a", columns=["x"])], True),
        ([], [selected("a", mode="append")], True),
        ([], [selected("a", columns=["x"])], False),
        ([selected("a", columns=["x"])], [], False),
        ([{"name": "a", "schema": None, "columns": []}], [selected("a")], True),
    ],
)
def test_which_selections_read_rows_that_may_stay_together(
    old: list[dict[str, Any]], new: list[dict[str, Any]], *, is_alike: bool
) -> None:
    assert are_read_alike(old, new) is is_alike
