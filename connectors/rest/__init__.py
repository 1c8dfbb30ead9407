"""Web APIs that answer in JSON, page by page, as a source: one table a resource."""

from __future__ import annotations

from connectors.connector import Connection, Connector, Family, Kind
from connectors.rest.settings import parse


def _open(connection: Connection) -> Connector:
    from connectors.rest.connector import RestConnector  # the HTTP client loads where it is used

    return RestConnector(connection)


KIND = Kind(name="rest", family=Family.API, open=_open, parse=parse)
