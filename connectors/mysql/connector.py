"""Reading MySQL and MariaDB: one consistent, read-only transaction for the catalog and for every table.

Tables whose rows are kept by primary key (InnoDB) come in that order, which costs nothing, and so do small ones; then
each batch has a position to resume behind. A resumed read sees the source as it is then.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from base.tables import TableSchema
from connectors.mysql import PRODUCT, catalog
from connectors.mysql.session import Session
from connectors.queries import Dialect, Relation
from connectors.relational import RelationalConnector

_TYPES = {date: "date ", time: "time ", datetime: "timestamp "}


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(value: Any) -> str:
    """The value exactly, of its own type: MySQL would compare digits in quotes as doubles."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return f"{value!r}e0" if "e" not in repr(value) else repr(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    text = value
    if isinstance(value, datetime):  # instants are in UTC, and so is the session
        text = value.replace(tzinfo=None).isoformat(" ", "microseconds")
    text = str(text).replace("'", "''")
    return f"{_TYPES.get(type(value), '')}'{text}'"


class MysqlConnector(RelationalConnector[Session]):
    """An open MySQL or MariaDB source."""

    dialect = Dialect(
        PRODUCT,
        _quote,
        _literal,
        any_of="coalesce(max({0}), 0)",
        has_nulls_last=False,
        compares_rows=False,
    )

    def _open(self) -> Session:
        return Session(self._connection)

    def _version(self) -> str:
        session = self._session()
        return f"{'MariaDB' if session.is_mariadb else PRODUCT} {session.version.partition('-')[0]}"

    def _load(self) -> list[Relation]:
        session = self._session()
        with session.failures("the catalog"):
            return catalog.load(session)

    def _schemas(self, table: TableSchema) -> set[str | None]:
        """MySQL's schema is the database, and a connection has one."""
        return {table.schema, self._connection.settings["database"]}
