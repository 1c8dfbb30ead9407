"""What the connectors of database servers share: their settings, the address they dial, and how batches end."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from base import net
from base.errors import ConnectionFailed, InvalidInput
from base.tables import ColumnType
from connectors.connector import Connection, ReadLimits, Selection
from connectors.errors import AddressRefused, CellTooLarge, SourceUnreachable, TableMissing

if TYPE_CHECKING:
    import pyarrow as pa

PASSWORD = "password"  # noqa: S105 - the name of a setting
CURSOR, KEY = "cursorColumn", "primaryKey"  # what a user's selection calls them
TEXT_CHARACTERS_MAX = 256
PASSWORD_CHARACTERS_MAX = 4096
URL_CHARACTERS_MAX = 8192
PEM_CHARACTERS_MAX = 256 * 1024
VERIFYING_MODES = {"verify-ca", "verify-full"}
_FIELDS = ("host", "port", "database", "username", PASSWORD, "ssl_mode")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

OptionType = Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """What a user may write for one kind of server. `options` are all there are; a value's type raises ValueError."""

    product: str
    schemes: tuple[str, ...]
    port: int
    ssl_modes: tuple[str, ...]
    ssl_parameters: tuple[str, ...]  # names of the TLS mode in a URL
    options: Mapping[str, OptionType]

    def parse(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The `Kind.parse` of this form: public settings and secrets, or InvalidInput."""
        given = {name: value for name, value in raw.items() if value is not None}
        given.pop("engine", None)
        options = given.pop("options", {})
        if not isinstance(options, Mapping):
            raise InvalidInput("The options are not an object.", field="options")
        if "url" in given:
            given, options = self._merge_url(given, options)
        if unknown := sorted(set(given) - set(_FIELDS)):
            raise InvalidInput(
                f"A {self.product} connection has no {unknown[0]}.", field=unknown[0]
            )
        settings = {
            "host": _host(given.get("host")),
            "port": _port(given.get("port", self.port)),
            "database": _text(given.get("database"), "database"),
            "username": _text(given.get("username"), "username"),
            "ssl_mode": self._ssl_mode(given.get("ssl_mode", "prefer")),
            "options": {name: self._option(name, value) for name, value in options.items()},
        }
        password = given.get(PASSWORD) or None
        if password is None:
            return settings, {}
        return settings, {PASSWORD: _text(password, PASSWORD, PASSWORD_CHARACTERS_MAX)}

    def _merge_url(
        self, given: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if twice := sorted(set(given) & set(_FIELDS)):
            raise InvalidInput(
                f"The URL and the field {twice[0]} are both given.",
                hint="Give the URL alone, or the separate fields.",
                field="url",
            )
        found, parameters = self._read_url(given["url"])
        if twice := sorted(set(parameters) & set(options)):
            raise InvalidInput(f"The URL and the options both set {twice[0]}.", field="url")
        return {**found, **{k: v for k, v in given.items() if k != "url"}}, {
            **parameters,
            **options,
        }

    def _read_url(self, url: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Fields and options of a URL. No message repeats any of it, since it may hold the password."""
        if (
            not isinstance(url, str)
            or len(url) > URL_CHARACTERS_MAX
            or _CONTROL.search(url)
            or " " in url
        ):
            raise self._bad_url("is not a URL")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise self._bad_url("has no usable host and port") from error
        if parts.scheme.lower() not in self.schemes:
            raise self._bad_url("has another scheme")
        if parts.fragment or "#" in url:
            raise self._bad_url("has a '#'; write %23 in a password")
        found: dict[str, Any] = dict(self._url_fields(parts, port))
        parameters: dict[str, Any] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name in self.ssl_parameters:
                found["ssl_mode"] = value
            elif name in self.options:
                parameters[name] = value
            else:
                raise self._bad_url("has a parameter that is not among the options")
        return found, parameters

    def _url_fields(self, parts: SplitResult, port: int | None) -> Iterator[tuple[str, Any]]:
        user_info, at, _ = parts.netloc.rpartition("@")
        if "@" in user_info:
            raise self._bad_url("has two '@'; write %40 in a password")
        if at:
            yield "username", unquote(parts.username or "")
            yield PASSWORD, unquote(parts.password or "")
        yield "host", unquote(parts.hostname or "")
        yield "database", unquote(parts.path.removeprefix("/"))
        if port is not None:
            yield "port", port

    def _bad_url(self, what: str) -> InvalidInput:
        return InvalidInput(
            f"The connection URL {what}.",
            hint=f"It looks like {self.schemes[0]}://user:password@host:{self.port}/database.",
            field="url",
        )

    def _ssl_mode(self, value: object) -> str:
        mode = value.lower().replace("_", "-") if isinstance(value, str) else ""
        if mode not in self.ssl_modes:
            raise InvalidInput(
                f"The TLS mode is none of {', '.join(self.ssl_modes)}.", field="ssl_mode"
            )
        return mode

    def _option(self, name: str, value: object) -> Any:
        path = f"options.{name}" if name.isidentifier() else "options"
        if name not in self.options:
            raise InvalidInput(
                f"This is not an option of a {self.product} connection.",
                hint=f"There are: {', '.join(sorted(self.options))}.",
                field=path,
            )
        try:
            return self.options[name](value)
        except ValueError as error:
            raise InvalidInput(f"The option {name} {error}.", field=path) from error


def seconds(most: int) -> OptionType:
    """An option of whole seconds, from 1."""

    def read(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text):
            raise ValueError("is not a whole number of seconds")
        if not 1 <= int(text) <= most:
            raise ValueError(f"is not between 1 and {most} seconds")
        return int(text)

    return read


def label(characters_max: int) -> OptionType:
    """An option of printable ASCII text."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[ -~]+", value):
            raise ValueError("is not a text of printable ASCII characters")
        if len(value) > characters_max:
            raise ValueError(f"is longer than {characters_max} characters")
        return value

    return read


def certificates(value: object) -> str:
    """An option of PEM text: the authorities that signed the server's certificate, instead of the system's."""
    if not isinstance(value, str) or not 0 < len(value) <= PEM_CHARACTERS_MAX:
        raise ValueError("is not the text of certificates in PEM form")
    if "PRIVATE KEY" in value:
        raise ValueError("holds a private key, which must not be here")
    try:
        ssl.create_default_context(cadata=value)
    except (ValueError, ssl.SSLError) as error:
        raise ValueError("is not the text of certificates in PEM form") from error
    return value


def _text(value: object, field: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"The {field} is missing.", field=field)
    if len(value) > characters_max or _CONTROL.search(value):
        raise InvalidInput(
            f"The {field} is longer than {characters_max} characters or has control characters.",
            field=field,
        )
    return value


def _host(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput("The host is missing.", field="host")
    try:
        return net.normal_host(value)
    except net.HostRefused as error:
        raise InvalidInput(error.message, hint=error.hint, field="host") from error


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= net.PORT_MAX:
        raise InvalidInput(f"The port is not between 1 and {net.PORT_MAX}.", field="port")
    return value


def connect_seconds(connection: Connection) -> int:
    """How long dialling may take: the user's option, within our own limit."""
    chosen: int = connection.settings["options"].get(
        "connect_timeout", connection.limits.connect_seconds
    )
    return min(chosen, connection.limits.connect_seconds)


def dial_address(connection: Connection, product: str) -> str:
    """The checked address to dial; of several, the first that takes a connection.

    Raises `AddressRefused` or `SourceUnreachable`.
    """
    host, port = connection.settings["host"], connection.settings["port"]
    try:
        addresses = connection.guard.resolve(host, port)
    except net.HostUnknown as error:
        raise SourceUnreachable(error.message, hint=error.hint, field=error.field) from error
    except net.HostRefused as error:
        raise AddressRefused(error.message, hint=error.hint, field=error.field) from error
    if len(addresses) == 1:
        return addresses[0]
    for address in addresses:
        try:
            socket.create_connection((address, port), connect_seconds(connection)).close()
        except OSError:
            continue
        return address
    raise unreachable(connection, product)


def unreachable(connection: Connection, product: str) -> SourceUnreachable:
    """One message for refused, silent, filtered and foreign ports: a connection test is no port scanner."""
    host, port = connection.settings["host"], connection.settings["port"]
    return SourceUnreachable(
        f"No {product} server answered at {host}:{port}.",
        hint="Check host, port, TLS mode and the firewalls in between.",
        field="host",
    )


def full(connection: Connection, product: str) -> SourceUnreachable:
    """The server, the database or the user has as many connections as it may."""
    settings = connection.settings
    return SourceUnreachable(
        f"{product} has no connection left for the user {settings['username']}: too many are open.",
        hint="Headwater takes one for each source that it reads. It is tried again; or raise the limit at the server.",
        field="host",
    )


def not_now(product: str) -> SourceUnreachable:
    """The server answers, and takes nobody."""
    return SourceUnreachable(
        f"{product} takes no connections at the moment.",
        hint="It is starting or stopping; try again.",
    )


def certificate_refused(connection: Connection) -> ConnectionFailed:
    """The server showed a certificate that does not verify."""
    return ConnectionFailed(
        f"The TLS certificate of {connection.settings['host']} could not be verified.",
        hint="Check the host's name; an authority of your own is given by the option ssl_ca.",
        field="ssl_mode",
    )


def table_missing(selection: Selection, product: str) -> TableMissing:
    """The selected table is not there, or not readable."""
    return TableMissing(
        f"The table {selection.qualified_name} is not in this {product} database.",
        hint="It was dropped or renamed, or this user may not read it. Introspect the source again.",
    )


def column_missing(selection: Selection, column: str) -> TableMissing:
    """A selected column is not in its table."""
    return TableMissing(
        f"The table {selection.qualified_name} has no column {column}.",
        hint="It was dropped or renamed, or this user may not read it. Introspect the source again.",
    )


def cursor_unknown(selection: Selection, column: str) -> InvalidInput:
    """An increment is by a column that the table does not have."""
    return InvalidInput(
        f"The table {selection.qualified_name} has no column {column} to be its cursor.",
        hint="Choose another cursor column, or introspect the source again.",
        field=CURSOR,
    )


def cursor_without_order(selection: Selection, column: str, what: str) -> InvalidInput:
    """An increment is by a column whose values (`what`: its type, or what it holds) have no exact order."""
    return InvalidInput(
        f"The column {column} of the table {selection.qualified_name} cannot be a cursor ({what}).",
        hint="Use a column of times, dates, numbers or plain text, or sync the whole table each time.",
        field=CURSOR,
    )


def cursor_value(text: str, kind: ColumnType) -> Any:
    """The value of an increment's bound. Raises InvalidInput for a text that is none of the column's."""
    from connectors import since  # which loads Arrow

    try:
        return since.value(text, kind)
    except InvalidInput as error:
        raise InvalidInput(error.message, hint=error.hint, field=CURSOR) from error


def key_unknown(selection: Selection, column: str) -> InvalidInput:
    """The key that a user gave has a column that the table does not have."""
    return InvalidInput(
        f"The table {selection.qualified_name} has no column {column} to be in its key.",
        hint="Choose other key columns, or introspect the source again.",
        field=KEY,
    )


def bounded(batch: pa.RecordBatch, limits: ReadLimits, what: str) -> Iterator[pa.RecordBatch]:
    """A driver's batch of `what` (`the table orders`) in pieces of at most `batch_rows`. Raises `CellTooLarge`."""
    if batch.nbytes > limits.cell_bytes_max:
        _check_cells(batch, limits.cell_bytes_max, what)
    for start in range(0, batch.num_rows, limits.batch_rows):
        yield batch.slice(start, limits.batch_rows)


def _check_cells(batch: pa.RecordBatch, bytes_max: int, what: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            if longest > bytes_max:
                raise CellTooLarge(
                    f"A value in the column {name} of {what} has {longest} bytes, over the limit of {bytes_max}.",
                    hint="Leave the column out, or raise HEADWATER_CELL_BYTES_MAX.",
                )
