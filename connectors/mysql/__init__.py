"""MySQL and MariaDB as a source."""

from __future__ import annotations

from connectors import sql
from connectors.connector import Connection, Connector, Family, Kind

PRODUCT = "MySQL"
READ_SECONDS_MAX = 6 * 3600


def _charset(value: object) -> str:
    if value not in {"utf8", "utf8mb4"}:
        raise ValueError("is always utf8mb4: the server converts every column's own")
    return "utf8mb4"


FORM = sql.Form(
    product=PRODUCT,
    schemes=("mysql", "mariadb"),
    port=3306,
    ssl_modes=("disable", "prefer", "require", "verify-ca", "verify-full"),
    ssl_parameters=("ssl-mode", "ssl_mode", "sslmode"),
    options={
        "charset": _charset,
        "connect_timeout": sql.seconds(60),
        "ssl_ca": sql.certificates,
        "statement_timeout": sql.seconds(READ_SECONDS_MAX),
    },
)


def _open(connection: Connection) -> Connector:
    from connectors.mysql.connector import MysqlConnector  # drivers load where they are used

    return MysqlConnector(connection)


KIND = Kind(name="mysql", family=Family.DATABASE, open=_open, parse=FORM.parse)
