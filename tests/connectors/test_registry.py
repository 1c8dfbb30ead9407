"""The registry: cheap to import, complete, and strict about what users write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import connectors
from base.errors import InvalidInput, Unsupported
from connectors.connector import Connection, Family
from tests.connectors.files.reading import connection, write

ROOT = Path(connectors.__file__).parents[1]
FILE = {"object_key": "uploads/1/00", "file_name": "a.csv"}


def test_importing_the_registry_and_parsing_file_settings_loads_no_data_library() -> None:
    code = (
        "import sys, connectors; connectors.kinds(); connectors.kind_of_file('a.csv');"
        f"connectors.parse('csv', {FILE!r});"
        "print(sorted({'duckdb', 'pyarrow', 'pandas', 'numpy', 'psycopg', 'pymysql', 'sqlalchemy', 'kreuzberg'} & set(sys.modules)))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert shown.stdout == "[]\n"


def test_kinds_are_files_and_databases() -> None:
    families = {name: kind.family for name, kind in connectors.kinds().items()}

    databases = dict.fromkeys(("postgresql", "mysql", "sqlite"), Family.DATABASE)
    tables = ("csv", "tsv", "json", "ndjson", "parquet", "xlsx", "xls")
    documents = ("text", "markdown", "pdf", "docx", "doc", "pptx", "ppt")
    files = (*tables, *documents)
    expected = dict.fromkeys(files, Family.FILE) | databases | {"rest": Family.API}
    assert families == expected


@pytest.mark.parametrize(
    ("file_name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.B.CSV", "csv"),
        ("a.tab", "tsv"),
        ("a.jsonl", "ndjson"),
        ("räk ning.xlsx", "xlsx"),
        ("a.xls", "xls"),
        ("../../a.parquet", "parquet"),
        ("a.db", "sqlite"),
        ("a.txt", "text"),
        ("a.md", "markdown"),
        ("a.mdx", "markdown"),
        ("a.PDF", "pdf"),
        ("a.docx", "docx"),
        ("a.doc", "doc"),
        ("a.pptx", "pptx"),
        ("a.ppt", "ppt"),
    ],
)
def test_a_file_s_extension_tells_its_kind(file_name: str, kind: str) -> None:
    assert connectors.kind_of_file(file_name).name == kind


@pytest.mark.parametrize("file_name", ["a.exe", "a.csv.gz", "csv", "", ".csv"])
def test_other_extensions_are_unsupported_and_the_known_ones_listed(file_name: str) -> None:
    with pytest.raises(Unsupported) as refused:
        connectors.kind_of_file(file_name)

    assert refused.value.hint is not None
    assert refused.value.hint.startswith(
        "Bring one of .csv, .db, .db3, .doc, .docx, .json, .jsonl,"
    )


def test_settings_are_parsed_into_their_canonical_form() -> None:
    raw = {
        **FILE,
        "delimiter": "\\t",
        "encoding": "Latin1",
        "column_types": {"a": "INTEGER", "b": "timestamp_tz"},
    }

    settings, secrets = connectors.parse("csv", raw)

    assert settings == {
        **FILE,
        "delimiter": "\t",
        "encoding": "iso8859-1",
        "column_types": {"a": "integer", "b": "timestamp_tz"},
    }
    assert secrets == {}


def test_settings_that_are_null_are_as_if_not_given() -> None:
    raw = {**FILE, "delimiter": None, "encoding": None, "column_types": None}

    assert connectors.parse("csv", raw) == (FILE, {})


@pytest.mark.parametrize(
    ("kind", "more", "field"),
    [
        ("csv", {"object_key": None}, "object_key"),
        ("csv", {"object_key": 5}, "object_key"),
        ("csv", {"path": "/etc/passwd"}, "path"),
        ("csv", {"delimiter": ""}, "delimiter"),
        ("csv", {"delimiter": ";;"}, "delimiter"),
        ("csv", {"delimiter": '"'}, "delimiter"),
        ("csv", {"delimiter": "\n"}, "delimiter"),
        ("csv", {"delimiter": "a"}, "delimiter"),
        ("csv", {"delimiter": "§"}, "delimiter"),
        ("csv", {"encoding": "utf-9"}, "encoding"),
        ("csv", {"encoding": "base64"}, "encoding"),
        ("csv", {"encoding": "unicode_escape"}, "encoding"),
        ("csv", {"encoding": "a\0b"}, "encoding"),
        ("csv", {"encoding": 7}, "encoding"),
        ("csv", {"column_types": ["INTEGER"]}, "column_types"),
        ("csv", {"column_types": {"a": "STRUCT"}}, "column_types.a"),
        ("csv", {"column_types": {"a": 5}}, "column_types.a"),
        ("csv", {"column_types": {"a": "decimal(9,2)"}}, "column_types.a"),
        ("parquet", {"encoding": "utf-8"}, "encoding"),
        ("json", {"column_types": {"a": "LIST"}}, "column_types.a"),
        ("xls", {"column_types": {"a": "BINARY"}}, "column_types.a"),
        ("ndjson", {"encoding": "utf-8"}, "encoding"),
        ("parquet", {"column_types": {"a": "TEXT"}}, "column_types"),
        ("xlsx", {"delimiter": ","}, "delimiter"),
        ("pdf", {"encoding": "utf-8"}, "encoding"),
        ("text", {"delimiter": ","}, "delimiter"),
        ("markdown", {"column_types": {"text": "TEXT"}}, "column_types"),
        ("nothing", {}, "kind"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_their_field(
    kind: str, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        connectors.parse(kind, {**FILE, **more})

    assert refused.value.field == field
    assert "column_types" not in refused.value.message  # users know it as columnTypes


def test_check_and_tables_open_and_close_a_source(tmp_path: Path) -> None:
    made = connection(write(tmp_path / "orders.csv", "a,b\n1,x\n"))

    assert connectors.check(made).message == "CSV file, 2 columns, delimiter ','."
    (table,) = connectors.tables(made)
    assert (table.name, table.row_estimate) == ("orders", 1)


def test_a_connection_of_no_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing"):
        connectors.check(Connection("nothing", {}))
