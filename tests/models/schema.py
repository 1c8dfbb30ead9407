"""What a database's schema is, as far as it matters to rows: columns, indexes, foreign keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from models.database import Database


@dataclass(frozen=True)
class Table:
    """`columns`: name to type, nullability and default; `indexes`: (unique, columns); `keys`: (column, parent, rule)."""

    columns: dict[str, tuple[Any, ...]]
    indexes: frozenset[tuple[bool, tuple[str, ...]]]
    keys: frozenset[tuple[str, str, str]]

    def with_columns(self, **columns: tuple[Any, ...]) -> Table:
        """The same table with other or more columns."""
        return replace(self, columns=self.columns | columns)

    def without_columns(self, *names: str) -> Table:
        """The same table with fewer columns."""
        kept = {name: what for name, what in self.columns.items() if name not in names}
        return replace(self, columns=kept)


Schema = dict[str, Table]


async def read(database: Database) -> Schema:
    """The schema of every table but the record of migrations."""
    reader = _sqlite if database.dialect == "sqlite" else _postgresql
    tables = await reader(database)
    return {name: table for name, table in tables.items() if name != "tortoise_migrations"}


async def drop(database: Database) -> None:
    """Remove every table."""
    if database.dialect == "postgresql":
        await database.connection.execute_script("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return
    tables = "".join(f'DROP TABLE "{name}";' for name in await read(database))
    await database.connection.execute_script(f"PRAGMA foreign_keys = OFF; {tables}")


async def _sqlite(database: Database) -> Schema:
    run = database.connection.execute_query_dict
    schema = {}
    for row in await run(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'"
    ):
        name = row["name"]
        columns = await run(f'PRAGMA table_info("{name}")')
        indexes = [
            (bool(index["unique"]), await _sqlite_index_columns(database, index["name"]))
            for index in await run(f'PRAGMA index_list("{name}")')
        ]
        keys = await run(f'PRAGMA foreign_key_list("{name}")')
        schema[name] = Table(
            {c["name"]: (c["type"], not c["notnull"], c["dflt_value"]) for c in columns},
            frozenset(indexes),
            frozenset((key["from"], key["table"], key["on_delete"]) for key in keys),
        )
        assert len(indexes) == len(set(indexes)), f"{name} has an index twice"
    return schema


async def _sqlite_index_columns(database: Database, index: str) -> tuple[str, ...]:
    rows = await database.connection.execute_query_dict(f'PRAGMA index_info("{index}")')
    return tuple(row["name"] for row in rows)


_COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public'
"""
_INDEXES = """
SELECT c.relname AS table_name, i.indisunique AS is_unique,
    ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace
"""
_KEYS = """
SELECT conrelid::regclass::text AS table_name, confrelid::regclass::text AS parent, confdeltype::text AS rule,
    (SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) AS column_name
FROM pg_constraint WHERE contype = 'f'
"""
_RULES = {"a": "NO ACTION", "c": "CASCADE", "n": "SET NULL", "r": "RESTRICT", "d": "SET DEFAULT"}


async def _postgresql(database: Database) -> Schema:
    columns = await database.connection.execute_query_dict(_COLUMNS)
    indexes = await database.connection.execute_query_dict(_INDEXES)
    keys = await database.connection.execute_query_dict(_KEYS)
    schema = {}
    for name in {row["table_name"] for row in columns}:
        found = [
            (row["is_unique"], tuple(row["columns"]))
            for row in indexes
            if row["table_name"] == name
        ]
        assert len(found) == len(set(found)), f"{name} has an index twice"
        schema[name] = Table(
            {
                row["column_name"]: (
                    _type(row["data_type"], row["character_maximum_length"]),
                    row["is_nullable"] == "YES",
                    row["column_default"],
                )
                for row in columns
                if row["table_name"] == name
            },
            frozenset(found),
            frozenset(
                (row["column_name"], row["parent"], _RULES[row["rule"]])
                for row in keys
                if row["table_name"] == name
            ),
        )
    return schema


def _type(name: str, length: int | None) -> str:
    return name if length is None else f"VARCHAR({length})"
