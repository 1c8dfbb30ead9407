"""Schema editors for migrations that keep what Tortoise's own lose.

Tortoise 1.1 forgets the index of an added field. On SQLite, where most changes rebuild the table, it forgets every
secondary index, every unique constraint of several columns, and the counter that keeps the ids of deleted rows from
being given out again; and it cannot remove a foreign key. `tests/models/test_upgrade.py` holds these to their word.
"""
# ruff: noqa: SLF001 - `_meta` is how Tortoise's models are described

import sqlite3
from dataclasses import dataclass
from typing import Any

from tortoise.fields.base import Field
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint
from tortoise.migrations.schema_editor import AsyncpgSchemaEditor, SqliteSchemaEditor
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.models import Model


class _IndexesAddedFields(BaseSchemaEditor):
    async def add_field(self, model: type[Model], field_name: str) -> None:
        """Add a column, and the index it asks for."""
        await super().add_field(model, field_name)
        field = model._meta.fields_map[field_name]
        if field.index and not field.unique and not field.pk:
            await self.add_index(model, Index(fields=(_column(field),)))


class PostgresEditor(_IndexesAddedFields, AsyncpgSchemaEditor):
    """The editor for PostgreSQL."""


@dataclass(frozen=True, slots=True)
class _StoredIndex:
    """An index as SQLite has it: `sql` is null for one that belongs to a constraint in the table's definition."""

    name: str
    columns: tuple[str | None, ...]  # null: an expression
    unique: bool
    sql: str | None

    def renamed(self, columns: dict[str, str], table: str) -> str:
        """SQL that makes this index again, after columns were renamed."""
        if self.sql and not columns.keys() & set(self.columns):
            return self.sql
        kind = "UNIQUE INDEX" if self.unique else "INDEX"
        names = ", ".join(f'"{columns.get(name or "", name)}"' for name in self.columns)
        return f'CREATE {kind} "{self.name}" ON "{table}" ({names})'


class SqliteEditor(_IndexesAddedFields, SqliteSchemaEditor):
    """The editor for SQLite. Runs inside a transaction, with foreign keys off (`models.migrate`)."""

    async def _run_sql(self, sql: str) -> None:
        # One by one: sqlite3's executescript commits first. Split where statements end, not at any semicolon in a text.
        statement = ""
        for part in sql.split(";"):
            statement += part + ";"
            if sqlite3.complete_statement(statement) and statement.strip(" \n;"):
                await self.client.execute_query(statement)
                statement = ""

    async def _remake_table(
        self,
        model: type[Model],
        create_field: Any = None,
        delete_field: Any = None,
        alter_fields: Any = None,
    ) -> None:
        await self._rebuild(
            model,
            create_field=create_field,
            delete_field=delete_field,
            alter_fields=alter_fields or [],
        )

    async def _rebuild(
        self,
        model: type[Model],
        *,
        without: _StoredIndex | None = None,
        create_field: Any = None,
        delete_field: Any = None,
        alter_fields: Any = (),
    ) -> None:
        table = model._meta.db_table
        gone = {_column(delete_field)} if delete_field else set()
        altered = {_column(old): _column(new) for old, new in alter_fields}
        indexes = [
            index
            for index in await self._indexes(table)
            if index != without and not gone & set(index.columns)
        ]
        counter = await self._counter(table)
        hidden = _hide_key_column(model, delete_field)
        try:
            await super()._remake_table(model, create_field, delete_field, list(alter_fields))
        finally:
            model._meta.fields_map.update(hidden)
        for index in indexes:
            if not _comes_with_its_column(model, index, altered):
                await self.client.execute_query(index.renamed(altered, table))
        for old, new in alter_fields:
            await self._follow_index_flag(model, old, new)
        await self._restore_counter(table, counter)

    async def _follow_index_flag(self, model: type[Model], old: Any, new: Any) -> None:
        index = Index(fields=(_column(new),))
        if new.index and not old.index:
            await self.add_index(model, index)
        elif old.index and not new.index:
            await self.remove_index(model, index)

    async def remove_constraint(
        self, model: type[Model], constraint: UniqueConstraint | CheckConstraint
    ) -> None:
        """Drop a constraint: its index where it is one, else by rebuilding the table without it."""
        if isinstance(constraint, CheckConstraint):
            await self._rebuild(model)
            return
        columns = tuple(self._resolve_fields_to_columns(model, constraint.fields))
        for index in await self._indexes(model._meta.db_table):
            if index.unique and index.columns == columns:
                if index.sql:
                    await self.client.execute_query(f'DROP INDEX "{index.name}"')
                else:
                    await self._rebuild(model, without=index)
                return
        raise LookupError(f"{model._meta.db_table} has no unique constraint on {columns}")

    async def _indexes(self, table: str) -> list[_StoredIndex]:
        rows = await self.client.execute_query_dict(
            'SELECT list.name, list."unique", list.origin, master.sql FROM pragma_index_list(?) AS list '
            "JOIN sqlite_master AS master ON master.name = list.name ORDER BY list.seq DESC",
            [table],
        )
        found = []
        for row in rows:
            columns = await self.client.execute_query_dict(
                "SELECT name FROM pragma_index_info(?) ORDER BY seqno", [row["name"]]
            )
            names = tuple(column["name"] for column in columns)
            name = row["name"]
            if (
                row["origin"] == "u"
            ):  # SQLite's own name; the index that replaces the constraint needs another
                name = self._generate_index_name_for_table("uid", table, list(names))
            if row["origin"] != "pk":
                found.append(_StoredIndex(name, names, bool(row["unique"]), row["sql"]))
        return found

    async def _counter(self, table: str) -> int | None:
        rows = await self.client.execute_query_dict(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", [table]
        )
        return int(rows[0]["seq"]) if rows else None

    async def _restore_counter(self, table: str, counter: int | None) -> None:
        await self.client.execute_query("DELETE FROM sqlite_sequence WHERE name = ?", [table])
        if counter is not None:
            await self.client.execute_query(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table, counter]
            )


def _column(field: Field[Any]) -> str:
    return field.source_field or field.model_field_name


def _hide_key_column(model: type[Model], field: Field[Any] | None) -> dict[str, Field[Any]]:
    """Take the column of a relation that is being removed out of the model, so that it is not made again."""
    if not isinstance(field, ForeignKeyFieldInstance):
        return {}
    column = _column(field)
    return {column: model._meta.fields_map.pop(column)}


def _comes_with_its_column(
    model: type[Model], index: _StoredIndex, altered: dict[str, str]
) -> bool:
    """Whether the column's own definition, new or unchanged, decides about this index."""
    if not index.unique or len(index.columns) != 1:
        return False
    column = index.columns[0] or ""
    field = model._meta.fields_map.get(model._meta.fields_db_projection_reverse.get(column, column))
    return column in altered or (field is not None and field.unique)
