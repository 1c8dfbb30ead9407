"""Result sets of MySQL's text protocol as Arrow, without a Python object a cell.

The driver does the handshake, TLS and the statement; from there the bytes of the rows are taken as they come. Finding
the rows is a loop over their lengths; finding the cells is arithmetic on whole columns, and one copy in Arrow. That is
8 times the driver's own rows and as fast as connectorx (480 thousand rows of 12 columns a second against 500), which
knows no TLS that verifies a name, reads each table in another state of the source, and panics on zero dates.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import DEFAULT_BUFFER_SIZE, BufferedReader
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pymysql import err
from pymysql.connections import Connection
from pymysql.constants import CR

_PACKET_BYTES_MAX = 0xFFFFFF  # a longer row goes on in the next packet
_AHEAD_BYTES = DEFAULT_BUFFER_SIZE  # that the driver may hold
_EOF_BYTES_MAX = 8  # a longer packet that starts like the end is a row with a huge first cell
_BUFFER_BYTES_MAX = _PACKET_BYTES_MAX + 3  # every packet of a whole row fits, and no longer one
_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
_HEADER = struct.Struct("<I")
_IN_THE_CLEAR = {b"mysql_clear_password", b"dialog"}
_LENGTH_BYTES = {_TWO: 2, _THREE: 3, _EIGHT: 8}

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole rows as they came: each begins in `data` at one of `starts`."""

    data: memoryview
    starts: Positions

    def columns(self, count: int) -> list[pa.Array]:
        """A binary array a column."""
        cells, step = self._cells(count), 2 * len(self.starts)
        return [
            pc.take(cells, pa.array(np.arange(at, at + step, 2)), boundscheck=False)
            for at in range(0, count * step, step or 1)
        ]

    def _cells(self, count: int) -> pa.Array:
        """Every cell, column by column, each with what lies before the next one as an element in between.

        One array for all columns: of one whose values are few of its bytes Arrow would take too much memory.
        """
        bounds = np.empty((count, len(self.starts), 2), np.int32)
        valid: Flags | None = None
        buffer, position = np.frombuffer(self.data, np.uint8), self.starts
        for place in range(count):
            begin, length, is_null = _lengths(buffer, position)
            position = begin + length
            bounds[place, :, 0], bounds[place, :, 1] = begin, position
            if is_null is not None:
                valid = np.ones(bounds.shape, np.bool_) if valid is None else valid
                valid[place, :, 0] = ~is_null
        # No length is below 0: where the last cell ends with its row, no other reaches out of it.
        if not np.array_equal(position, self._ends()):
            raise _malformed()
        offsets = np.append(bounds.reshape(-1), np.int32(len(self.data)))
        validity = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(
            pa.binary(), bounds.size, [validity, pa.py_buffer(offsets), pa.py_buffer(self.data)]
        )

    def _ends(self) -> Positions:
        """Where each row ends: before the next one's header."""
        return np.append(self.starts[1:] - _HEADER.size, len(self.data))[: len(self.starts)]


def _lengths(
    buffer: npt.NDArray[np.uint8], position: Positions
) -> tuple[Positions, Positions, Flags | None]:
    """Where the cells at these positions begin, how long they are, and which are NULL, if any.

    What lies behind the buffer's end, where a hostile length may point, is read as its last byte.
    """
    first = buffer.take(position, mode="clip")
    begin, length = position + 1, first.astype(np.int64)
    if not len(first) or first.max() < _NULL:
        return begin, length, None
    is_null = first == _NULL
    length[is_null] = 0
    for mark, width in _LENGTH_BYTES.items():
        marked = np.flatnonzero(first == mark)
        if marked.size:
            begin[marked] += width
            at = position[marked, None] + np.arange(1, width + 1)
            eight = np.zeros((marked.size, 8), np.uint8)
            eight[:, :width] = buffer.take(at, mode="clip")
            long = eight.view("<u8")[:, 0]
            if long.max() > len(buffer):
                raise _malformed()
            length[marked] = long
    return begin, length, is_null


def _malformed() -> err.OperationalError:
    return err.OperationalError(CR.CR_MALFORMED_PACKET, "a cell that is longer than its row")


class PasswordNeedsTls(err.OperationalError):
    """The server asks for the password itself, and anyone in between could read it or ask for it."""


class WireConnection(Connection):
    """The driver's connection with a way to stream rows. Raises the driver's errors and `PasswordNeedsTls`."""

    _rfile: BufferedReader
    _is_ahead = False  # the driver may have read rows with the columns' names
    _result: Any
    _secure: bool
    password: bytes
    _read_timeout: float | None
    _force_close: Callable[[], None]

    def stream(self, statement: str, *, bytes_max: int, rows_max: int) -> Iterator[Rows]:
        """The rows of one statement in pieces of about these sizes. Read them to the end before the next statement."""
        self.query(statement, unbuffered=True)
        self._is_ahead = True
        result, is_read = self._result, False
        try:
            yield from Splitter(self, bytes_max, rows_max).pieces()
            is_read = True
        finally:
            result.unbuffered_active = False  # or the driver would look for the rest itself
            result.connection = None
            if not is_read:
                self.hang_up()

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
        self._buffer = bytearray(self._bytes_max)
        self._filled = 0  # bytes of the buffer
        self._starts: list[Positions] = []
        self._rows = 0  # of which these are the starts
        self._end = 0  # of the whole rows in the buffer

    def pieces(self) -> Iterator[Rows]:
        """Whole rows, as they arrive; ends with the result set. Raises the error that the server sends instead."""
        while True:
            special = self._walk()
            is_full = self._filled == len(self._buffer)
            if special or is_full or self._rows >= self._rows_max:
                if self._rows:
                    yield self._take()
                elif is_full and not special:
                    self._renew(2 * len(self._buffer))
                if special == _EIGHT:
                    return
                if special:
                    yield self._long_row()
                    continue
            self._receive()

    def _walk(self) -> int:
        """Find the whole rows in the buffer; answers what stopped it early: the end (254), a long row (255), or 0."""
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
            if end > filled or buffer[begin] >= _EIGHT:
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
        if length < _PACKET_BYTES_MAX:
            if begin + length > self._filled:
                return 0
            if self._buffer[begin] == _ERROR:
                err.raise_mysql_exception(bytes(self._buffer[begin : begin + length]))
        return _EIGHT if length <= _EOF_BYTES_MAX else _ERROR

    def _take(self) -> Rows:
        rows = Rows(memoryview(self._buffer)[: self._end], np.concatenate(self._starts))
        self._renew(self._bytes_max)
        self._starts.clear()
        self._rows = 0
        return rows

    def _renew(self, size_bytes: int) -> None:
        """Go on in a new buffer with what is left behind the whole rows; a packet fits in the largest one."""
        left = memoryview(self._buffer)[self._end : self._filled]
        self._buffer = bytearray(min(max(size_bytes, 2 * len(left)), _BUFFER_BYTES_MAX))
        self._buffer[: len(left)] = left
        self._filled, self._end = len(left), 0

    def _receive(self) -> None:
        self._filled += self._connection.receive(memoryview(self._buffer)[self._filled :])

    def _long_row(self) -> Rows:
        """The row that starts the buffer, put together from its packets."""
        parts = []
        while True:
            header = _HEADER.unpack(self._exactly(_HEADER.size))[0]
            length = header & _PACKET_BYTES_MAX
            parts.append(self._exactly(length))
            if length < _PACKET_BYTES_MAX:
                self._renew(self._bytes_max)
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
