from __future__ import annotations

import struct
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql import err

from connectors.mysql.wire import Rows, Splitter, WireConnection
from tests.connectors.peers import packet

END = packet(9, b"\xfe\0\0\x02\0")
LENGTHS = [0, 1, 249, 250, 251, 252, 255, 256, 65535, 65536, 70000]
CELLS = st.none() | st.sampled_from(LENGTHS) | st.integers(0, 9)  # as lengths, NULL as none


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


def cell(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 65536:
        return b"\xfc" + struct.pack("<H", len(value)) + value
    return b"\xfd" + struct.pack("<I", len(value))[:3] + value


def read(data: bytes, sizes: list[int], bytes_max: int = 1000, rows_max: int = 3) -> list[Rows]:
    return list(Splitter(Arriving(data, sizes), bytes_max, rows_max).pieces())


@settings(max_examples=60)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8
        )
    ),
    st.lists(st.integers(1, 5000), max_size=20),
)
def test_rows_that_arrive_in_any_pieces_are_the_rows_that_were_sent(
    lengths: list[list[int | None]], sizes: list[int]
) -> None:
    rows = [
        [None if length is None else bytes([length % 251]) * length for length in row]
        for row in lengths
    ]
    width = len(rows[0])
    data = b"".join(packet(n % 256, b"".join(map(cell, row))) for n, row in enumerate(rows))

    columns = [piece.columns(width) for piece in read(data + END, [*sizes, 4096])]

    found = [
        list(row)
        for piece in columns
        for row in zip(*(column.to_pylist() for column in piece), strict=True)
    ]
    assert found == rows


def test_a_cell_longer_than_any_short_length_is_whole() -> None:
    value = b"x" * 20_000_000
    payload = b"\xfe" + struct.pack("<Q", len(value)) + value + cell(b"end")
    parts = [payload[:0xFFFFFF], payload[0xFFFFFF:]]
    small = packet(0, cell(b"a") + cell(None))
    data = small + b"".join(packet(n, part) for n, part in enumerate(parts)) + small + END

    before, long, after = read(data, [1024**2])

    assert [column.to_pylist() for column in before.columns(2)] == [[b"a"], [None]]
    assert [column.to_pylist() for column in long.columns(2)] == [[value], [b"end"]]
    assert [column.to_pylist() for column in after.columns(2)] == [[b"a"], [None]]


def test_an_error_amid_the_rows_is_raised_and_not_a_row() -> None:
    data = packet(0, cell(b"a")) + packet(
        1, b"\xff" + struct.pack("<H", 1317) + b"#70100interrupted"
    )

    with pytest.raises(err.MySQLError) as caught:
        read(data, [7])

    assert cast("tuple[int, str]", caught.value.args)[0] == 1317


def test_no_rows_are_no_pieces() -> None:
    assert read(END, [1]) == []
    assert Rows(memoryview(b""), np.zeros(0, np.int64)).columns(0) == []


@pytest.mark.parametrize(
    "row",
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
def test_a_cell_that_is_longer_than_its_row_is_refused(row: bytes, behind: int) -> None:
    good = packet(0, cell(b"a") + cell(b"b"))
    data = good + packet(1, row) + behind * good

    pieces = read(data + END, [4096], rows_max=100)

    with pytest.raises(err.MySQLError, match="longer than its row"):
        [piece.columns(2) for piece in pieces]
