"""PostgreSQL as a source."""

from __future__ import annotations

from connectors import sql
from connectors.connector import Connection, Connector, Family, Kind

PRODUCT = "PostgreSQL"
READ_SECONDS_MAX = 6 * 3600
APPLICATION_CHARACTERS_MAX = 63  # what PostgreSQL keeps

FORM = sql.Form(
    product=PRODUCT,
    schemes=("postgresql", "postgres"),
    port=5432,
    ssl_modes=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    ssl_parameters=("sslmode", "ssl_mode"),
    options={
        "application_name": sql.label(APPLICATION_CHARACTERS_MAX),
        "connect_timeout": sql.seconds(60),
        "ssl_ca": sql.certificates,
        "statement_timeout": sql.seconds(READ_SECONDS_MAX),
    },
)


def _open(connection: Connection) -> Connector:
    from connectors.postgres.connector import PostgresConnector  # drivers load where they are used

    return PostgresConnector(connection)


KIND = Kind(name="postgresql", family=Family.DATABASE, open=_open, parse=FORM.parse)
