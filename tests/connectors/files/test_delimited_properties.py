"""Whatever table is written as CSV comes back cell by cell; whatever bytes are read, Python's reader agrees."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from base.errors import PlatformError
from base.tables import Column, ColumnType
from connectors.files.rows import Scanner
from connectors.files.source import Block, line_ends
from connectors.files.tokens import Tokenizer
from tests.connectors.files.reading import read

SETTINGS = settings(max_examples=150)

NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.integers(0, 999).map(lambda number: f"{number:05d}"),
)
MOMENTS = st.one_of(
    st.dates().map(str),
    st.times().map(str),
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z"),
)
TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
) | st.sampled_from(["", '"', ",", "\n", "\r\n", "true", "false", "NA", "NULL", " 1", "-0", "1e5"])
COLUMNS = st.one_of(
    st.lists(NUMBERS, min_size=1, max_size=6),
    st.lists(MOMENTS, min_size=1, max_size=6),
    st.lists(TEXTS, min_size=1, max_size=6),
    st.lists(st.integers(-(2**70), 2**70).map(str), min_size=1, max_size=6),
    st.lists(st.sampled_from(["true", "false"]), min_size=1, max_size=6),
)


def as_text(value: Any, column: Column) -> str:
    """The text of a typed value, by the rule of its column."""
    if isinstance(value, datetime | time):
        return moment_text(value, column.native_type or "")
    writers: dict[ColumnType, Callable[[Any], str]] = {
        ColumnType.BOOLEAN: lambda truth: str(truth).lower(),
        ColumnType.DECIMAL: lambda number: f"{number:f}",
        ColumnType.FLOAT: repr,
    }
    return "" if value is None else writers.get(column.type, str)(value)


def moment_text(value: datetime | time, pattern: str) -> str:
    whole, _, fraction = pattern.partition("SS")
    text = value.replace(microsecond=0, tzinfo=None).isoformat()
    if " " in whole:
        text = text.replace("T", " ")
    for zone in ("Z", "+00:00", "+00"):
        if fraction.endswith(zone):
            return text + fraction_text(value.microsecond, fraction.removesuffix(zone)) + zone
    return text + fraction_text(value.microsecond, fraction)


def fraction_text(microsecond: int, rule: str) -> str:
    if rule == "[.f]":
        return f".{microsecond:06d}".rstrip("0").rstrip(".")
    if rule == "[.ffffff]":
        return f".{microsecond:06d}" if microsecond else ""
    return f".{microsecond:06d}"[: len(rule)]


@SETTINGS
@given(columns=st.lists(COLUMNS, min_size=1, max_size=4), end=st.sampled_from(["\n", "\r\n", "\r"]))
@example(columns=[["1e-05", "0.1"]], end="\n")
@example(columns=[["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"]], end="\n")
def test_every_written_table_comes_back_cell_by_cell(
    tmp_path: Path, columns: list[list[str]], end: str
) -> None:
    height = min(map(len, columns))
    rows = [[column[at] for column in columns] for at in range(height)]
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=end)
        if end != "\r\n":  # it quotes no line end but its own
            writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerow([f"c{place}" for place in range(len(columns))])
        writer.writerows(rows)

    table = read(path, delimiter=",")

    assert [
        [as_text(value, column) for value, column in zip(row, table.schema.columns, strict=True)]
        for row in table.rows
    ] == rows


@SETTINGS
@given(
    text=st.text(st.sampled_from('ab,"\n\ré'), min_size=1, max_size=40),
    block=st.integers(1, 12),
    width=st.integers(1, 3),
)
@example(text='a,"\n"', block=1, width=2)
@example(text='a"b,c\n"d"', block=2, width=2)
@example(text="a\r\nb\rc\n", block=2, width=1)
def test_rows_are_those_of_a_strict_reader_however_the_bytes_arrive(
    text: str, block: int, width: int
) -> None:
    expected = strict_rows(text, width)

    try:
        rows = our_rows(text.encode(), block, width)
    except PlatformError:
        assert expected is None
    else:
        assert rows == expected


Found = tuple[list[list[str]], list[int | None]]


def our_rows(data: bytes, size: int, width: int) -> Found:
    """The rows as wide as the header, and the lines of the others."""
    scanner = Scanner(",", cell_bytes_max=1000)
    tokens = Tokenizer(",", width, 1, cell_bytes_max=1000)
    rows: list[list[str]] = []
    bad: list[int | None] = []
    line = end = 0
    for chunk in scanner.chunks(blocks(data, size)):
        assert chunk.line == line + 1
        assert chunk.start == end
        line, end = line + line_ends(chunk.data), chunk.end or 0
        texts = tokens.texts(chunk, range(width))
        columns = [column.to_pylist() for column in texts.columns]
        rows += [[cell or "" for cell in row] for row in zip(*columns, strict=True)]
        bad += [reject.line for reject in texts.rejects]
    assert end == len(data)
    return rows, bad


def blocks(data: bytes, size: int) -> Iterator[Block]:
    for start in range(0, len(data), size):
        end = min(start + size, len(data))
        yield Block(data[start:end], end, end)


def strict_rows(text: str, width: int) -> Found | None:
    """The same as Python's strict reader has it; None where it refuses."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    bad: list[int | None] = []
    line = 1
    try:
        for row in reader:
            if row and len(row) != width:
                bad.append(line)
            elif row or width == 1:
                rows.append(row or [""])
            line = reader.line_num + 1
    except csv.Error:
        return None
    return rows, bad


@pytest.mark.parametrize("size", [100_000, 300_000, 2**20])
def test_row_ends_far_before_the_end_of_a_block_are_found(size: int) -> None:
    """A value longer than what is looked through at once, full of line ends and doubled quotes."""
    long = 'x"\r\n,\n' * 40_000
    rows = [["a", "b"], ["1", long], ["2", "y"], [long, long], ["3", ""]]
    quoted = ('"' + cell.replace('"', '""') + '"' for row in rows for cell in row)
    data = "".join(f"{one},{two}\n" for one, two in zip(quoted, quoted, strict=True)).encode()
    scanner = Scanner(",", cell_bytes_max=2**20)
    tokens = Tokenizer(",", 2, 1, cell_bytes_max=2**20)

    chunks = list(scanner.chunks(blocks(data, size)))

    assert b"".join(chunk.data for chunk in chunks) == data
    found = [tokens.texts(chunk, [0, 1]).columns for chunk in chunks]
    pairs = [
        pair for one, two in found for pair in zip(one.to_pylist(), two.to_pylist(), strict=True)
    ]
    assert pairs == [tuple(row) for row in rows]
