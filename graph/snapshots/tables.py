"""Tables, their columns and their rows, as a snapshot stores them or an introspection found them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import orjson
import strawberry

from base import tables
from base.errors import Conflict
from graph.context import Info
from graph.enums import ColumnType, Direction, expose
from graph.fields import returns
from graph.pages import PageInfo, PageInfoRow
from graph.scalars import JSON, BigInt, Cell
from graph.selection import Selection
from graph.serialized import Serialized
from graph.snapshots.profiles import ColumnProfile
from services import snapshots
from services.snapshots import profiles
from storage.snapshots.drifts import DRIFTED
from storage.snapshots.earlier import EARLIER
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.pages import RowOp

MANIFESTS_CACHED = 256
TABLE_ROWS = 50
_OWN_DETAILS = {DRIFTED, EARLIER}  # what syncs remember of a drift


expose(
    RowOp,
    "How a row's value compares with the given one. A null equals no value: it matches IS_NULL and NE alone.",
    EQ="Equal.",
    NE="Not equal, nulls among them; NOT_NULL beside it leaves them out.",
    LT="Less, or earlier.",
    LE="Less or equal.",
    GT="Greater, or later.",
    GE="Greater or equal.",
    IN="One of a list of values.",
    CONTAINS="A text that contains the given one, in the same case.",
    STARTS_WITH="A text that starts with the given one, in the same case.",
    IS_NULL="Null; takes no value.",
    NOT_NULL="Not null; takes no value.",
)


@strawberry.type(description="A column of a table.")
class Column:
    """Shown from `base.tables.Column` as it is."""

    name: str = strawberry.field(description="Its name, exactly as the source has it.")
    type: ColumnType = strawberry.field(description="Its type as Headwater stores it.")
    native_type: str | None = strawberry.field(
        description="Its type as the source calls it, such as `varchar(40)`; of a CSV file how its values are written, "
        "such as `YYYY-MM-DD`; null for workbooks and documents."
    )
    nullable: bool = strawberry.field(description="Whether it may hold nulls.")
    primary_key: bool = strawberry.field(
        description="Whether it is part of the table's primary key."
    )
    inference: str | None = strawberry.field(
        description="Why it has its type, where that was found out from its values, such as "
        "`text: 214 values start with 0, first '00123' in line 17`."
    )


@strawberry.input(description="Keeps the rows whose value in one column compares as told.")
class RowFilter:
    """One condition of `Table.rows(where:)`."""

    column: str = strawberry.field(description="The column's name.")
    op: RowOp = strawberry.field(description="How to compare.")
    value: JSON | None = strawberry.field(
        default=None,
        description="What to compare with, in the form in which the column's cells are shown; a list for IN.",
    )


@strawberry.input(description="Sorts rows by one column; nulls come last in either direction.")
class RowOrder:
    """One part of `Table.rows(orderBy:)`."""

    column: str = strawberry.field(description="The column's name.")
    direction: Direction | None = strawberry.field(
        default=Direction.ASC, description="Which value comes first."
    )


@strawberry.type(description="A page of a table's rows.")
class RowPage:
    """Made of a `RowPageRow`."""

    columns: list[Column] = strawberry.field(description="The columns of each row, in order.")
    rows: list[list[Cell | None]] = strawberry.field(
        description="The rows, each a list with one cell a column."
    )
    total_count: BigInt | None = strawberry.field(
        description="How many rows match the filter. Counted only when selected."
    )
    page_info: PageInfo = strawberry.field(description="Where this page lies in the table.")


class RowPageRow(NamedTuple):
    """What a `RowPage` is made of; the rows stay the text that the engine wrote."""

    columns: list[tables.Column]
    rows: Serialized
    total_count: int | None
    page_info: PageInfoRow


class TableRow(NamedTuple):
    """What a `Table` is made of; `stored` is None for a table that is known but not synced."""

    name: str
    schema: str | None
    columns: tuple[tables.Column, ...]
    row_count: int | None
    size_bytes: int | None
    primary_key: tuple[str, ...]
    cursor_column: str | None
    metadata: dict[str, Any]
    quarantined_rows: int | None
    stored: StoredTable | None


@strawberry.type(
    description="A table of a data source: a CSV file is one, a workbook has one a sheet, a database one a relation."
)
class Table:
    """Made of a `TableRow`."""

    name: str = strawberry.field(description="Its name in the source.")
    schema: str | None = strawberry.field(
        description="The schema it is in, where the source has schemas."
    )
    columns: list[Column] = strawberry.field(description="Its columns, in the source's order.")
    row_count: BigInt | None = strawberry.field(
        description="How many rows it has: exact once synced, before that the source's own estimate, or null."
    )
    size_bytes: BigInt | None = strawberry.field(
        description="How many bytes its stored parts take; null before the first sync."
    )
    primary_key: list[str] = strawberry.field(
        description="The names of the primary key's columns; empty without one."
    )
    cursor_column: str | None = strawberry.field(
        description="The column that tells new rows from old ones, where one was chosen."
    )

    metadata: JSON = strawberry.field(
        description="What the source says of it: a document's title, author and language, a sheet's being hidden, "
        "whether a relation is a view."
    )
    quarantined_rows: BigInt | None = strawberry.field(
        description="How many rows its sync set aside because they could not be stored as they were; the format "
        "QUARANTINE of `presignDataSource` downloads them. Null before the first sync."
    )

    @returns(RowPage)
    @staticmethod
    async def rows(
        parent: strawberry.Parent[Any],
        info: Info,
        first: Annotated[
            int | None,
            strawberry.argument(
                description="How many rows to give, from the start or from `after`: up to 1,000."
            ),
        ] = TABLE_ROWS,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="Only rows after this cursor, a `pageInfo.endCursor` of the same filter and order."
            ),
        ] = None,
        columns: Annotated[
            list[str] | None,
            strawberry.argument(
                description="The columns to give, in this order; all when left out."
            ),
        ] = None,
        where: Annotated[
            list[RowFilter] | None,
            strawberry.argument(description="Conditions that have to hold together."),
        ] = None,
        order_by: Annotated[
            list[RowOrder] | None,
            strawberry.argument(
                description="Columns to sort by; rows that tie, or all without it, keep the source's order."
            ),
        ] = None,
    ) -> RowPageRow:
        """Rows of the stored table, filtered, sorted and paged. Raises CONFLICT before the first sync."""
        if parent.stored is None:
            raise Conflict(
                f"The table {parent.name} has no rows here yet.",
                hint="Sync its data source with `syncDataSources` first.",
            )
        page = await snapshots.rows(
            info.context.platform,
            parent.stored,
            first=TABLE_ROWS if first is None else first,
            after=after,
            columns=columns,
            where=[(each.column, each.op, each.value) for each in where or ()],
            order_by=[(each.column, each.direction is Direction.DESC) for each in order_by or ()],
            count="totalCount" in Selection.of(info),
        )
        return RowPageRow(
            list(page.columns),
            Serialized(page.rows_json),
            page.total,
            PageInfoRow(page.has_next, page.has_previous, page.start_cursor, page.end_cursor),
        )

    @returns(list[ColumnProfile])
    @staticmethod
    async def profile(
        parent: strawberry.Parent[Any], info: Info
    ) -> tuple[profiles.ColumnProfile, ...]:
        """Statistics of every column over every row, computed in the sync; empty before the first one."""
        if parent.stored is None:
            return ()
        return await profiles.profile(info.context.platform, parent.stored)


@lru_cache(maxsize=MANIFESTS_CACHED)
def manifest_of(text: str) -> Manifest:
    """A stored manifest. They never change, so the same text is parsed once."""
    return Manifest.from_json(orjson.loads(text))


def stored_tables(text: str) -> list[TableRow]:
    """The tables of a manifest."""
    return [
        _table(stored.table, stored.row_count, stored.size_bytes, stored)
        for stored in manifest_of(text).tables
    ]


def found_tables(text: str) -> list[TableRow]:
    """The tables of an introspection."""
    return seen_tables(map(tables.TableSchema.from_json, orjson.loads(text)))


def seen_tables(found: Iterable[tables.TableSchema]) -> list[TableRow]:
    """Tables as a source describes them; nothing is stored of them."""
    return [_table(table, table.row_estimate, None, None) for table in found]


def _table(
    table: tables.TableSchema,
    row_count: int | None,
    size_bytes: int | None,
    stored: StoredTable | None,
) -> TableRow:
    key, cursor, quarantined = table.primary_key, table.cursor_column, None
    if stored is not None:  # what the sync went by, whatever the source says
        key = stored.key or key
        cursor = stored.cursor.column if stored.cursor else cursor
        quarantined = stored.quarantine.rows if stored.quarantine else 0
    return TableRow(
        name=table.name,
        schema=table.schema,
        columns=table.columns,
        row_count=row_count,
        size_bytes=size_bytes,
        primary_key=key,
        cursor_column=cursor,
        metadata={name: each for name, each in table.details.items() if name not in _OWN_DETAILS},
        quarantined_rows=quarantined,
        stored=stored,
    )
