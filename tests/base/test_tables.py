"""Tables travel as JSON and come back the same."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from base.tables import Column, ColumnType, TableSchema

names = st.text(max_size=20)
columns = st.builds(
    Column,
    name=names,
    type=st.sampled_from(ColumnType),
    native_type=st.none() | names,
    nullable=st.booleans(),
    primary_key=st.booleans(),
    inference=st.none() | names,
)
tables = st.builds(
    TableSchema,
    name=names,
    columns=st.lists(columns, max_size=5).map(tuple),
    schema=st.none() | names,
    row_estimate=st.none() | st.integers(0, 2**63 - 1),
    cursor_column=st.none() | names,
    details=st.dictionaries(names, st.none() | st.booleans() | st.integers() | names),
)


@given(tables)
def test_a_table_comes_back_from_json_as_it_was(table: TableSchema) -> None:
    assert TableSchema.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_the_primary_key_is_in_column_order() -> None:
    table = TableSchema(
        "orders",
        (
            Column("line", ColumnType.INTEGER, primary_key=True),
            Column("text", ColumnType.TEXT),
            Column("order", ColumnType.INTEGER, primary_key=True),
        ),
    )

    assert table.primary_key == ("line", "order")
    assert table.with_columns(table.columns[1:2]).primary_key == ()
    assert table.with_columns(()).name == "orders"
