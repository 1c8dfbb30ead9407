"""Differences of two tables, against a model in plain Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.snapshots import diff as diffs
from storage.snapshots.changes import Difference, RowChange, Side
from tests.storage import tables
from tests.storage.test_diff import Row, side, stored

rows_of_few = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 8)), st.sampled_from(["a", "b", None])),
    max_size=14,
)


@given(old=rows_of_few, new=rows_of_few, gone=st.sets(st.integers(0, 27)), is_shared=st.booleans())
@settings(max_examples=60)
def test_multisets_as_a_model_has_them(
    tmp_path_factory: pytest.TempPathFactory,
    old: list[Row],
    new: list[Row],
    gone: set[int],
    *,
    is_shared: bool,
) -> None:
    folder = tmp_path_factory.mktemp("diff")
    before = stored(folder / "a", old) if old else []
    after = stored(folder / "b", new) if new else []
    if is_shared:  # the newer one begins with the older one's parts, some of their rows deleted
        after, new = [*before, *after], [*old, *new]
    one, other = side(before), side(tables.without(after, list(gone), folder / "gone"))
    live = [row for at, row in enumerate(new) if at not in gone]

    difference = run(one, other, ())

    added, removed = Counter(live) - Counter(old), Counter(old) - Counter(live)
    assert Counter(cells(row.new) for row in difference.rows if row.new) == added
    assert Counter(cells(row.old) for row in difference.rows if row.old) == removed
    totals = (difference.added, difference.removed, difference.changed)
    assert totals == (added.total(), removed.total(), 0)


keyed = st.dictionaries(st.integers(0, 12), st.sampled_from(["a", "b", None]), max_size=10)


@given(old=keyed, new=keyed)
@settings(max_examples=60)
def test_keyed_rows_as_a_model_has_them(
    tmp_path_factory: pytest.TempPathFactory, old: dict[int, Any], new: dict[int, Any]
) -> None:
    folder = tmp_path_factory.mktemp("diff")
    one = side(stored(folder / "a", list(old.items())) if old else [])
    other = side(stored(folder / "b", list(new.items())) if new else [])

    difference = run(one, other, ("id",))

    changes = {
        RowChange.ADDED: {(key, text) for key, text in new.items() if key not in old},
        RowChange.REMOVED: {(key, text) for key, text in old.items() if key not in new},
        RowChange.CHANGED: {(k, t) for k, t in new.items() if k in old and old[k] != t},
    }
    for change, expected in changes.items():
        rows = [row for row in difference.rows if row.change is change]
        assert {cells(row.new or row.old) for row in rows} == expected
        assert all(json.loads(row.key or b"") == [cells(row.new or row.old)[0]] for row in rows)


def cells(row: bytes | None) -> tuple[Any, ...]:
    return tuple(json.loads(row or b""))


def run(old: Side, new: Side, key: Sequence[str]) -> Difference:
    """A comparison of its own, without threads."""
    return diffs._Comparison(old, new, key).run(500, None)
