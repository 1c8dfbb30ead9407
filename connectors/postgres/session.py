"""One connection to PostgreSQL with one read-only transaction, and what its failures mean.

A source is only ever asked for this one connection at a time, whatever is read of it.
The driver's own words stay here: they name addresses, and quote rows and statements.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcDatabase, AdbcStatement
from adbc_driver_manager import Error as DriverError
from adbc_driver_postgresql import StatementOptions
from adbc_driver_postgresql import connect as open_database

from base.errors import ConnectionFailed, PlatformError, TimedOut
from connectors import sql
from connectors.connector import Connection
from connectors.errors import BadCredentials, SourceUnreachable, TableMissing
from connectors.postgres import PRODUCT, READ_SECONDS_MAX

LOCK_SECONDS_MAX = 60
SILENCE_SECONDS_MAX = 60  # of a server that acknowledges nothing
BATCH_BYTES = 8 * 1024**2  # larger batches are no faster

_REFUSED_BY_SERVER = re.compile(r"failed: \w+:  ")  # severity in the server's language, two blanks
_DATABASE_MISSING = re.compile(r'FATAL:  database ".*" does not exist')
_FULL = re.compile(
    r"FATAL:  (sorry, too many clients|too many connections|remaining connection slots)"
)
_NOT_NOW = re.compile(r"FATAL:  the database system is")
_CERTIFICATE_REFUSED = re.compile(r"certificate verify failed|server certificate for ")
_TABLE_MISSING_STATES = {"42P01", "3F000"}
_COLUMN_MISSING_STATES = {"42703"}
_NO_RIGHT_STATES = {"42501"}
_TIMED_OUT_STATES = {"57014"}
_PASSING_CLASSES = {"08", "53", "57", "40", "55"}  # lost, full, shut down, conflict, locked


class Session:
    """An open connection in a repeatable-read, read-only transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read_seconds = connection.settings["options"].get(
            "statement_timeout", READ_SECONDS_MAX
        )
        self._results: set[contextlib.ExitStack] = set()  # that are being read
        self._database, self._driver = _dial(connection)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        settings = {
            "timezone": "UTC",
            "datestyle": "ISO",
            "intervalstyle": "iso_8601",
            "extra_float_digits": "1",
            "bytea_output": "hex",
            "standard_conforming_strings": "on",
            "statement_timeout": f"{self._read_seconds}s",
            "lock_timeout": f"{LOCK_SECONDS_MAX}s",
            "idle_in_transaction_session_timeout": "0",
        }
        calls = ", ".join(f"set_config('{name}', '{to}', true)" for name, to in settings.items())
        self.rows(f"SELECT {calls}")

    def rows(self, statement: str, what: str = "the catalog") -> list[dict[str, Any]]:
        """All rows of a small result."""
        with self._failures(what), self._result(statement) as reader:
            found: list[dict[str, Any]] = reader.read_all().to_pylist()
            return found

    def stream(self, statement: str, what: str, columns: int) -> Iterator[list[pa.Array]]:
        """The columns of a result, in batches of about `BATCH_BYTES`."""
        with self._failures(what), self._result(statement) as reader:
            for batch in reader:
                if batch.num_rows:
                    yield batch.columns[:columns]

    def close(self) -> None:
        """End the transaction and the connection, and whatever still reads over it."""
        for result in tuple(self._results):
            with contextlib.suppress(DriverError, OSError, pa.ArrowException):
                result.close()
        with contextlib.suppress(DriverError):
            self._driver.close()
        with contextlib.suppress(DriverError):
            self._database.close()

    @contextlib.contextmanager
    def _result(self, statement: str) -> Iterator[pa.RecordBatchReader]:
        """The driver without its Python layer, which loads a data frame library."""
        batch_bytes = min(BATCH_BYTES, self._connection.limits.batch_bytes)
        with contextlib.ExitStack() as result:
            self._results.add(result)
            result.callback(self._results.discard, result)
            running = result.enter_context(AdbcStatement(self._driver))
            running.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(batch_bytes)})
            running.set_sql_query(statement)
            stream, _ = running.execute_query()
            yield result.enter_context(pa.RecordBatchReader.from_stream(stream))

    @contextlib.contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except DriverError as error:
            raise self._meaning(error.sqlstate or "", what) from error
        except (OSError, pa.ArrowException) as error:  # in a stream the driver gives no code
            raise self._stream_failure(str(error), what) from error

    def _meaning(self, state: str, what: str) -> PlatformError:
        if state in _TABLE_MISSING_STATES | _COLUMN_MISSING_STATES:
            lost = (
                f"A column of {what}"
                if state in _COLUMN_MISSING_STATES
                else what[:1].upper() + what[1:]
            )
            return TableMissing(
                f"{lost} is not there any more.", hint="Introspect the source again."
            )
        if state in _NO_RIGHT_STATES:
            return BadCredentials(
                f"The user {self._connection.settings['username']} may not read {what}.",
                hint="Grant SELECT, or leave the table out.",
            )
        if state in _TIMED_OUT_STATES:
            return self._timed_out(what)
        if not state or state[:2] in _PASSING_CLASSES:
            return self._lost(what)
        return self._failed(what, f" (SQLSTATE {state})")

    def _stream_failure(self, text: str, what: str) -> PlatformError:
        if "statement timeout" in text:
            return self._timed_out(what)
        try:
            self._driver.rollback()
        except DriverError:
            return self._lost(what)
        if "conflict with recovery" in text:
            return self._lost(what)
        return self._failed(what, "")

    def _lost(self, what: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"{PRODUCT} stopped answering while {what} was read.",
            hint="The server closed the connection, was busy or was restarted; it is tried again.",
        )

    def _timed_out(self, what: str) -> TimedOut:
        return TimedOut(
            f"Reading {what} took longer than {self._read_seconds} seconds.",
            hint="The option statement_timeout is that limit.",
        )

    def _failed(self, what: str, state: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"{PRODUCT} reported an error while {what} was read{state}.",
            hint="Reading it with another client shows the error; most often a view or a function in it fails.",
        )


def _dial(connection: Connection) -> tuple[AdbcDatabase, AdbcConnection]:
    """An open connection with a transaction begun, and what has to be closed behind it."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as authorities:
        authorities.write(connection.settings["options"].get("ssl_ca", ""))
        authorities.flush()
        database = None
        try:
            database = open_database(_uri(connection, authorities.name))
            driver = AdbcConnection(database)
            driver.set_autocommit(enabled=False)
        except DriverError as error:
            if database is not None:
                database.close()
            raise _refusal(connection, str(error)) from error
        return database, driver


def _uri(connection: Connection, own_authorities: str) -> str:
    """`hostaddr` is what is dialled, `host` the name that TLS verifies; nothing comes from files of our user."""
    settings = connection.settings
    authorities = ssl.get_default_verify_paths().cafile or "system"
    if "ssl_ca" in settings["options"]:
        authorities = own_authorities
    parameters = {
        "host": settings["host"],
        "hostaddr": sql.dial_address(connection, PRODUCT),
        "port": settings["port"],
        "dbname": settings["database"],
        "user": settings["username"],
        "sslmode": settings["ssl_mode"],
        "sslrootcert": authorities,
        "sslcertmode": "disable",
        "gssencmode": "disable",
        "connect_timeout": sql.connect_seconds(connection),
        "application_name": settings["options"].get("application_name", "headwater"),
        "client_encoding": "UTF8",
        "target_session_attrs": "any",
        "keepalives_idle": SILENCE_SECONDS_MAX // 2,
        "keepalives_interval": SILENCE_SECONDS_MAX // 6,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_SECONDS_MAX * 1000,
    }
    if settings["ssl_mode"] not in sql.VERIFYING_MODES:
        del parameters["sslrootcert"]  # libpq would verify "require" too where it has a root
    if password := connection.secrets.get(sql.PASSWORD):
        parameters["password"] = password
    return "postgresql:///?" + urlencode(parameters, quote_via=quote)


def _refusal(connection: Connection, text: str) -> PlatformError:
    """What the text of a failed connection means: the driver gives no code here."""
    settings = connection.settings
    if _DATABASE_MISSING.search(text):
        return ConnectionFailed(
            f"There is no database {settings['database']} on this server.", field="database"
        )
    if _CERTIFICATE_REFUSED.search(text):
        return sql.certificate_refused(connection)
    if _FULL.search(text):
        return sql.full(connection, PRODUCT)
    if _NOT_NOW.search(text):
        return sql.not_now(PRODUCT)
    if _REFUSED_BY_SERVER.search(text) or "no password supplied" in text:
        return BadCredentials(
            f"{PRODUCT} refused the user {settings['username']} with this password.",
            hint="Check user name and password, and that the server's pg_hba.conf lets this user in.",
            field="username",
        )
    return sql.unreachable(connection, PRODUCT)
