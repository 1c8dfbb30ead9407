from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql import err
from pymysql.constants import COMMAND, CR, FIELD_TYPE

from connectors.mysql.rows import PADDING_BYTES, Field, Rows
from connectors.mysql.wire import Splitter, WireConnection
from tests.connectors import peers
from tests.connectors.peers import packet

END = packet(9, b"\xfe\0\0\x02\0")
LENGTHS = [0, 1, 249, 250, 251, 252, 255, 256, 65535, 65536, 70000]
BYTES = Field(FIELD_TYPE.VAR_STRING, is_unsigned=False)
INTEGERS = {
    FIELD_TYPE.TINY: "b",
    FIELD_TYPE.SHORT: "h",
    FIELD_TYPE.YEAR: "h",
    FIELD_TYPE.INT24: "i",
    FIELD_TYPE.LONG: "i",
    FIELD_TYPE.LONGLONG: "q",
}
MOMENTS = {FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP}


class Arriving(WireConnection):
    """Bytes that arrive in pieces of these sizes, the last size for ever."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data = data
        self.sizes = sizes

    def receive(self, into: memoryview) -> int:
        size = self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0]
        size = min(size, len(into))
        piece, self.data = self.data[:size], self.data[size:]
        assert piece, "read on behind the end"
        into[: len(piece)] = piece
        return len(piece)

    def __del__(self) -> None:
        """There is no socket to close."""


def counted(value: bytes) -> bytes:
    """With its length before it."""
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 65536:
        return b"\xfc" + struct.pack("<H", len(value)) + value
    return b"\xfd" + struct.pack("<I", len(value))[:3] + value


def shortened(parts: bytes, lengths: Sequence[int]) -> bytes:
    """A moment as servers send it: without the parts at its end that are zero."""
    kept = next(n for n in lengths if not parts[n:].strip(b"\0"))
    return counted(parts[:kept])


def cell(field: Field, value: Any) -> bytes:
    if field.code in INTEGERS:
        letter = INTEGERS[field.code]
        return struct.pack("<" + (letter.upper() if field.is_unsigned else letter), value)
    if field.code == FIELD_TYPE.FLOAT:
        return struct.pack("<f", value)
    if field.code == FIELD_TYPE.DOUBLE:
        return struct.pack("<d", value)
    if field.code in MOMENTS:
        at = value if isinstance(value, datetime) else datetime.combine(value, time())
        parts = struct.pack(
            "<HBBBBBI", at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond
        )
        return shortened(parts, [0, 4, 7, 11])
    if field.code == FIELD_TYPE.TIME:
        span = abs(value)
        hours, rest = divmod(span.seconds, 3600)
        numbers = (value < timedelta(), span.days, hours, rest // 60, rest % 60, span.microseconds)
        return shortened(struct.pack("<BIBBBI", *numbers), [0, 8, 12])
    return counted(value)


def row(fields: Sequence[Field], values: Sequence[Any]) -> bytes:
    """A row of the binary protocol."""
    mask = bytearray((len(fields) + 9) // 8)
    cells = b""
    for place, (field, value) in enumerate(zip(fields, values, strict=True), 2):
        if value is None:
            mask[place // 8] |= 1 << place % 8
        else:
            cells += cell(field, value)
    return b"\0" + mask + cells


def read(data: bytes, sizes: list[int], bytes_max: int = 1000, rows_max: int = 3) -> list[Rows]:
    return list(Splitter(Arriving(data, sizes), bytes_max, rows_max).pieces())


def in_python(column: pa.Array) -> list[Any]:
    return [
        value.replace(tzinfo=None) if isinstance(value, datetime) else value
        for value in column.to_pylist()
    ]


def _integers(code: int, letter: str) -> list[tuple[Field, st.SearchStrategy[Any]]]:
    bits = 8 * struct.calcsize("<" + letter)
    return [
        (Field(code, is_unsigned=False), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)),
        (Field(code, is_unsigned=True), st.integers(0, 2**bits - 1)),
    ]


KINDS: list[tuple[Field, st.SearchStrategy[Any]]] = [
    *(kind for code, letter in INTEGERS.items() for kind in _integers(code, letter)),
    (Field(FIELD_TYPE.FLOAT, is_unsigned=False), st.floats(width=32, allow_nan=False)),
    (Field(FIELD_TYPE.DOUBLE, is_unsigned=True), st.floats(allow_nan=False)),
    (Field(FIELD_TYPE.DATE, is_unsigned=False), st.dates()),
    *((Field(code, is_unsigned=False), st.datetimes()) for code in sorted(MOMENTS - {10})),
    (
        Field(FIELD_TYPE.TIME, is_unsigned=False),
        st.timedeltas(timedelta(hours=-839), timedelta(hours=839)),
    ),
    (Field(FIELD_TYPE.NULL, is_unsigned=False), st.none()),
    *(
        (Field(code, is_unsigned=False), st.sampled_from(LENGTHS).map(lambda n: b"x" * n))
        for code in (FIELD_TYPE.VAR_STRING, FIELD_TYPE.NEWDECIMAL, FIELD_TYPE.BLOB, 242)
    ),
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Field], list[list[Any]]]:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=20))
    each = st.tuples(*(st.none() | values for _, values in kinds))
    return [field for field, _ in kinds], [
        list(values) for values in draw(st.lists(each, min_size=1, max_size=8))
    ]


@settings(max_examples=60)
@given(tables(), st.lists(st.integers(1, 5000), max_size=20))
def test_rows_that_arrive_in_any_pieces_are_the_rows_that_were_sent(
    table: tuple[list[Field], list[list[Any]]], sizes: list[int]
) -> None:
    fields, rows = table
    data = b"".join(packet(n % 256, row(fields, values)) for n, values in enumerate(rows))

    columns = [piece.columns(fields) for piece in read(data + END, [*sizes, 4096])]

    found = [
        list(values)
        for piece in columns
        for values in zip(*(in_python(column) for column in piece), strict=True)
    ]
    assert found == rows


@pytest.mark.parametrize(
    "parts",
    [
        (0, 0, 0),
        (2020, 0, 1),
        (2020, 13, 1),
        (2020, 1, 0),
        (2021, 2, 29),
        (1900, 2, 29),
        (2020, 4, 31),
        (10_000, 1, 1),
        (65_535, 255, 255),
    ],
)
def test_a_date_that_is_none_is_the_least_value(parts: tuple[int, int, int]) -> None:
    sent = shortened(struct.pack("<HBB", *parts), [0, 4])
    good = date(2020, 2, 29)
    midnight = datetime.combine(good, time())
    fields = [Field(code, is_unsigned=False) for code in sorted(MOMENTS)]
    rows = b"\0\0" + 3 * sent, row(fields, [good, midnight, midnight])

    (piece,) = read(b"".join(packet(n, each) for n, each in enumerate(rows)) + END, [4096])

    for column in piece.columns(fields):
        bits = column.type.bit_width
        none, day = column.view(pa.int32() if bits == 32 else pa.int64()).to_pylist()
        assert none == -(2 ** (bits - 1))
        assert day == (good - date(1970, 1, 1)).days * (1 if bits == 32 else 86_400 * 10**6)


def test_a_cell_longer_than_any_short_length_is_whole() -> None:
    value = b"x" * 20_000_000
    payload = b"\0\0\xfe" + struct.pack("<Q", len(value)) + value + counted(b"end")
    parts = [payload[:0xFFFFFF], payload[0xFFFFFF:]]
    fields = [BYTES, BYTES]
    small = packet(0, row(fields, [b"a", None]))
    data = small + b"".join(packet(n, part) for n, part in enumerate(parts)) + small + END

    before, long, after = read(data, [1024**2])

    assert [column.to_pylist() for column in before.columns(fields)] == [[b"a"], [None]]
    assert [column.to_pylist() for column in long.columns(fields)] == [[value], [b"end"]]
    assert [column.to_pylist() for column in after.columns(fields)] == [[b"a"], [None]]


def test_an_error_amid_the_rows_is_raised_and_not_a_row() -> None:
    data = packet(0, row([BYTES], [b"a"])) + packet(
        1, b"\xff" + struct.pack("<H", 1317) + b"#70100interrupted"
    )

    with pytest.raises(err.MySQLError) as caught:
        read(data, [7])

    assert cast("tuple[int, str]", caught.value.args)[0] == 1317


def test_no_rows_are_no_pieces() -> None:
    assert read(END, [1]) == []
    nothing = Rows(memoryview(bytes(PADDING_BYTES)), np.zeros(0, np.int64))
    assert not any(map(len, nothing.columns([field for field, _ in KINDS])))


@pytest.mark.parametrize(
    "cells",
    [
        b"\x05abc\x01x",  # reaches into the next row
        b"\xfc\xff\xffabc",
        b"\xfd\xff\xff\xffabc",
        b"\xfe" + b"\xff" * 8 + b"abc",  # below 0 as a signed number
        b"\xfe" + struct.pack("<Q", 2**63 - 2) + b"abc",
        b"\x00",  # a cell too few
        b"\x01a\x01b\x01c",  # and one too many
        b"\x01a\xfe",
        b"",
    ],
)
@pytest.mark.parametrize("behind", [0, 1])
def test_a_cell_that_is_longer_than_its_row_is_refused(cells: bytes, behind: int) -> None:
    fields = [BYTES, BYTES]
    good = packet(0, row(fields, [b"a", b"b"]))
    data = good + packet(1, b"\0\0" + cells) + behind * good

    pieces = read(data + END, [4096], rows_max=100)

    with pytest.raises(err.MySQLError, match="longer than its row"):
        [piece.columns(fields) for piece in pieces]


@pytest.mark.parametrize(
    ("code", "cells"),
    [
        (FIELD_TYPE.VAR_STRING, b"\xfb"),  # NULL, as the other protocol has it
        (FIELD_TYPE.VAR_STRING, b"\xff"),
        (FIELD_TYPE.LONGLONG, b"\0" * 7),
        (FIELD_TYPE.LONGLONG, b"\0" * 9),
        (FIELD_TYPE.DATE, b"\x03\xe4\x07\x01"),
        (FIELD_TYPE.DATETIME, b"\x0c" + b"\1" * 12),
        (FIELD_TYPE.TIME, b"\x07" + b"\1" * 7),
    ],
)
def test_a_cell_that_its_type_does_not_have_is_refused(code: int, cells: bytes) -> None:
    (piece,) = read(packet(0, b"\0\0" + cells) + END, [4096])

    with pytest.raises(err.MySQLError):
        piece.columns([Field(code, is_unsigned=False)])


@pytest.mark.parametrize("first", [1, 0xFB, 0xFD])
def test_what_is_neither_row_nor_end_is_refused(first: int) -> None:
    with pytest.raises(err.MySQLError, match="neither a row nor the end"):
        read(packet(0, row([BYTES], [b"a"])) + packet(1, bytes([first]) + b"abc"), [4096])


def prepared(columns: int) -> bytes:
    """What a server answers to a statement that it has prepared, up to the columns' definitions."""
    return packet(1, struct.pack("<BIHHBH", 0, 1, columns, 0, 0, 0))


def defined(number: int, columns: int) -> bytes:
    """So many definitions of a column, and their end."""
    text = counted(b"def") + 3 * counted(b"") + 2 * counted(b"c")
    definition = text + struct.pack("<BHIBHBH", 12, 45, 100, FIELD_TYPE.VAR_STRING, 0, 0, 0)
    each = [packet(number + n, definition) for n in range(columns)]
    return b"".join([*each, packet(number + columns, b"\xfe\0\0\x02\0")])


def streamed(prepare: bytes, execute: bytes) -> list[list[Any]]:
    """What a client that expects one column reads from a server that answers so."""
    commands = COMMAND.COM_STMT_PREPARE, COMMAND.COM_STMT_EXECUTE
    answers = {bytes([code]): each for code, each in zip(commands, (prepare, execute), strict=True)}
    with peers.serve(peers.answer_as_mysql(answers)) as port:
        connection = WireConnection(host="127.0.0.1", port=port, user="reader", read_timeout=60)
        try:
            pieces = connection.stream("SELECT c", 1, bytes_max=1000, rows_max=3)
            return [in_python(column) for columns in pieces for column in columns]
        finally:
            connection.hang_up()


def test_the_rows_of_a_prepared_statement_are_streamed() -> None:
    rows = packet(4, row([BYTES], [b"a"])) + packet(5, row([BYTES], [None]))
    execute = packet(1, b"\1") + defined(2, 1) + rows + END

    assert streamed(prepared(1) + defined(2, 1), execute) == [[b"a", None]]


@pytest.mark.parametrize(
    ("prepare", "execute"),
    [
        (packet(1, b"\0"), b""),
        (packet(1, b"\1" + bytes(11)), b""),
        (prepared(0), packet(1, peers.MYSQL_OK)),  # nothing to read
        (prepared(0), packet(1, b"\2") + defined(2, 2) + END),  # a column too many
        (prepared(0), packet(1, b"\xfe" + b"\xff" * 8)),  # of which none ever comes
        (prepared(0), packet(1, b"\xfb/etc/passwd")),
        (prepared(0), packet(1, b"\1") + defined(2, 2) + END),
    ],
)
def test_an_answer_that_is_none_of_a_prepared_statement_is_refused(
    prepare: bytes, execute: bytes
) -> None:
    with pytest.raises(err.MySQLError) as caught:
        streamed(prepare, execute)

    assert cast("tuple[int, str]", caught.value.args)[0] == CR.CR_MALFORMED_PACKET
