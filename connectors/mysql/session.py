"""One connection to MySQL or MariaDB with one read-only transaction, and what its failures mean.

A source is only ever asked for this one connection at a time, whatever is read of it.
The driver's own words stay here: they name addresses, and quote rows and statements.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pymysql import err
from pymysql.cursors import DictCursor

from base.errors import ConnectionFailed, PlatformError, TimedOut
from connectors import sql
from connectors.connector import Connection
from connectors.errors import BadCredentials, SourceUnreachable, TableMissing
from connectors.mysql import PRODUCT, READ_SECONDS_MAX
from connectors.mysql.wire import PasswordNeedsTls, WireConnection

if TYPE_CHECKING:
    import pyarrow as pa

LOCK_SECONDS_MAX = 60
SILENCE_SECONDS_MAX = 60  # of a server that acknowledges nothing
STALL_SECONDS_MAX = 3600  # of ours, while parts are written
ROWS_MAX = 2**64 - 1
SORT_BYTES = (
    65_536  # of a value; more than any VARCHAR has, so that none is sorted by its start alone
)
GRACE_SECONDS = 10  # for the server to say itself that its time is up
BATCH_BYTES = 4 * 1024**2  # larger batches are no faster

_DENIED = {1044, 1045, 1130, 1227, 1251, 1275, 1698, 2049, 2059, 2061, 1142, 1143}
_EXPIRED = {1820, 1862}  # the first for a statement: some servers let such a user in
_REFUSED: dict[int, tuple[str, str, str]] = {  # message, hint, field
    **dict.fromkeys(
        _DENIED,
        (
            "{product} refused the user {user} with this password.",
            "Check user name and password, and that the server lets this user in from here.",
            "username",
        ),
    ),
    **dict.fromkeys(
        _EXPIRED,
        (
            "The password of the user {user} has expired.",
            "Set a new one at the server, and here.",
            "password",
        ),
    ),
    **dict.fromkeys(
        (3118, 3955, 4150, 4151),
        (
            "The account of the user {user} is locked.",
            "Unlock it at the server; too many wrong passwords may have locked it.",
            "username",
        ),
    ),
    3159: (
        "{product} takes connections over TLS alone.",
        "Set the TLS mode to require or, better, verify-full.",
        "ssl_mode",
    ),
}
_DATABASE_MISSING = {1049}
_TABLE_MISSING = {1051, 1146}
_COLUMN_MISSING = {1054}
_REMADE = {1412, 1615}  # InnoDB has no old state of it any more; a prepared statement was overtaken
_TIMED_OUT = {1969, 3024}
_FULL = {1040, 1203, 1226}
_NOT_NOW = _FULL | {1461, 1041, 1053, 1129, 1205, 1213, 1317, 1927, 1158, 1159, 1160, 1161, 3032}
_LOST = {2002, 2003, 2006, 2013, 2014, 2026}


class Session:
    """An open connection in a repeatable-read, read-only transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read_seconds: int = connection.settings["options"].get(
            "statement_timeout", READ_SECONDS_MAX
        )
        self._driver = _dial(connection)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._driver.wait_at_most(self._read_seconds + GRACE_SECONDS)
        with self.failures("the version"):
            self.version = str(self.rows("SELECT version() AS v", "the version")[0]["v"])
        self.is_mariadb = "mariadb" in self.version.lower()
        limit = (
            f"max_statement_time = {self._read_seconds}"
            if self.is_mariadb
            else f"max_execution_time = {self._read_seconds * 1000}"
        )
        settings = (
            "time_zone = '+00:00'",
            "sql_mode = 'NO_BACKSLASH_ESCAPES'",
            f"sql_select_limit = {ROWS_MAX}",  # the default is the server's, which may be less
            "sql_big_selects = 1",
            f"max_sort_length = {SORT_BYTES}",
            f"lock_wait_timeout = {LOCK_SECONDS_MAX}",
            f"net_write_timeout = {STALL_SECONDS_MAX}",
            f"wait_timeout = {STALL_SECONDS_MAX}",
            limit,
        )
        # For MySQL 8 alone, which may answer with estimates that are a day old.
        fresh = "/*!80000 , information_schema_stats_expiry = 0 */"
        for statement in (
            f"SET SESSION {', '.join(settings)} {fresh}",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ):
            self.rows(statement, "the session")

    def rows(self, statement: str, what: str = "the catalog") -> list[dict[str, Any]]:
        """All rows of a small result."""
        with self.failures(what), self._driver.cursor(DictCursor) as cursor:
            cursor.execute(statement)
            return [
                {
                    # MySQL 8 calls some texts of its information schema binary.
                    name: value.decode() if isinstance(value, bytes) else value
                    for name, value in row.items()
                }
                for row in cursor.fetchall()
            ]

    def stream(self, statement: str, what: str, columns: int) -> Iterator[list[pa.Array]]:
        """The cells of a result, in batches of about `BATCH_BYTES`. Left before its end, it ends the session."""
        limits = self._connection.limits
        with self.failures(what):
            yield from self._driver.stream(
                statement,
                columns,
                bytes_max=min(BATCH_BYTES, limits.batch_bytes),
                rows_max=limits.batch_rows,
            )

    def close(self) -> None:
        """End the transaction and the connection, in whatever state they are."""
        self._driver.hang_up()

    @contextlib.contextmanager
    def failures(self, what: str) -> Iterator[None]:
        """What a server may cause within as errors of ours; `what` is read, for messages."""
        try:
            yield
        except (PlatformError, MemoryError):
            raise
        except err.MySQLError as error:
            raise self._meaning(_code(error), what) from error
        except Exception as error:  # bytes of another protocol make the driver fail in any way
            raise ConnectionFailed(
                f"{PRODUCT} answered in a way that cannot be read, while {what} was ({type(error).__name__}).",
                hint="A server of another product, or a proxy before it, may not keep to the protocol.",
            ) from error

    def _meaning(self, code: int, what: str) -> PlatformError:
        if code in _EXPIRED:
            return _refused(self._connection, code)
        if code in _TABLE_MISSING | _COLUMN_MISSING:
            lost = f"A column of {what}" if code in _COLUMN_MISSING else what[:1].upper() + what[1:]
            return TableMissing(
                f"{lost} is not there any more.", hint="Introspect the source again."
            )
        if code in _DENIED:
            return BadCredentials(
                f"The user {self._connection.settings['username']} may not read {what}.",
                hint="Grant SELECT, or leave the table out.",
            )
        if code in _TIMED_OUT:
            return TimedOut(
                f"Reading {what} took longer than {self._read_seconds} seconds.",
                hint="The option statement_timeout is that limit.",
            )
        if code == 0 or code in _REMADE | _LOST | _NOT_NOW:
            return self._passing(code, what)
        return self._failed(what, f" (error {code})")

    def _passing(self, code: int, what: str) -> SourceUnreachable:
        if code in _REMADE:
            return SourceUnreachable(
                f"{what[:1].upper()}{what[1:]} was altered or emptied while {PRODUCT} was read.",
                hint="It is tried again, with the table as it is by now.",
            )
        return SourceUnreachable(
            f"{PRODUCT} stopped answering while {what} was read.",
            hint="The server closed the connection, was busy or was restarted; it is tried again.",
        )

    def _failed(self, what: str, code: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"{PRODUCT} reported an error while {what} was read{code}.",
            hint="Reading it with another client shows the error; most often a view or a function in it fails.",
        )


def _dial(connection: Connection) -> WireConnection:
    """Dial the checked address; the host's name is for TLS to verify. No file of our user's is read."""
    settings = connection.settings
    address = sql.dial_address(connection, PRODUCT)
    seconds = sql.connect_seconds(connection)
    mode = settings["ssl_mode"]
    driver = WireConnection(
        host=settings["host"],
        port=settings["port"],
        user=settings["username"],
        password=connection.secrets.get(
            sql.PASSWORD, ""
        ).encode(),  # of a text it knows Latin-1 alone
        database=settings["database"],
        charset="utf8mb4",
        read_timeout=seconds,  # a silent port must not hold the handshake
        write_timeout=seconds,
        local_infile=False,
        ssl_disabled=mode == "disable",
        ssl=_tls(mode, settings["options"].get("ssl_ca")),
        program_name="headwater",
        autocommit=True,
        defer_connect=True,
    )
    try:
        driver.connect(_socket(address, settings["port"], seconds))
    except MemoryError:
        raise
    except Exception as error:  # as in `failures`
        raise _refusal(connection, error) from error
    return driver


def _socket(address: str, port: int, seconds: int) -> socket.socket:
    dialled = socket.create_connection((address, port), seconds)
    for level, option, value in (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0), SILENCE_SECONDS_MAX // 2),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", 0), SILENCE_SECONDS_MAX // 6),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", 0), 3),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 0), SILENCE_SECONDS_MAX * 1000),
    ):
        if option:
            dialled.setsockopt(level, option, value)
    return dialled


def _tls(mode: str, authorities: str | None) -> ssl.SSLContext | None:
    """None is for `prefer`, which the driver does itself: TLS where the server has it, verifying nothing."""
    if mode in {"disable", "prefer"}:
        return None
    context = ssl.create_default_context(cadata=authorities)
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
    return context


def _code(error: Exception) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def _refusal(connection: Connection, error: Exception) -> PlatformError:
    """What a failed connection means."""
    settings, code = connection.settings, _code(error)
    if isinstance(error, PasswordNeedsTls):
        return BadCredentials(
            f"{PRODUCT} wants the password of {settings['username']} itself, which is sent over TLS alone.",
            hint="Turn TLS on at the server and set the TLS mode to require or, better, verify-full.",
            field="ssl_mode",
        )
    if isinstance(getattr(error, "original_exception", None), ssl.SSLCertVerificationError):
        return sql.certificate_refused(connection)
    if code in _DATABASE_MISSING:
        return ConnectionFailed(
            f"There is no database {settings['database']} on this server.", field="database"
        )
    if code in _NOT_NOW:
        return sql.full(connection, PRODUCT) if code in _FULL else sql.not_now(PRODUCT)
    if code in _REFUSED:
        return _refused(connection, code)
    return sql.unreachable(connection, PRODUCT)


def _refused(connection: Connection, code: int) -> BadCredentials:
    message, hint, field = _REFUSED[code]
    user = connection.settings["username"]
    return BadCredentials(message.format(product=PRODUCT, user=user), hint=hint, field=field)
