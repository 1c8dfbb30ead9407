"""What a MySQL database holds, from its information schema.

Own SQL, since no general inspector tells what reading needs: signs and digits, MariaDB's JSON, the order of a key, the
engine, and what this user may read.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

from base.tables import Column, TableSchema
from connectors.mysql.columns import NativeType, plan
from connectors.mysql.session import Session
from connectors.queries import Relation

_KINDS = {
    "BASE TABLE": "table",
    "SYSTEM VERSIONED": "table",
    "VIEW": "view",
}
_CLUSTERED_ENGINES = {"InnoDB", "ROCKSDB", "TokuDB", "NDBCLUSTER"}

# Names are compared by their bytes as well: two tables may differ in case alone, and the schema's collation folds it.
_COLUMNS = """
SELECT t.TABLE_NAME AS `name`, t.TABLE_TYPE AS `kind`, t.ENGINE AS `engine`, t.TABLE_ROWS AS `row_estimate`,
  t.DATA_LENGTH AS `size_bytes`, c.COLUMN_NAME AS `column`, c.DATA_TYPE AS `type`, c.COLUMN_TYPE AS `native_type`,
  c.IS_NULLABLE AS `nullable`, c.NUMERIC_PRECISION AS `precision`, c.NUMERIC_SCALE AS `scale`
FROM information_schema.TABLES t
JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
  AND cast(c.TABLE_NAME AS binary) = cast(t.TABLE_NAME AS binary)
WHERE t.TABLE_SCHEMA = database() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')
  AND find_in_set('select', c.PRIVILEGES)
ORDER BY cast(t.TABLE_NAME AS binary), c.ORDINAL_POSITION
"""
_KEYS = """
SELECT TABLE_NAME AS `name`, COLUMN_NAME AS `column`, SUB_PART AS `prefix`
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = database() AND INDEX_NAME = 'PRIMARY'
ORDER BY cast(TABLE_NAME AS binary), SEQ_IN_INDEX
"""
_CHECKS = """
SELECT TABLE_NAME AS `name`, CHECK_CLAUSE AS `check` FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = database()
"""


def load(session: Session) -> list[Relation]:
    """Every relation of the database that this user may read, ordered by name."""
    rows = session.rows(_COLUMNS)
    keys: dict[str, list[dict[str, Any]]] = {
        name: list(parts) for name, parts in groupby(session.rows(_KEYS), key=itemgetter("name"))
    }
    checks = session.rows(_CHECKS) if session.is_mariadb else []
    json = {(check["name"], check["check"]) for check in checks}
    return [
        _relation(list(columns), keys.get(name, []), json)
        for name, columns in groupby(rows, key=itemgetter("name"))
    ]


def _relation(
    rows: list[dict[str, Any]], key_parts: list[dict[str, Any]], checks: set[tuple[str, str]]
) -> Relation:
    first = rows[0]
    plans = tuple(plan(_native(row, checks)) for row in rows)
    named = {part["column"] for part in key_parts}
    columns = tuple(
        Column(
            name=row["column"],
            type=planned.type,
            native_type=row["native_type"],
            nullable=row["nullable"] == "YES",
            primary_key=row["column"] in named,
        )
        for row, planned in zip(rows, plans, strict=True)
    )
    readable = {row["column"] for row in rows}
    is_whole = named <= readable and all(part["prefix"] is None for part in key_parts)
    estimate = first["row_estimate"]
    return Relation(
        table=TableSchema(
            name=first["name"],
            columns=columns,
            row_estimate=None if estimate is None else int(estimate),
            details={"kind": _KINDS[first["kind"]]},
        ),
        plans=plans,
        key=tuple(part["column"] for part in key_parts) if is_whole else (),
        is_clustered=first["engine"] in _CLUSTERED_ENGINES,
        size_bytes=first["size_bytes"] or 0,
    )


def _native(row: dict[str, Any], checks: set[tuple[str, str]]) -> NativeType:
    quoted = row["column"].replace("`", "``")
    check = f"json_valid(`{quoted}`)"
    return NativeType(
        name=row["type"].lower(),
        full=row["native_type"].lower(),
        precision=row["precision"],
        scale=row["scale"],
        is_json=(row["name"], check) in checks,
    )
