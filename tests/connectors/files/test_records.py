"""JSON and NDJSON: every value kept, broken text refused with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import connectors
from base.errors import InvalidInput, PlatformError
from base.tables import ColumnType
from connectors.connector import ReadLimits, Reject, Selection
from connectors.errors import CellTooLarge, FileInvalid
from connectors.files import source
from tests.connectors.files.reading import connection, read, write

MANY = 12_000  # elements behind which a value cannot be in the sample
ELEMENT = '{"a":1,"x":"' + "x" * 200 + '"}\n'
INTEGER, DECIMAL, FLOAT, TEXT, JSON, LIST, STRUCT = (
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.FLOAT,
    ColumnType.TEXT,
    ColumnType.JSON,
    ColumnType.LIST,
    ColumnType.STRUCT,
)


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ("1 -5 null", INTEGER, [1, -5, None]),
        ("9007199254740993 1", INTEGER, [2**53 + 1, 1]),
        ("9223372036854775807 -9223372036854775808", INTEGER, [2**63 - 1, -(2**63)]),
        ("9223372036854775808 1", DECIMAL, [Decimal(2**63), Decimal(1)]),
        ("1 1.5 1.10 1e3", FLOAT, [1.0, 1.5, 1.1, 1000.0]),
        ("9007199254740992 0.5", FLOAT, [2.0**53, 0.5]),
        ("9007199254740993 0.5", JSON, ["9007199254740993", "0.5"]),
        ("12345678901234567.89 1", JSON, ["12345678901234567.89", "1"]),
        ("0.1234567890123456789", JSON, ["0.1234567890123456789"]),
        ("0.5 1e-400", JSON, ["0.5", "1e-400"]),
        ("[0.10000000000000000001]", LIST, [["0.10000000000000000001"]]),
        ("0.10000000000000001 0.1000000000000000000 5e-324", FLOAT, [0.1, 0.1, 5e-324]),  # the same floats
        ("0.1000000000000000055511151231257827 123456789012345.67", FLOAT, [0.1, 123456789012345.67]),
        ("1" + "0" * 39, JSON, ["1" + "0" * 39]),
        ("true false", ColumnType.BOOLEAN, [True, False]),
        ("true 1", JSON, ["true", "1"]),
        ('"x" "2020-01-01" "00123" ""', TEXT, ["x", "2020-01-01", "00123", ""]),
        ('"\\u0000\\ud83d\\ude00\\n\\"\\\\"', TEXT, ['\0😀\n"\\']),
        ('1 "1"', JSON, ["1", '"1"']),
        ("[1,2] [] null", LIST, [[1, 2], [], None]),
        ('[1,"a"] [null]', LIST, [["1", '"a"'], [None]]),
        ('{"x":1} {"y":[{"z":"é"}]}', STRUCT, [{"x": 1, "y": None}, {"x": None, "y": [{"z": "é"}]}]),
        ('{"x":1} [1]', JSON, ['{"x":1}', "[1]"]),
        ('{} {"x":1}', STRUCT, [{"x": None}, {"x": 1}]),
        ("{} null", JSON, ["{}", None]),
        ('{"x":1,"X":2}', JSON, ['{"x":1,"X":2}']),
        ("null", TEXT, [None]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["array", "lines", "in object"])
def test_a_column_has_the_type_that_holds_every_value(
    tmp_path: Path, form: str, values: str, kind: ColumnType, stored: list[Any]
) -> None:
    elements = [f'{{"a": {value}}}' for value in values.split()]
    path = tmp_path / ("t.ndjson" if form == "lines" else "t.json")
    joined = "\n".join(elements) if form == "lines" else f"[{', '.join(elements)}]"
    write(path, f'{{"next": [1, 2], "rows": {joined}}}' if form == "in object" else joined)

    table = read(path)

    assert (table.types, [row[0] for row in table.rows]) == ([kind], stored)
    assert table.schema.name == ("rows" if form == "in object" else "t")


@pytest.mark.parametrize(
    ("content", "tables"),
    [
        ("[]", {"t": []}),
        ("  [ ]  ", {"t": []}),
        ('{"a": [], "b": 1}', {"t": [([], 1)]}),
        ("[1, null, 3]", {"t": [(1,), (None,), (3,)]}),
        ('[{"a": 1}, 2]', {"t": [('{"a":1}',), ("2",)]}),
        ('[null, {"a": 1}]', {"t": [(None,), (1,)]}),
        ('{"a": 1, "b": {"c": [2]}}', {"t": [(1, {"c": [2]})]}),
        ('{"x": [{"a": 1}], "n": [1], "y\\"[": [{"b": "]"}, {"b": "\\\\"}]}', {"x": [(1,)], 'y"[': [("]",), ("\\",)]}),
        ('[{"b": 1, "a": 2}, {"c": 3}]', {"t": [(1, 2, None), (None, None, 3)]}),
        ('\ufeff[{"a": "é"}]', {"t": [("é",)]}),
        ('[{"a": "é"}]'.encode("utf-16"), {"t": [("é",)]}),
    ],
)  # fmt: skip
def test_arrays_of_objects_are_tables(
    tmp_path: Path, content: str | bytes, tables: dict[str, list[tuple[Any, ...]]]
) -> None:
    path = write(tmp_path / "t.json", content)

    names = [table.name for table in connectors.tables(connection(path))]

    assert {name: read(path, name).rows for name in names} == tables


def test_names_are_made_unique(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.ndjson", '{"A": 1, "a": 2, "": 3}\n'))

    assert (table.names, table.rows) == (["A", "a_2", "column_3"], [(1, 2, 3)])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        ("   ", ["array or an object"]),
        ("hello", ["array or an object", "'hello'"]),
        ('[{"a": 1}, {"a": ', ["ends in line 1", "middle of an array"]),
        ('[{"a": "x', ["ends in line 1"]),
        ('[\n{"a": 1},\n{"a": x}]', ["line 3", "'x}'"]),
        ('[{"a": 1},]', ["line 1", "missing beside a comma"]),
        ('[{"a": 1},,{"a": 2}]', ["missing beside a comma"]),
        ('[{"a": 1} {"a": 2}]', ["line 1", "Extra data"]),
        ('[{"a": 1}] x', ["Extra data"]),
        ('{"a": 1}\n{"a": 2}', ["line 2", "Extra data"]),
        ('[{"a": 1, "a": 2}]', ["'a' occurs twice"]),
        ('[{"a": 1e400}]', ["1e400", "larger than a float"]),
        ('[{"a": ' + "9" * 5_000 + "}]", ["line 1", "a whole number of more than 4,300 digits"]),
        ('[{"a": "\\ud800"}]', ["surrogate"]),
        (b'[{"a": "caf\xe9"}]', ["line 1", "0xE9", "UTF-8"]),
        ('[{"a": ' + "[" * 5_000 + "]" * 5_000 + "}]", ["line 1", "nested too deeply"]),
        (b"PAR1", ["Parquet"]),
    ],
)
def test_broken_json_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, words: list[str]
) -> None:
    with pytest.raises(FileInvalid) as refused:
        read(write(tmp_path / "t.json", content))

    assert [word for word in words if word not in refused.value.message] == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.json", '{"a": 1}\n{"a": 2}', ".ndjson"),
        ("t.json", "[{'a': 1}]", "export it again"),
        ("t.ndjson", '[\n{"a": 1}\n]', ".json"),
        ("t.ndjson", '{"a": "x"}', "another type"),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, name: str, content: str, words: str) -> None:
    types: dict[str, Any] = {"column_types": {"a": "integer"}} if '"x"' in content else {}

    with pytest.raises(FileInvalid) as refused:
        read(write(tmp_path / name, content), **types)

    assert refused.value.hint is not None
    assert words in refused.value.hint
    assert "delimiter" not in refused.value.hint


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"a": 1}\n{"a": \n', 2),
        ('\n{"a": 1}{"a": 2}\n', 2),
        ('[{"a": 1},\n{"a": 2}]\n', 1),
    ],
)
def test_broken_lines_are_refused_with_their_number(
    tmp_path: Path, content: str, line: int
) -> None:
    with pytest.raises(FileInvalid, match=f"in line {line}:"):
        read(write(tmp_path / "t.ndjson", content))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"a": ', "Broken JSON in line {}: the text ends too early."),
        ("hello", "Broken JSON in line {}: Expecting value, at 'hello'."),
        ('{"a": 1, "a": 2}', "Broken JSON in line {}: the key 'a' occurs twice in one object."),
        ('{"a": "\\uD800"}', "A text in line {} holds half of a surrogate pair, which is no character."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [20, MANY])
def test_lines_that_are_no_json_are_rejects(
    tmp_path: Path, bad: str, reason: str, before: int
) -> None:
    path = write(tmp_path / "t.ndjson", f"{ELEMENT * before}\n{bad}\n{ELEMENT}")

    table = read(path)

    line = before + 2
    assert table.rejects == [Reject(line, None, reason.format(line), bad)]
    assert (len(table.rows), table.again) == (before + 1, 0)


def test_bytes_outside_utf8_end_the_read_of_lines(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="line 21 is not UTF-8"):
        read(write(tmp_path / "t.ndjson", ELEMENT.encode() * 20 + b'{"a": "\xff"}\n'))


@pytest.mark.parametrize(
    ("kind", "values", "stored"),
    [
        ("text", '1 0.10 "x" true [1] null', ["1", "0.10", "x", "true", "[1]", None]),
        ("integer", '"007" 5 null', [7, 5, None]),
        ("decimal", '1.10 "2.5" 12345678901234567890.123456789012', [Decimal("1.10"), Decimal("2.5"), Decimal("12345678901234567890.123456789012")]),
        ("float", '1 "2.5"', [1.0, 2.5]),
        ("boolean", 'true "no" 0', [True, False, False]),
        ("date", '"2020-01-02"', [date(2020, 1, 2)]),
        ("json", '"[1,2]" 5 {"b":"é"}', ["[1,2]", "5", '{"b":"é"}']),
        ("uuid", '"123e4567-e89b-12d3-a456-426614174000"', ["123e4567-e89b-12d3-a456-426614174000"]),
        ("duration", '"PT1H30M" "P1DT-0.5S"', ["PT1H30M", "P1DT-0.5S"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_declared_type_takes_values_however_they_are_written(
    tmp_path: Path, form: str, kind: str, values: str, stored: list[Any]
) -> None:
    elements = [f'{{"b": 1, "a": {value}}}' for value in values.split()]
    joined = f"[{', '.join(elements)}]" if form == "array" else "\n".join(elements)
    path = write(tmp_path / ("t.json" if form == "array" else "t.ndjson"), joined)

    table = read(path, column_types={"a": kind})

    assert [row[1] for row in table.rows] == stored
    assert table.column("a").inference == f"{kind}: as set in columnTypes"
    assert (table.column("a").type, table.rejects) == (kind, [])


@pytest.mark.parametrize(
    ("kind", "text"),
    [("integer", "1.5"), ("uuid", '"x"'), ("json", '"{"'), ("json", '"NaN"'), ("duration", '"PT"'), ("duration", '"1h"'), ("date", '"1.2.2020"')],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["json", "ndjson"])
def test_an_element_with_a_value_of_another_type_than_declared_is_a_reject(
    tmp_path: Path, suffix: str, kind: str, text: str
) -> None:
    lines = ['{"b": 1, "a": null}'] * 20 + [f'{{"b": 2, "a": {text}}}', '{"b": 3}']
    content = "\n".join(lines) if suffix == "ndjson" else "[" + ",\n".join(lines) + "]"

    table = read(write(tmp_path / f"t.{suffix}", content), column_types={"a": kind})

    (reject,) = table.rejects
    shown = repr(text.strip('"'))
    assert reject == Reject(
        21, "a", f"Column 'a' in line 21 is {shown}, which is not {kind.upper()}.", lines[20]
    )
    assert [row[0] for row in table.rows] == [1] * 20 + [3]


def test_a_declared_column_may_come_late_but_has_to_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "t.ndjson", ELEMENT * MANY + '{"late": "007"}\n')

    assert read(path, column_types={"late": "integer"}).rows[-1] == (None, None, 7)
    with pytest.raises(InvalidInput, match="no column 'never'") as refused:
        read(path, column_types={"never": "integer"})
    assert refused.value.field == "column_types.never"


@pytest.mark.parametrize(
    ("first", "last", "kind", "inference"),
    [
        ("1", "1.5", FLOAT, "float: all values are numbers"),
        ("1.5", "9007199254740993", JSON, f"json: the values have no type in common; the first that differs is in line {MANY + 1}"),
        ("1", '"x"', JSON, f"json: the values have no type in common; the first that differs is in line {MANY + 1}"),
        ("null", "7", INTEGER, "integer: all values are whole numbers"),
        ('{"x":1}', '{"y":1}', STRUCT, "struct: all values are objects"),
        ("1", '1, "b": 2', INTEGER, "integer: all values are whole numbers"),
        ("1.5", "12345678901234567.89", JSON, f"json: a number has more digits than a float holds, first in line {MANY + 1}"),
        ("1.5", "1e-400", JSON, f"json: a number has more digits than a float holds, first in line {MANY + 1}"),
    ],
)  # fmt: skip
def test_a_late_value_widens_the_column_once(
    tmp_path: Path, first: str, last: str, kind: ColumnType, inference: str
) -> None:
    content = ELEMENT.replace("1", first) * MANY + f'{{"a":{last}}}\n'

    table = read(write(tmp_path / "t.ndjson", content))

    assert (table.types[0], len(table.rows), table.again) == (kind, MANY + 1, 1)
    assert table.column("a").inference == inference


def test_texts_that_come_late_need_no_other_look_and_are_told(tmp_path: Path) -> None:
    content = ELEMENT.replace("1", "null") * MANY + '{"a":"x"}\n'

    table = read(write(tmp_path / "t.ndjson", content))

    assert (table.types[0], table.rows[-1][0], table.again) == (ColumnType.TEXT, "x", 0)
    assert table.column("a").inference == "text: all values are texts"


@pytest.mark.parametrize("objects", ['{"b":1,"B":2}', '{"b":1} {"B":2}', '{"":1}'])
def test_objects_that_cannot_be_stored_with_fields_say_why(tmp_path: Path, objects: str) -> None:
    lines = [f'{{"a":{each}}}\n' for each in objects.split()]

    table = read(write(tmp_path / "t.ndjson", "".join(lines)))

    assert table.rows == [(each,) for each in objects.split()]
    assert table.column("a").inference == (
        "json: an object has over 1,000 fields, or names that are empty or differ in nothing but case, "
        f"first in line {len(lines)}"
    )


def test_keys_without_end_are_refused_early(tmp_path: Path) -> None:
    lines = "".join(f'{{"k{at}": 1}}\n' for at in range(100_000))

    with pytest.raises(FileInvalid, match="There are 10,001 columns; the limit is 10,000"):
        read(write(tmp_path / "t.ndjson", lines))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_each_of_many_arrays_is_found_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", 50)
    arrays = [f'"t\u00e9{at}": [\n{{"a": {at}}}, {{"a": "\\\\"}}]' for at in range(20)]
    path = tmp_path / "t.json"
    write(path, '{"x": 1,\n%s}'.replace("%s", ",\n".join(arrays)).encode(encoding))

    assert [read(path, f"t\u00e9{at}").rows for at in range(20)] == [
        [(str(at),), ('"\\\\"',)] for at in range(20)
    ]


def test_many_arrays_are_as_many_tables(tmp_path: Path) -> None:
    arrays = ",".join(f'"t{at}": [{{"a": {at}}}]' for at in range(1_000))
    path = write(tmp_path / "t.json", f"{{{arrays}}}")

    with closing(connectors.open(connection(path))) as opened:
        assert [table.name for table in opened.tables()] == [f"t{at}" for at in range(1_000)]
        assert [batch.data.to_pylist() for batch in opened.read(Selection("t999")).batches] == [
            [{"a": 999}]
        ]


def test_a_flaw_in_a_late_array_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", '{"x": [{"a": 1}],\n\n"y":\n[{"a": 1},\n{"a": ?}]}')

    with pytest.raises(FileInvalid, match="Broken JSON in line 5"):
        read(path, "y")


@pytest.mark.parametrize(
    "wrap", [lambda cell: f'[{{"a": "{cell}"}}]', lambda cell: f'{{"x": [{{"a": "{cell}"}}]}}']
)
def test_an_endless_value_is_refused(tmp_path: Path, wrap: Callable[[str], str]) -> None:
    limits = ReadLimits(cell_bytes_max=3_000_000)

    with pytest.raises(CellTooLarge, match="line 1"):
        read(write(tmp_path / "t.json", wrap("x" * 6_000_000)), limits=limits)
    for end in ("", '"}\n{"a": 1}\n'):
        lines = write(tmp_path / "t.ndjson", '{"a": 1}\n{"a": "' + "x" * 6_000_000 + end)
        with pytest.raises(CellTooLarge, match="line 2"):
            read(lines, limits=limits)
    beside = write(tmp_path / "t.json", '{"x": "' + "x" * 6_000_000 + '", "rows": [{"a": 1}]}')
    with pytest.raises(CellTooLarge, match="outside the arrays"):
        read(beside, limits=limits)
    alone = write(tmp_path / "t.json", '{"x": [' + "1," * 3_000_000 + "1]}")
    with pytest.raises(CellTooLarge, match="that the file is"):
        read(alone, limits=limits)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        st.sampled_from(['"', "\\", '\\"', "[", "],", "{}", "null"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc\\"), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "ü[", '"']), VALUES, min_size=1)


@settings(max_examples=120)
@given(
    objects=st.lists(OBJECTS, min_size=1, max_size=5),
    form=st.sampled_from(["array", "lines", "in object"]),
    indent=st.sampled_from([None, 1]),
    block=st.sampled_from([1, 2, 3, 7, 10_000]),
)
def test_every_value_comes_back_however_the_bytes_arrive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objects: list[dict[str, Any]],
    form: str,
    indent: int | None,
    block: int,
) -> None:
    path = tmp_path / ("t.ndjson" if form == "lines" else "t.json")
    texts = {
        "array": lambda: json.dumps(objects, indent=indent),
        "lines": lambda: "\n".join(map(json.dumps, objects)),
        "in object": lambda: json.dumps({"x": {"y": [1]}, 'k"[': objects, "z": []}, indent=indent),
    }
    write(path, texts[form]())
    with monkeypatch.context() as patch:
        patch.setattr(source, "BLOCK_BYTES", block)
        table = read(path)

    found = [dict(zip(table.names, row, strict=True)) for row in table.rows]
    assert len(found) == len(objects)
    for row, expected in zip(found, objects, strict=True):
        assert all(is_same(value, expected.get(key)) for key, value in row.items())
        assert set(expected) <= set(row)


def is_same(stored: Any, value: Any) -> bool:
    """Whether a stored value is that JSON value: JSON text counts as what it says, no field as null."""
    if isinstance(stored, str) and stored != value:
        return bool(json.dumps(json.loads(stored)) == json.dumps(value))
    if isinstance(stored, dict) and isinstance(value, dict):
        keys = {*stored, *value}
        return all(is_same(stored.get(key), value.get(key)) for key in keys)
    if isinstance(stored, list) and isinstance(value, list):
        pairs = zip(stored, value, strict=True)
        return all(is_same(each, other) for each, other in pairs)
    return bool(stored == value) and isinstance(stored, bool) == isinstance(value, bool)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", '{"x": [{"a": 1}]}')

    with pytest.raises(PlatformError, match="'t'") as refused:
        read(path, "t")

    assert refused.value.hint == "It has 'x'."
