"""The driver's connection, and result sets of MySQL's binary protocol as they come.

The driver does the handshake and TLS; from there the bytes of the rows are taken as they come. Finding the rows is a
loop over their lengths; their cells are found by arithmetic on whole columns (`rows`). The binary protocol, that of
prepared statements, spares the server to write numbers and times as text: it is done in two thirds of the time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from io import DEFAULT_BUFFER_SIZE, BufferedReader
from typing import Any

import numpy as np
import pyarrow as pa
from pymysql import err
from pymysql.connections import Connection
from pymysql.constants import COMMAND, FLAG
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

from connectors.mysql.rows import HEADER_BYTES, PADDING_BYTES, Field, Positions, Rows, malformed

_PACKET_BYTES_MAX = 0xFFFFFF  # a longer row goes on in the next packet
_AHEAD_BYTES = DEFAULT_BUFFER_SIZE  # that the driver may hold
_BUFFER_BYTES_MAX = _PACKET_BYTES_MAX + 3  # every packet of a whole row fits, and no longer one
CELLS_MAX = 1024**2  # of a piece: one of NULL takes a bit in its row, and 40 bytes here
_ROW, _END, _ERROR = 0x00, 0xFE, 0xFF  # how a packet starts
_LONG = -1  # a row in several packets
_HEADER = struct.Struct("<I")
_PREPARED = struct.Struct(
    "<xIHH"
)  # a statement's number, how many columns it has and how many parameters
_EXECUTED = struct.Struct("<IBI")  # its number, without a cursor, once
_IN_THE_CLEAR = {b"mysql_clear_password", b"dialog"}


class PasswordNeedsTls(err.OperationalError):
    """The server asks for the password itself, and anyone in between could read it or ask for it."""


class WireConnection(Connection):
    """The driver's connection with a way to stream rows. Raises the driver's errors and `PasswordNeedsTls`.

    Where a server does not keep to the protocol, the driver may fail with any other exception.
    """

    _rfile: BufferedReader
    _is_ahead = False  # the driver may have read rows with the columns' names
    _secure: bool
    password: bytes
    _read_timeout: float | None
    _force_close: Callable[[], None]
    _execute_command: Callable[[int, str | bytes], None]
    _read_packet: Callable[..., Any]

    def stream(
        self, statement: str, columns: int, *, bytes_max: int, rows_max: int
    ) -> Iterator[list[pa.Array]]:
        """The columns of one statement in pieces of about these sizes. Read them to the end before another one."""
        number = self._prepare(statement)
        self._execute_command(COMMAND.COM_STMT_EXECUTE, _EXECUTED.pack(number, 0, 1))
        is_read = False
        try:
            splitter = Splitter(self, bytes_max, min(rows_max, CELLS_MAX // columns))
            fields = self._fields(columns)
            self._is_ahead = True
            for rows in splitter.pieces():
                yield rows.columns(fields)
            is_read = True
        finally:
            if not is_read:
                self.hang_up()
        self._execute_command(COMMAND.COM_STMT_CLOSE, _HEADER.pack(number))  # is not answered

    def _fields(self, columns: int) -> list[Field]:
        """The columns of a result, which has to have so many; its rows come next."""
        if self._read_packet(MysqlPacket).read_length_encoded_integer() != columns:
            raise malformed("another number of columns")
        found = [self._read_packet(FieldDescriptorPacket) for _ in range(columns)]
        if not self._read_packet(MysqlPacket).is_eof_packet():
            raise malformed("more columns than were told of")
        return [Field(each.type_code, bool(each.flags & FLAG.UNSIGNED)) for each in found]

    def _prepare(self, statement: str) -> int:
        """The number that the server gives a statement."""
        self._execute_command(COMMAND.COM_STMT_PREPARE, statement)
        answer = self._read_packet(MysqlPacket).get_all_data()
        if len(answer) < _PREPARED.size or answer[0]:
            raise malformed("another answer than a prepared statement")
        number, columns, parameters = _PREPARED.unpack_from(answer)
        for definitions in (parameters, columns):
            for _ in range(definitions and definitions + 1):  # and what ends them
                self._read_packet(MysqlPacket)
        return int(number)

    @property
    def server_public_key(self) -> None:
        """What the driver would encrypt the password with where there is no TLS: a key of whoever answers."""
        if self.password:
            raise PasswordNeedsTls

    @server_public_key.setter
    def server_public_key(self, key: object) -> None:
        """No key is taken from the wire."""

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        """The method that the server wants instead of the one it said first."""
        if plugin_name in _IN_THE_CLEAR and self.password and not self._secure:
            raise PasswordNeedsTls
        return super()._process_auth(plugin_name, auth_packet, handler)  # type: ignore[misc]

    def receive(self, into: memoryview) -> int:
        """Put there what has arrived; how many bytes, at least one."""
        try:
            if self._is_ahead:
                ahead, self._is_ahead = self._rfile.read1(_AHEAD_BYTES), False
                count = len(ahead)
                into[:count] = ahead
            else:
                count = self._rfile.raw.readinto(into) or 0
        except OSError as error:
            raise err.OperationalError(2013, "lost while reading rows") from error
        if not count:
            raise err.OperationalError(2013, "closed while reading rows")
        return count

    def hang_up(self) -> None:
        """Close the socket, whatever is under way."""
        self._force_close()

    def wait_at_most(self, seconds: int) -> None:
        """How long the server may take for the next byte from now on."""
        self._read_timeout = seconds


class Splitter:
    """Cuts the stream of one result set into rows. A piece has a buffer of its own, so that nothing is copied."""

    def __init__(self, connection: WireConnection, bytes_max: int, rows_max: int) -> None:
        self._connection = connection
        self._bytes_max = max(min(bytes_max, _BUFFER_BYTES_MAX), _AHEAD_BYTES)
        self._rows_max = rows_max
        self._size = self._bytes_max
        self._buffer = bytearray(self._size + PADDING_BYTES)
        self._filled = 0  # bytes of the buffer
        self._starts: list[Positions] = []
        self._rows = 0  # of which these are the starts
        self._end = 0  # of the whole rows in the buffer

    def pieces(self) -> Iterator[Rows]:
        """Whole rows, as they arrive; ends with the result set. Raises the error that the server sends instead."""
        while True:
            special = self._walk()
            is_full = self._filled == self._size
            if special or is_full or self._rows >= self._rows_max:
                if self._rows:
                    yield from self._take()
                elif is_full and not special:
                    self._renew(2 * self._size)
                if special == _END:
                    return
                if special:
                    yield self._long_row()
                    continue
            self._receive()

    def _walk(self) -> int:
        """Find the whole rows in the buffer; answers what stopped it early: `_END`, `_LONG`, or 0."""
        starts = np.fromiter(self._whole(), np.int64)
        if len(starts):  # most of what a slow server sends at once is less than a row
            self._rows += len(starts)
            self._starts.append(starts)
        return self._special()

    def _whole(self) -> Iterator[int]:
        """Where each whole row begins; afterwards `_end` is behind them."""
        buffer, position, filled = self._buffer, self._end, self._filled
        unpack, limit = _HEADER.unpack_from, filled - _HEADER.size
        while position < limit:
            begin = position + 4
            end = begin + (unpack(buffer, position)[0] & _PACKET_BYTES_MAX)
            if end > filled or buffer[begin] != _ROW:
                break
            yield begin
            position = end
        self._end = position

    def _special(self) -> int:
        """What is behind the whole rows; answers as `_walk` does."""
        begin = self._end + _HEADER.size
        if begin >= self._filled:
            return 0
        length = _HEADER.unpack_from(self._buffer, self._end)[0] & _PACKET_BYTES_MAX
        first = self._buffer[begin]
        if first == _ROW and length == _PACKET_BYTES_MAX:
            return _LONG
        if first not in {_ROW, _END, _ERROR} or length == _PACKET_BYTES_MAX:
            raise malformed("neither a row nor the end")
        if begin + length > self._filled:
            return 0
        if first == _ERROR:
            err.raise_mysql_exception(bytes(self._buffer[begin : begin + length]))
        return first

    def _take(self) -> Iterator[Rows]:
        """The whole rows in the buffer, no more than may be at once."""
        data, starts, end = memoryview(self._buffer), np.concatenate(self._starts), self._end
        self._renew(self._bytes_max)
        self._starts.clear()
        self._rows = 0
        for place in range(0, len(starts), self._rows_max):
            some, rest = starts[place : place + self._rows_max], starts[place + self._rows_max :]
            last = rest[0] - HEADER_BYTES if len(rest) else end
            yield Rows(data[some[0] : last + PADDING_BYTES], some - some[0])

    def _renew(self, size_bytes: int) -> None:
        """Go on in a new buffer with what is left behind the whole rows; a packet fits in the largest one."""
        left = memoryview(self._buffer)[self._end : self._filled]
        self._size = min(max(size_bytes, 2 * len(left)), _BUFFER_BYTES_MAX)
        self._buffer = bytearray(self._size + PADDING_BYTES)
        self._buffer[: len(left)] = left
        self._filled, self._end = len(left), 0

    def _receive(self) -> None:
        self._filled += self._connection.receive(
            memoryview(self._buffer)[self._filled : self._size]
        )

    def _long_row(self) -> Rows:
        """The row that starts the buffer, put together from its packets."""
        parts = []
        while True:
            header = _HEADER.unpack(self._exactly(_HEADER.size))[0]
            length = header & _PACKET_BYTES_MAX
            parts.append(self._exactly(length))
            if length < _PACKET_BYTES_MAX:
                self._renew(self._bytes_max)
                parts.append(bytearray(PADDING_BYTES))
                return Rows(memoryview(b"".join(parts)), np.zeros(1, np.int64))

    def _exactly(self, count: int) -> bytearray:
        """So many bytes from the buffer, and from the connection where it has fewer."""
        data = self._buffer[self._end : min(self._end + count, self._filled)]
        self._end += len(data)
        filled = len(data)
        data += bytes(count - filled)
        with memoryview(data) as view:
            while filled < count:
                filled += self._connection.receive(view[filled:])
        return data
