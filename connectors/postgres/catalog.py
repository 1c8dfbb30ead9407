"""What a PostgreSQL database holds, from one query of its catalog.

Own SQL, since no general inspector tells what reading needs: the base type of a domain, the element of an array, the
order of a key, and what this user may read.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

from base.tables import Column, TableSchema
from connectors.postgres.columns import NativeType, plan
from connectors.postgres.session import Session
from connectors.queries import Relation

_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}

# Partitions come with their parent; what belongs to an extension is its own business.
_RELATIONS = """
WITH RECURSIVE base(oid, base, modifier) AS (
  SELECT oid, oid, -1 FROM pg_type WHERE typtype <> 'd'
  UNION ALL
  SELECT t.oid, b.base, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.modifier END
  FROM pg_type t JOIN base b ON t.typbasetype = b.oid WHERE t.typtype = 'd'
), partition(root, oid) AS (  -- pg_partition_tree would hold locks until the transaction ends
  SELECT inhparent, inhrelid FROM pg_inherits JOIN pg_class p ON p.oid = inhparent AND p.relkind = 'p'
  UNION ALL
  SELECT p.root, i.inhrelid FROM partition p JOIN pg_inherits i ON i.inhparent = p.oid
), partitioned AS (
  SELECT p.root, CASE WHEN bool_or(c.reltuples < 0) THEN -1 ELSE sum(c.reltuples) END AS row_estimate,
    sum(pg_relation_size(c.oid)) AS size_bytes, bool_or(c.relkind = 'f') AS has_foreign
  FROM partition p JOIN pg_class c ON c.oid = p.oid AND c.relkind <> 'p' GROUP BY p.root
), relation AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind::text AS relkind, n.nspname = current_schema() AS is_default,
    c.relhassubclass AND c.relkind = 'r' AS has_children,
    c.relkind IN ('r', 'm') OR c.relkind = 'p' AND NOT coalesce(p.has_foreign, false) AS can_be_sampled,
    CASE c.relkind WHEN 'p' THEN p.row_estimate WHEN 'v' THEN -1 ELSE c.reltuples END::float8 AS row_estimate,
    CASE WHEN c.relkind = 'p' THEN coalesce(p.size_bytes, 0)
      WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END::int8 AS size_bytes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN partitioned p ON p.root = c.oid
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
    AND has_schema_privilege(n.oid, 'USAGE') AND (c.relkind <> 'm' OR c.relispopulated)
    AND NOT EXISTS
      (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT r.nspname::text AS schema, r.relname::text AS name, r.relkind, r.is_default, r.has_children, r.can_be_sampled,
  r.row_estimate, r.size_bytes,
  a.attname::text AS column, a.attnotnull AS not_null, format_type(a.atttypid, a.atttypmod) AS native_type,
  CASE WHEN tn.nspname = 'pg_catalog' THEN t.typname::text ELSE tn.nspname || '.' || t.typname END AS base_type,
  t.typtype::text AS type_kind, t.typcategory::text AS type_category,
  CASE WHEN e.typnamespace = 'pg_catalog'::regnamespace THEN e.typname::text
    WHEN e.oid IS NOT NULL THEN '' END AS element,
  CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE b.modifier END::int4 AS modifier,
  array_position(i.indkey::int2[], a.attnum)::int4 AS key_position, i.indnkeyatts::int4 AS key_columns
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN base b ON b.oid = a.atttypid
JOIN pg_type t ON t.oid = b.base
JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_type e ON e.typarray = t.oid
LEFT JOIN pg_index i ON i.indrelid = r.oid AND i.indisprimary
WHERE has_column_privilege(r.oid, a.attnum, 'SELECT')
ORDER BY r.nspname COLLATE "C", r.relname COLLATE "C", a.attnum
"""


def load(session: Session) -> list[Relation]:
    """Every relation this user may read, ordered by schema and name."""
    rows = session.rows(_RELATIONS)
    return [
        _relation(list(columns)) for _, columns in groupby(rows, key=itemgetter("schema", "name"))
    ]


def _relation(rows: list[dict[str, Any]]) -> Relation:
    first = rows[0]
    plans = tuple(
        plan(
            NativeType(
                name=row["base_type"],
                kind=row["type_kind"],
                category=row["type_category"],
                element=row["element"],
                modifier=row["modifier"],
            )
        )
        for row in rows
    )
    key = _key(rows)
    columns = tuple(
        Column(
            name=row["column"],
            type=planned.type,
            native_type=row["native_type"],
            nullable=not row["not_null"],
            primary_key=row["column"] in key,
        )
        for row, planned in zip(rows, plans, strict=True)
    )
    estimate = first["row_estimate"]
    return Relation(
        table=TableSchema(
            name=first["name"],
            schema=first["schema"],
            columns=columns,
            row_estimate=int(estimate) if estimate is not None and estimate >= 0 else None,
            details={"kind": _KINDS[first["relkind"]]},
        ),
        plans=plans,
        key=() if first["has_children"] else key,  # a child may hold a key of its parent again
        is_in_default_schema=first["is_default"],
        size_bytes=first["size_bytes"],
        can_be_sampled=first["can_be_sampled"],
    )


def _key(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """The primary key's columns in its order; none where the user may not read all of them."""
    positions = {
        row["key_position"]: row["column"]
        for row in rows
        if row["key_position"] is not None and row["key_position"] < row["key_columns"]
    }
    if len(positions) != (rows[0]["key_columns"] or 0):
        return ()
    return tuple(positions[place] for place in sorted(positions))
