"""CSV and TSV files: what is read is what was written, and what cannot be is refused with its place."""

from __future__ import annotations

import csv
import math
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import connectors
from base.errors import InvalidInput, PlatformError
from base.tables import ColumnType
from connectors.connector import ReadLimits, Reject, Selection
from connectors.errors import CellTooLarge, FileInvalid
from tests.connectors.files.reading import connection, read, write

MANY = 15_000  # rows behind which a value cannot be in the sample
X = "x" * 150
B, I, D, F, T = (  # noqa: E741 - short, for tables of cases
    ColumnType.BOOLEAN,
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.FLOAT,
    ColumnType.TEXT,
)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("content", "types", "rows"),
    [
        # the types that texts have when all of them read back the same
        ("a\n1\n-5\n0\n", [I], [(1,), (-5,), (0,)]),
        ("a\n9223372036854775807\n", [I], [(2**63 - 1,)]),
        ("a\n123456789012345678901\n1\n", [D], [(Decimal(123456789012345678901),), (Decimal(1),)]),
        ("a\n1\n123456789012345678901\n", [D], [(Decimal(1),), (Decimal(123456789012345678901),)]),
        ("a\n1.50\n-0.25\n", [D], [(Decimal("1.50"),), (Decimal("-0.25"),)]),
        ("a\n0.12345678901234567890\n", [D], [(Decimal("0.12345678901234567890"),)]),
        ("a\n1.5\n2.25\n", [F], [(1.5,), (2.25,)]),
        ("a\n0.1\n1e-05\n1e+16\n", [F], [(0.1,), (1e-05,), (1e16,)]),
        ("a\n0.1\n-0.0\n0.30000000000000004\n", [F], [(0.1,), (-0.0,), (0.30000000000000004,)]),
        ("a,b\ntrue,1\nfalse,2\n", [B, I], [(True, 1), (False, 2)]),
        ("a,b\nTRUE,True\nFALSE,\n", [B, B], [(True, True), (False, None)]),
        ("a\n2020-02-29\n", [ColumnType.DATE], [(date(2020, 2, 29),)]),
        ("a\n23:59:59\n", [ColumnType.TIME], [(time(23, 59, 59),)]),
        ("a\n10:00:00.5\n10:00:00\n", [ColumnType.TIME], [(time(10, 0, 0, 500_000),), (time(10),)]),
        ("a\n2020-01-01 10:00:00\n", [ColumnType.TIMESTAMP], [(at(2020, 1, 1, 10),)]),
        ("a\n2020-01-01T10:00:00.120\n", [ColumnType.TIMESTAMP], [(at(2020, 1, 1, 10, 0, 0, 120_000),)]),
        ("a\n2020-01-01T10:00:00Z\n", [ColumnType.TIMESTAMP_TZ], [(datetime(2020, 1, 1, 10, tzinfo=UTC),)]),
        # texts that would change as anything else
        ("a\n00123\n00124\n", [T], [("00123",), ("00124",)]),
        ("a\n1\n0x10\n", [T], [("1",), ("0x10",)]),
        ("a\n1E5\n2E7\n", [T], [("1E5",), ("2E7",)]),
        ("a\n+1\n", [T], [("+1",)]),
        ("a\n1\n-0\n", [T], [("1",), ("-0",)]),
        ("a\n 1\n", [T], [(" 1",)]),
        ("a\n1_000\n", [T], [("1_000",)]),
        ("a\n3\n1.5\n", [T], [("3",), ("1.5",)]),
        ("a\n1.50\n1.5\n", [T], [("1.50",), ("1.5",)]),
        ("a\n1.5\nnan\n", [T], [("1.5",), ("nan",)]),
        ("a\nNA\nDE\n", [T], [("NA",), ("DE",)]),
        ("a\nNULL\n", [T], [("NULL",)]),
        ("a\nTrue\nFALSE\n", [T], [("True",), ("FALSE",)]),
        ("a\ntrue\n1\n", [T], [("true",), ("1",)]),
        ("a\n01/02/2020\n", [T], [("01/02/2020",)]),
        ("a\n2020-02-29\n2020-02-30\n", [T], [("2020-02-29",), ("2020-02-30",)]),
        ("a\n0000-01-01\n", [T], [("0000-01-01",)]),
        ("a\n10:00:00Z\n", [T], [("10:00:00Z",)]),
        ("a\n10:00:00\n24:00:00\n", [T], [("10:00:00",), ("24:00:00",)]),
        ("a\n2020-01-01 00:00:00.1234567\n", [T], [("2020-01-01 00:00:00.1234567",)]),
        ("a\n2020-01-01T00:00:00Z\n2020-01-01T00:00:00+01:00\n", [T], [("2020-01-01T00:00:00Z",), ("2020-01-01T00:00:00+01:00",)]),
        ("a\n2020-01-01 00:00:00\n2020-01-01T00:00:00\n", [T], [("2020-01-01 00:00:00",), ("2020-01-01T00:00:00",)]),
        ("a\n" + "9" * 39 + "\n", [T], [("9" * 39,)]),
        # no value, and an empty text
        ('a,b\n1,""\n2,\n', [I, T], [(1, ""), (2, None)]),
        ("a\n1\n\n2\n", [I], [(1,), (None,), (2,)]),
        ("a,b\n1,2\n\n\n3,4\n\n", [I, I], [(1, 2), (3, 4)]),
        ("a,b\n,\n", [T, T], [(None, None)]),
        # what rows and quotes are
        ('a,b\n1,"x, ""y""\nz"\n', [I, T], [(1, 'x, "y"\nz')]),
        ('a,b\n1,6" pipe\n2,x"y"z\n', [I, T], [(1, '6" pipe'), (2, 'x"y"z')]),
        ("a,b\r1,2\r3,4\r", [I, I], [(1, 2), (3, 4)]),
        ("a,b\r\n1,2\n3,4\r\n", [I, I], [(1, 2), (3, 4)]),
        ('a,b\r\n1,"x\r\ny"\r\n', [I, T], [(1, "x\r\ny")]),
        ("a,b\n1,2", [I, I], [(1, 2)]),
        ('a,b\n1,"2"', [I, I], [(1, 2)]),
        ("\n\na,b\n1,2\n", [I, I], [(1, 2)]),
        # encodings with a mark
        ("\ufeffa,b\n1,é\n", [I, T], [(1, "é")]),
        ("a,b\n1,é\n".encode("utf-16"), [I, T], [(1, "é")]),
        (b"\xfe\xff" + "a,b\n1,é\n".encode("utf-16-be"), [I, T], [(1, "é")]),
        # delimiters
        ("a;b\n1;2\n", [I, I], [(1, 2)]),
        ("a|b\n1|2\n", [I, I], [(1, 2)]),
        ("a\tb\n1\t2\n", [I, I], [(1, 2)]),
        ("a;b\n1,5;2,5\n", [T, T], [("1,5", "2,5")]),
        ("name\nplain\nwith, comma\n", [T], [("plain",), ("with, comma",)]),
        # a header and nothing else
        ("a,b", [T, T], []),
        ("a,b\n", [T, T], []),
    ],
)  # fmt: skip
def test_a_file_is_read_unchanged(
    tmp_path: Path, content: str | bytes, types: list[ColumnType], rows: list[tuple[Any, ...]]
) -> None:
    table = read(write(tmp_path / "t.csv", content))

    assert (table.types, table.rows, table.again) == (types, rows, 0)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", FileInvalid, ["empty (0 bytes)"]),
        (b"\xef\xbb\xbf", FileInvalid, ["empty"]),
        ("\n\r\n\n", FileInvalid, ["blank lines"]),
        ("a,b,c\n1,2,3\n4,5\n", FileInvalid, ["line 3 has 2 values", "line 1 has 3 values"]),
        ("a,b\n1,2\n3,4,5\n", FileInvalid, ["line 3 has 3 values", "line 1 has 2 values"]),
        ('a,b\n1,"x\ny"\n3,4,5\n', FileInvalid, ["line 4 has 3 values"]),
        ("\n\na,b\n1\n", FileInvalid, ["line 4 has 1 value,", "line 3 has 2 values"]),
        ("Report 2020\n\na,b,c\n1,2,3\n4,5,6\n", FileInvalid, ["line 3 has 3 values", "line 1 has 1 value"]),
        ('a,b\n1,"x\n3,4\n', FileInvalid, ["quote", "line 2 is never closed"]),
        ('a,b\n1,"ok"tail\n', FileInvalid, ["quote", "line 2", "'tail'"]),
        ('a,b\n3,"4\n5,6\n7,"8"\n', FileInvalid, ["quote", "opened in line 2", "closed in line 4"]),
        ('a,b\n1,"x" \n', FileInvalid, ["quote", "line 2"]),
        (b"a,caf\xe9\n1,2\n", FileInvalid, ["line 1", "0xE9", "byte 5", "encoding"]),
        (b"a,b\ncaf\xe9,1\n", FileInvalid, ["line 2", "0xE9", "byte 7", "encoding"]),
        ("a,b\n1,\0\n", FileInvalid, ["NUL", "line 2"]),
        ("a,b\n1,é\n".encode("utf-16-le"), FileInvalid, ["NUL", "line 1"]),
        (b"\xff\xfea\0,\0b\0\n\0\x00\xd8", FileInvalid, ["utf-16-le"]),
        (b"PAR1" + b"\0" * 64, FileInvalid, ["named like CSV", "Parquet"]),
        (b"PK\x03\x04\0\0", FileInvalid, ["XLSX"]),
        (b"\xd0\xcf\x11\xe0", FileInvalid, ["XLS"]),
        (b"\x1f\x8b\x08\0", FileInvalid, ["gzip"]),
        (b"SQLite format 3\0", FileInvalid, ["SQLite"]),
        ("<!DOCTYPE html><html>", FileInvalid, ["web page"]),
        (",".join("a" for _ in range(10_001)) + "\n", FileInvalid, ["10,001 columns", "10,000"]),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, error: type[PlatformError], words: list[str]
) -> None:
    with pytest.raises(error) as refused:
        read(write(tmp_path / "t.csv", content))

    assert [word for word in words if word not in refused.value.message] == []
    assert str(tmp_path) not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    ("first", "last", "kind", "inference"),
    [
        ("1", "1.5", T, "text: numbers are written in more than one way, such as '1' in line 2 and '1.5' in line 15002"),
        ("1", "00045", T, "text: 1 value starts with 0, '00045' in line 15002"),
        ("1", "abc", T, "text: 1 value is not a whole number, 'abc' in line 15002"),
        ("2020-01-01", "n/a", T, "text: 1 value is not a date, 'n/a' in line 15002"),
        ("1.50", "2.5", T, "text: numbers are written in more than one way, such as '1.50' in line 2 and '2.5' in line 15002"),
        ("", "7", I, "integer: all values are whole numbers and read back as the same text"),
        ("1", "9223372036854775808", D, "decimal: all values are whole numbers and read back as the same text"),
        ("0.5", "0.25", F, "float: all values are numbers with a decimal point and read back as the same text"),
    ],
)  # fmt: skip
def test_a_late_value_widens_the_column_once(
    tmp_path: Path, first: str, last: str, kind: ColumnType, inference: str
) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + f"{first},{X}\n" * MANY + f"{last},y\n")

    table = read(path)

    assert (table.types[0], len(table.rows), table.again) == (kind, MANY + 1, 1)
    assert table.column("a").inference == inference
    shown = [str(value or "") for value in (table.rows[0][0], table.rows[-1][0])]
    assert shown == [first, last]


@pytest.mark.parametrize(
    ("values", "inference"),
    [
        (["007", "1", "0", "08.5"], "text: 2 values start with 0, first '007' in line 2"),
        (["1", "x", "2", "y"], "text: 2 values are not whole numbers, first 'x' in line 3"),
        (["1.5", "?", "2.25"], "text: 1 value is not a number with a decimal point, '?' in line 3"),
        (["1E5"], "text: 1 value is written with an exponent, '1E5' in line 2"),
        (["1,5", "2"], "text: 1 value is written with a comma, '1,5' in line 2"),
        (["3/4/2020"], "text: 1 value is a date whose day and month can be mistaken, '3/4/2020' in line 2"),
        (["Ada", "1"], "text: 'Ada' in line 2 is not a number, date, time, true or false"),
        (["", ""], "text: there is no value"),
        (["x" * 100], "text: '" + "x" * 40 + "…' in line 2 is not a number, date, time, true or false"),
        (["2020-01-01 00:00:00"], "timestamp: all values are timestamps and read back as the same text"),
    ],
)  # fmt: skip
def test_inference_says_why(tmp_path: Path, values: list[str], inference: str) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *([value, "-"] for value in values)])

    assert read(path).column("a").inference == inference
    (introspected,) = connectors.tables(connection(path))
    assert introspected.columns[0].inference == inference


def test_counts_are_those_of_the_whole_file(tmp_path: Path) -> None:
    rows = "".join(f"{number % 100:02d},{X}\n" for number in range(MANY))
    path = write(tmp_path / "t.csv", "a,b\n" + rows)

    table = read(path)
    (introspected,) = connectors.tables(connection(path))

    assert table.column("a").inference == "text: 1,500 values start with 0, first '00' in line 2"
    scope = introspected.columns[0].inference
    assert scope is not None
    assert scope.endswith("rows)")
    assert introspected.row_estimate is not None
    assert abs(introspected.row_estimate - MANY) < MANY // 100


def test_names_are_made_unique_without_regard_to_case(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", 'a,A,,b,"a_2", a ,"x\ny"\n1,2,3,4,5,6,7\n'))

    assert table.names == ["a", "A_3", "column_3", "b", "a_2", "a_4", "x\ny"]


def test_the_table_is_called_like_the_file(tmp_path: Path) -> None:
    assert read(write(tmp_path / "Orders 2020.csv", "a\n1\n")).schema.name == "Orders 2020"


def test_an_encoding_is_what_the_user_says(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\ncafé,€\n".encode("cp1252"))

    assert read(path, encoding="cp1252").rows == [("café", "€")]
    with pytest.raises(FileInvalid, match="shift_jis"):
        read(path, encoding="shift_jis")


def test_a_delimiter_is_what_the_user_says(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b;c\n1,5;2\n")

    assert read(path, delimiter=";").rows == [("1,5", 2)]
    assert read(path, delimiter="~").rows == [("1,5;2",)]


def test_tsv_is_parted_by_tabs_whatever_else_it_holds(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.tsv", "a,b\tc\n1,2\t3\n4,5\t6\n"))

    assert (table.names, table.rows) == (["a,b", "c"], [("1,2", 3), ("4,5", 6)])


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        ("text", ["1", "002"], ["1", "002"]),
        ("integer", ["00123", "+5", " 7 ", "-0", "8.", "9.00"], [123, 5, 7, 0, 8, 9]),
        ("decimal", ["3", "1.5", "1.25"], [Decimal("3.00"), Decimal("1.50"), Decimal("1.25")]),
        (
            "decimal",
            ["1e3", "-2.5E-1", "+007"],
            [Decimal("1000.00"), Decimal("-0.25"), Decimal("7.00")],
        ),
        ("decimal", ["9" * 38, "-" + "9" * 38], [Decimal("9" * 38), Decimal("-" + "9" * 38)]),
        ("float", ["3", "1e3", "+0.5"], [3.0, 1000.0, 0.5]),
        ("float", ["-inf", "Infinity"], [-math.inf, math.inf]),
        ("uuid", [str(UUID(int=2**127)).upper()], [str(UUID(int=2**127))]),
        ("boolean", ["Yes", "no", "1", "F"], [True, False, True, False]),
        ("date", ["2020-01-02"], [date(2020, 1, 2)]),
        ("time", ["10:30"], [time(10, 30)]),
        ("timestamp", ["2020-01-02", "2020-01-02T10:00"], [at(2020, 1, 2), at(2020, 1, 2, 10)]),
        ("timestamp_tz", ["2020-01-02T10:00:00+02:00"], [datetime(2020, 1, 2, 8, tzinfo=UTC)]),
    ],
)
def test_a_declared_type_takes_values_however_they_are_written(
    tmp_path: Path, kind: str, texts: list[str], values: list[Any]
) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + "".join(f"{text},x\n" for text in texts))

    table = read(path, column_types={"a": kind})

    assert [row[0] for row in table.rows] == values
    assert table.column("a").type == kind
    assert table.column("a").inference == f"{kind}: as set in columnTypes"


@pytest.mark.parametrize(
    ("kind", "text"),
    [("integer", "1.5"), ("integer", "0x10"), ("integer", "9" * 20), ("integer", "+-5"), ("float", "+-5"), ("float", "1e400"), ("decimal", "x"), ("decimal", "9" * 39), ("decimal", "1e999999999"), ("decimal", "nan"), ("boolean", "2"), ("date", "1.2.2020")],
)  # fmt: skip
def test_a_row_with_a_value_that_is_not_of_its_declared_type_is_a_reject(
    tmp_path: Path, kind: str, text: str
) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + f",{X}\n" * MANY + f'{text},"y\n"\n,z\n')

    table = read(path, column_types={"a": kind})

    assert (len(table.rows), table.rows[-1], table.again) == (MANY + 1, (None, "z"), 0)
    assert table.rejects == [
        Reject(
            MANY + 2,
            "a",
            f"Column 'a' in line {MANY + 2} is {text!r}, which is not {kind.upper()}.",
            f'{text},"y\n"',
        )
    ]


def test_rows_of_another_length_are_rejects_with_their_lines(tmp_path: Path) -> None:
    good = 'x,"1\n2",3\n'  # two lines each
    path = write(
        tmp_path / "t.csv", "a,b,c\n" + good * MANY + '1,2\n"4\n5",6,7,8\n\n' + good * MANY + "9\n"
    )

    table = read(path)

    line = 2 * MANY + 2
    assert len(table.rows) == 2 * MANY
    assert [(reject.line, reject.column, reject.text) for reject in table.rejects] == [
        (line, None, "1,2"),
        (line + 1, None, '"4\n5",6,7,8'),
        (line + 4 + 2 * MANY, None, "9"),
    ]
    assert table.rejects[0].reason == (
        f"The row in line {line} has 2 values, but the header in line 1 has 3 values."
    )


def test_a_read_that_goes_on_tells_the_rejects_behind_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n1\n" + f"1,{X}\n" * 3 * MANY + f"2\n1,{X}\n")
    whole = read(path)
    position = next(batch.position for batch in whole.batches if batch.position)

    assert [reject.line for reject in whole.rejects] == [2, 3 * MANY + 3]
    assert read(path, after=position).rejects == whole.rejects[1:]


def test_rejects_do_not_count_where_columns_are_not_read_and_are_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + "1,2\n" * 20 + f"x,{'y' * 9_000}\n")
    types = {"a": "integer"}

    assert read(path, None, "b", column_types=types).rejects == []
    (reject,) = read(path, None, "a", column_types=types).rejects
    assert (reject.line, len(reject.text)) == (22, 4_096)


def test_a_look_fails_where_more_than_a_tenth_of_the_rows_is_bad(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + "1,2\n" * 9 + "3\n")
    assert connectors.tables(connection(path))[0].row_estimate == 9

    write(path, "a,b\n" + "1,2\n" * 8 + "3\n")
    for look in (connectors.check, connectors.tables):
        with pytest.raises(FileInvalid, match="The row in line 10 has 1 value, but the header"):
            look(connection(path))
    with closing(connectors.open(connection(path))) as source:
        (batch,) = source.read(Selection("t")).batches
    assert (batch.data.num_rows, len(batch.rejects)) == (8, 1)


def test_a_chunk_of_nothing_but_rejects_is_told(tmp_path: Path) -> None:
    with closing(
        connectors.open(connection(write(tmp_path / "t.csv", "a,b\n3\n4,5,6\n")))
    ) as source:
        (batch,) = source.read(Selection("t")).batches

    assert (batch.data.num_rows, [reject.line for reject in batch.rejects]) == (0, [2, 3])


def test_decimals_that_no_scale_holds_together_are_rejects(tmp_path: Path) -> None:
    large, fine = "9" * 30, "0.123456789"
    path = write(tmp_path / "t.csv", "a\n" + f"{large}\n" * 20 + f"{fine}\n")

    table = read(path, column_types={"a": "decimal"})

    assert {row[0] for row in table.rows} == {Decimal(large)}
    assert [reject.text for reject in table.rejects] == [fine]


def test_a_declared_column_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(write(tmp_path / "t.csv", "a\n1\n"), column_types={"b": "text"})

    assert refused.value.field == "column_types.b"
    assert refused.value.message == "The file has no column 'b', whose type is set."
    assert refused.value.hint == "Names in columnTypes are exact, upper and lower case included."


def test_a_large_cell_is_read_up_to_the_limit(tmp_path: Path) -> None:
    limits = ReadLimits(cell_bytes_max=3_000_000)
    for quote in ("", '"'):
        fits = write(tmp_path / "t.csv", f"a,b\n1,{quote}{'x' * 3_000_000}{quote}\n2,y\n")
        assert [len(row[1]) for row in read(fits, limits=limits).rows] == [3_000_000, 1]

        over = write(tmp_path / "t.csv", f"a,b\n1,{quote}{'x' * 3_000_001}{quote}\n2,y\n")
        with pytest.raises(CellTooLarge, match="line 2"):
            read(over, limits=limits)


@pytest.mark.parametrize("start", ["", '"'])
def test_an_endless_cell_is_refused_early(tmp_path: Path, start: str) -> None:
    path = tmp_path / "t.csv"
    with path.open("w") as file:
        file.write(f"a,b\n1,2\n3,{start}")
        file.truncate(3 * 1024**3)  # a hole: reads as NUL bytes, and takes no disk
        file.seek(10 + len(start))
        for _ in range(40):
            file.write("x" * 1024**2)

    with pytest.raises(CellTooLarge, match="line 3 is larger than the limit of 16 MiB"):
        read(path)


def test_a_wide_row_of_large_cells_is_bounded_too(tmp_path: Path) -> None:
    cells = ["x" * 900_000] * 6
    path = write(tmp_path / "t.csv", "a,b,c,d,e,f\n" + ",".join(cells) + "\n")

    with pytest.raises(CellTooLarge, match="row that starts in line 2"):
        read(path, limits=ReadLimits(cell_bytes_max=1_000_000))


@pytest.mark.parametrize(
    ("first", "last", "column_types"),
    [("1", "1.5", {}), ("1", "9" * 20, {}), ("1", "1.25", {"a": "decimal"}), ("", "7", {}), ("1", "2", {})],
)  # fmt: skip
def test_a_read_goes_on_where_another_process_stopped(
    tmp_path: Path, first: str, last: str, column_types: dict[str, str]
) -> None:
    content = f'a,b\n{f"{first},{X}{chr(10)}" * MANY}{last},"y\n""z"""\n' + f"1,{X}\n" * MANY
    path = write(tmp_path / "t.csv", content)
    whole = read(path, column_types=column_types)
    early, *_, late = (at for at, batch in enumerate(whole.batches) if batch.position)

    for at in (early, late):
        rest = read(path, after=whole.batches[at].position, column_types=column_types)

        count = sum(batch.data.num_rows for batch in whole.batches[: at + 1])
        assert (rest.rows, rest.again, rest.types) == (whole.rows[count:], 0, whole.types)
        assert [batch.data.schema for batch in rest.batches] == [
            batch.data.schema for batch in whole.batches[at + 1 :]
        ]


def test_a_read_that_went_on_tells_no_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + f"01,{X}\n" * MANY)
    position = read(path).batches[0].position

    inference = read(path, after=position).column("a").inference

    assert inference == "text: values start with 0, first '01' in line 2"


def test_rows_before_a_flaw_come_before_its_error(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + f"1,{X}\n" * 3 * MANY + '1,"x"y\n')
    count = 0

    with closing(connectors.open(connection(path))) as opened:
        batches = opened.read(Selection("t")).batches
        with pytest.raises(FileInvalid, match=f"line {3 * MANY + 2}"):  # noqa: PT012 - which rows came is asserted
            for batch in batches:
                count += batch.data.num_rows

    assert count > 2 * MANY


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="missing"):
        read(tmp_path / "t.csv")


def test_progress_ends_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + f"1,{X}\n" * MANY)

    with_progress = [batch.bytes_read for batch in read(path).batches]

    assert with_progress == sorted(with_progress)
    assert with_progress[-1] == path.stat().st_size
    assert len(set(with_progress)) > 1


def test_a_read_that_is_left_early_leaves_no_thread(tmp_path: Path) -> None:
    source = connectors.open(connection(write(tmp_path / "t.csv", "a,b\n" + f"1,{X}\n" * MANY)))
    batches = source.read(Selection("t")).batches

    next(batches)
    batches.close()  # type: ignore[attr-defined]
    source.close()

    assert list(source.read(Selection("t")).batches)
