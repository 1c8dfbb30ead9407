"""Texts whose encoding a server named: that is what they are in, unless the file, the user or the bytes say otherwise."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import connectors
from connectors.connector import Selection
from connectors.errors import FileInvalid
from tests.connectors.files.reading import connection, write

TEXT = "id,city\n1,Zürich\n2,Łódź\n"


def cities(path: Path, charset: str, **settings: Any) -> tuple[str, list[str]]:
    """What a check says, and the cities."""
    given = connection(path, **settings)
    given = replace(given, settings={**given.settings, "charset": charset})
    with closing(connectors.open(given)) as source:
        (table,) = source.tables()
        batches = list(source.read(Selection(table.name)).batches)
        rows = [row for batch in batches for row in batch.data.to_pylist()]
        return source.check().message, [row["city"] for row in rows]


@pytest.mark.parametrize(
    ("written", "charset", "settings"),
    [
        ("cp1250", "cp1250", {}),
        ("utf-16-le", "utf-16-le", {}),
        ("utf-16", "cp1252", {}),  # with a mark
        ("utf-8-sig", "cp1252", {}),
        ("utf-8", "iso8859-1", {}),  # which all bytes are, as many a server says of every text
        ("cp1250", "cp1252", {"encoding": "cp1250"}),
        ("utf-8", "cp1250", {"encoding": "utf-8"}),
    ],
)
def test_a_text_is_read_in_the_encoding_that_is_known_best(
    tmp_path: Path, written: str, charset: str, settings: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.csv", TEXT.encode(written))

    said, found = cities(path, charset, **settings)

    assert found == ["Zürich", "Łódź"]
    assert ("as its server says" in said) == (written == charset)


def test_a_text_of_7_bits_that_shifts_is_read_in_its_charset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,city\n1,東京\n".encode("iso2022_jp"))

    assert cities(path, "iso2022_jp")[1] == ["東京"]


def test_bytes_that_are_in_neither_are_told_as_without_a_charset(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TEXT.encode("cp1250"))

    with pytest.raises(FileInvalid, match="is not UTF-8") as caught:
        cities(path, "ascii")
    assert caught.value.hint is not None
    assert "windows-1252" in caught.value.hint


def test_a_text_document_is_read_in_the_charset_of_its_server(tmp_path: Path) -> None:
    given = connection(write(tmp_path / "a.txt", "Zürich".encode("cp1252")))
    given = replace(given, settings={**given.settings, "charset": "cp1252"})

    with closing(connectors.open(given)) as source:
        (batch,) = source.read(Selection("a")).batches

    assert "Zürich" in str(batch.data.to_pylist())
