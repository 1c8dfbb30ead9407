"""SQLite as a source: a database file that was uploaded, opened as data and nothing else.

The file is read-only and immutable to SQLite, its schema is not trusted, and an authorizer allows nothing but reading:
a view of a hostile file can attach, write, configure or load nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.connector import Connection, Connector, Family, Kind
from connectors.files.settings import parse_file

PRODUCT = "SQLite"


def _parse(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The uploaded file, and nothing that a server needs."""
    given = {name: value for name, value in raw.items() if name != "engine"}
    if not given.get("options", True):
        del given["options"]
    return parse_file(given)


def _open(connection: Connection) -> Connector:
    from connectors.sqlite.connector import SqliteConnector  # Arrow loads where it is used

    return SqliteConnector(connection)


KIND = Kind(name="sqlite", family=Family.DATABASE, open=_open, parse=_parse)
