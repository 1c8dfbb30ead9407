"""CSV and TSV files: what is said of a column, and of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.tables import ColumnType
from connectors.errors import FileInvalid
from tests.connectors.files.reading import Table, read, write


def column(tmp_path: Path, *texts: str) -> Table:
    """A column of these texts, with another one beside it."""
    rows = "".join(f'"{text}",x\n' for text in texts)
    return read(write(tmp_path / "t.csv", f"a,b\n{rows}"))


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["\u00a012", "13", "14\u3000", " \n1"], "text: 3 values have spaces at an end, first '\\xa012' in line 2"),
        (["1", "9" * 39], f"text: 1 value has more than 38 digits, '{'9' * 39}' in line 3"),
        (["9" * 50, "1"], f"text: 1 value has more than 38 digits, '{'9' * 40}…' in line 2"),
        (["0." + "1" * 45], f"text: 1 value has more than 38 digits, '0.{'1' * 38}…' in line 2"),
        (["-0", "5"], "text: 1 value is a zero with a sign, '-0' in line 2"),
        (["True", "FALSE", "no"], "text: 2 values are not True or False, first 'FALSE' in line 3"),
        (["12 %", "3%"], "text: 2 values are percentages, first '12 %' in line 2"),
        (["31.12.2024 10:30", ""], "text: 1 value is a date whose day and month can be mistaken, '31.12.2024 10:30' in line 2"),
        (["2024/3/1"], "text: 1 value is a date that is not written as YYYY-MM-DD, '2024/3/1' in line 2"),
        (["2024-03-01T10:00:00+00:00", "2024-03-01T10:00:00+05:30", "2024-03-01T10:00:00-00:30"],
         "text: 2 values have offsets from UTC, which TIMESTAMP_TZ would not keep, first '2024-03-01T10:00:00+05:30' in line 3"),
        (["10:00:00.1234567"], "text: 1 value has more than 6 decimals of a second, '10:00:00.1234567' in line 2"),
        (["9:05 PM", "3/1/2024 12:00 a.m."], "text: 2 values are times of twelve hours, first '9:05 PM' in line 2"),
        (["03:45", "61:10"], "text: 2 values are times without seconds, or minutes and seconds, first '03:45' in line 2"),
        (["Yes"], "text: 'Yes' in line 2 is not a number, date, time, true or false"),
    ],
)  # fmt: skip
def test_why_a_column_is_text(tmp_path: Path, texts: list[str], why: str) -> None:
    assert column(tmp_path, *texts).column("a").inference == why


@pytest.mark.parametrize(
    ("texts", "kind", "pattern"),
    [
        (["TRUE", "FALSE"], ColumnType.BOOLEAN, "TRUE/FALSE"),
        (["2024-03-01 10:00", "2024-03-01 23:59"], ColumnType.TIMESTAMP, "YYYY-MM-DD HH:MM"),
        (["2024-03-01T10:00"], ColumnType.TIMESTAMP, "YYYY-MM-DDTHH:MM"),
        (["2024-03-01T10:00Z"], ColumnType.TIMESTAMP_TZ, "YYYY-MM-DDTHH:MMZ"),
        (["2024-03-01 10:00+00:00"], ColumnType.TIMESTAMP_TZ, "YYYY-MM-DD HH:MM+00:00"),
        (["2024-03-01 10:00", "2024-03-01 10:00:30"], ColumnType.TEXT, "text"),
        (["2024-03-01 24:00"], ColumnType.TEXT, "text"),
    ],
)
def test_how_a_column_is_written(
    tmp_path: Path, texts: list[str], kind: ColumnType, pattern: str
) -> None:
    found = column(tmp_path, *texts).column("a")

    assert (found.type, found.native_type) == (kind, pattern)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("sep=;\r\na;b\r\n1,5;2\r\n", [("1,5", 2)]),
        ('"sep=;"\n\na;b\n1,5;2\n', [("1,5", 2)]),
        ("\ufeffsep=,\na,b\n1;5,2\n", [("1;5", 2)]),
        ("sep=\t\r\na\tb\r\n1,5\t2\r\n".encode("utf-16"), [("1,5", 2)]),
        ("SEP=^\na^b\n1,5^2\n", [("1,5", 2)]),
    ],
)
def test_the_line_for_excel_names_the_delimiter_and_is_no_row(
    tmp_path: Path, content: str | bytes, rows: list[tuple[str, int]]
) -> None:
    table = read(write(tmp_path / "t.csv", content))

    assert (table.names, table.rows) == (["a", "b"], rows)


def test_the_line_for_excel_counts_as_a_line_and_gives_way_to_the_user(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "sep=;\na|b\n1|2\nx|3\n")

    table = read(path, delimiter="|")

    assert (table.names, table.rows) == (["a", "b"], [("1", 2), ("x", 3)])
    assert table.column("a").inference == "text: 1 value is not a whole number, 'x' in line 4"
    for content in ("sep=;\n", "sep=;\n\n"):
        with pytest.raises(FileInvalid, match="nothing but blank lines"):
            read(write(tmp_path / "t.csv", content))


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"a,b\nx,caf\xe9\n", "ascii", "line 2 is not ascii (bytes E9: ordinal not in range(128))"),
        ("a\r\nb\r\né\r\n".encode("utf-16-le")[:-1], "utf-16-le", "line 3 is not utf-16-le (bytes 0A: truncated data)"),
        (b"a\n" * 1_500_000 + b"\x81", "cp1252", "line 1500001 is not cp1252 (bytes 81: character maps to <undefined>)"),
    ],
)  # fmt: skip
def test_bytes_outside_the_encoding_are_refused_with_their_place(
    tmp_path: Path, content: bytes, encoding: str, words: str
) -> None:
    with pytest.raises(FileInvalid) as refused:
        read(write(tmp_path / "t.csv", content), encoding=encoding)

    assert words in refused.value.message


def test_each_column_is_told_its_own_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'a,b,c\n1,1,1\n1,"x\ny",1\nz,2,1\n1,1,w\n')

    assert [column.inference for column in read(path).schema.columns] == [
        "text: 1 value is not a whole number, 'z' in line 5",
        "text: 1 value is not a whole number, 'x\\ny' in line 3",
        "text: 1 value is not a whole number, 'w' in line 6",
    ]
