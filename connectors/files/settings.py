"""What a user may say about a file. Light: parsed in the API process, where no data library is loaded for it."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from base.errors import InvalidInput
from base.tables import ColumnType

COLUMN_TYPES_MAX = 10_000
NAME_CHARS_MAX = 1_000
TYPES = frozenset(
    {
        ColumnType.BOOLEAN,
        ColumnType.INTEGER,
        ColumnType.DECIMAL,
        ColumnType.FLOAT,
        ColumnType.TEXT,
        ColumnType.DATE,
        ColumnType.TIME,
        ColumnType.TIMESTAMP,
        ColumnType.TIMESTAMP_TZ,
        ColumnType.DURATION,
        ColumnType.JSON,
        ColumnType.UUID,
    }
)
_STORED = frozenset({"object_key", "file_name"})
_ONLY = {  # settings of some kinds
    "delimiter": "delimiter is for CSV and TSV files",
    "encoding": "encoding is for CSV, TSV and text files",
    "column_types": "columnTypes is for CSV, TSV, JSON, NDJSON, XLSX and XLS files",
}
_DELIMITER_NAMES = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_ENCODINGS_REFUSED = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf_7"}
)


def parse_file(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a stored file that speaks for itself: `object_key` and `file_name`."""
    return _parsed(raw, frozenset()), {}


def parse_text(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a text file: also `encoding`."""
    return _parsed(raw, frozenset({"encoding"})), {}


def parse_typed(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a file of tables whose text is UTF-8: also `column_types` (type by column name)."""
    return _parsed(raw, frozenset({"column_types"})), {}


def parse_delimited(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a CSV or TSV file: also `delimiter`, `encoding` and `column_types`."""
    return _parsed(raw, _ONLY.keys()), {}


def _parsed(raw: Mapping[str, Any], more: AbstractSet[str]) -> dict[str, Any]:
    """What was set, without nulls; what nobody knows is an error, not something to overlook."""
    given = {name: value for name, value in raw.items() if value is not None}
    for name in given:
        if name in _ONLY and name not in more:
            raise InvalidInput(f"{_ONLY[name]}.", field=name)
        if name not in _STORED | more:
            raise InvalidInput(f"{name} is not a setting of a file.", field=name)
    if not given.get("object_key"):
        raise InvalidInput("A file needs its object key.", field="object_key")
    settings: dict[str, Any] = {name: _text(given, name) for name in given if name in _STORED}
    if "delimiter" in given:
        settings["delimiter"] = _delimiter(_text(given, "delimiter"))
    if "encoding" in given:
        settings["encoding"] = encoding(_text(given, "encoding"))
    if "column_types" in given:
        settings["column_types"] = _column_types(given["column_types"])
    return settings


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given[name]
    if not isinstance(value, str) or len(value) > NAME_CHARS_MAX:
        message = f"{name} is a text of up to {NAME_CHARS_MAX} characters."
        raise InvalidInput(message, field=name)
    return value


def _delimiter(value: str) -> str:
    delimiter = _DELIMITER_NAMES.get(value.lower(), value)
    is_single = len(delimiter) == 1 and delimiter.isascii()
    if not is_single or delimiter.isalnum() or delimiter in '"\r\n\0':
        raise InvalidInput(
            "The delimiter is one ASCII character, not a letter, digit, quote or line end.",
            hint='For example "," or ";" or "|" or "\\t".',
            field="delimiter",
        )
    return delimiter


def encoding(value: str) -> str:
    """The codec's own name, for any text encoding that Python has; raises InvalidInput."""
    try:
        name = codecs.lookup(value).name
        "".encode(name)  # refuses what turns bytes into bytes (base64, zip)
    except (LookupError, ValueError):
        name = ""
    if not name or name.replace("-", "_") in _ENCODINGS_REFUSED:
        raise InvalidInput(
            "There is no such text encoding.",
            hint="For example utf-8, windows-1252, iso-8859-15, shift_jis or utf-16.",
            field="encoding",
        )
    return name


def _column_types(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > COLUMN_TYPES_MAX:
        raise InvalidInput(
            "columnTypes is an object of types by column name.", field="column_types"
        )
    return {str(name): _column_type(str(name), given) for name, given in value.items()}


def _column_type(name: str, value: Any) -> str:
    try:
        kind = ColumnType(value.lower() if isinstance(value, str) else value)
    except ValueError:
        kind = ColumnType.UNKNOWN
    if kind not in TYPES:
        known = ", ".join(sorted(each.name for each in TYPES))
        raise InvalidInput(
            f"Column {name[:100]!r} has no such type.",
            hint=f"Types that can be set are {known}.",
            field=f"column_types.{name}",
        )
    return kind.value
