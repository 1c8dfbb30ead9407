"""Floor 1: the outside sources. The registry of their kinds, one line each.

A kind's module, and with it its driver, is imported when a source of that kind is opened: importing this package, and
parsing what a user wrote about a file, is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from base.errors import InvalidInput, Unsupported
from base.tables import TableSchema
from connectors.connector import Connection, Connector, Family, Health, Kind
from connectors.files.settings import parse_delimited, parse_file, parse_text, parse_typed

__all__ = ["check", "kind_of_file", "kinds", "open", "parse", "survey", "tables"]

_Parse = Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, str]]]


def _file(name: str, target: str, parse_settings: _Parse, *extensions: str) -> Kind:
    """A file kind: `target` is the `module:class` that opens one."""

    def open_file(connection: Connection) -> Connector:
        module, _, attribute = target.partition(":")
        connector: Connector = getattr(import_module(module), attribute)(connection)
        return connector

    return Kind(name, Family.FILE, open_file, parse_settings, extensions)


def _module(name: str, module: str, *extensions: str, family: Family = Family.DATABASE) -> Kind:
    """A database's kind, or an API's: `module` exports its `KIND`; one in a file has `extensions`."""

    def load() -> Kind:
        kind = import_module(module).KIND
        assert isinstance(kind, Kind)
        return kind

    return Kind(
        name,
        family,
        open=lambda connection: load().open(connection),
        parse=lambda raw: load().parse(raw),
        extensions=extensions,
    )


_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _file("csv", "connectors.files.delimited:Delimited", parse_delimited, ".csv"),
            _file("tsv", "connectors.files.delimited:Delimited", parse_delimited, ".tsv", ".tab"),
            _file("json", "connectors.files.records:JsonFile", parse_typed, ".json"),
            _file("ndjson", "connectors.files.records:JsonLines", parse_typed, ".ndjson", ".jsonl"),
            _file("parquet", "connectors.files.parquet:ParquetFile", parse_file, ".parquet"),
            _file("xlsx", "connectors.files.workbook:Workbook", parse_typed, ".xlsx"),
            _file("xls", "connectors.files.workbook:Workbook", parse_typed, ".xls"),
            _file("text", "connectors.files.plain:Text", parse_text, ".txt"),
            _file("markdown", "connectors.files.plain:Markdown", parse_text, ".md", ".mdx"),
            _file("pdf", "connectors.files.extracted:Pdf", parse_file, ".pdf"),
            _file("docx", "connectors.files.office:WordDocument", parse_file, ".docx"),
            _file("doc", "connectors.files.extracted:OldDocument", parse_file, ".doc"),
            _file("pptx", "connectors.files.office:Presentation", parse_file, ".pptx"),
            _file("ppt", "connectors.files.extracted:OldPresentation", parse_file, ".ppt"),
            _module("postgresql", "connectors.postgres"),
            _module("mysql", "connectors.mysql"),
            _module("rest", "connectors.rest", family=Family.API),
            _module("sqlite", "connectors.sqlite", ".sqlite", ".sqlite3", ".db", ".db3"),
        )
    }
)


def kinds() -> Mapping[str, Kind]:
    """Every kind by its name."""
    return _KINDS


def kind_of_file(file_name: str) -> Kind:
    """The kind that a file's extension stands for; raises Unsupported."""
    suffix = PurePosixPath(file_name).suffix.lower()
    for kind in _KINDS.values():
        if suffix in kind.extensions:
            return kind
    known = ", ".join(sorted(suffix for kind in _KINDS.values() for suffix in kind.extensions))
    what = f"Files ending in {suffix[:20]}" if suffix else "Files without an extension"
    raise Unsupported(
        f"{what} are not supported.",
        hint=f"Bring one of {known}; unpack archives first.",
    )


def parse(kind: str, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Public settings and secrets of what a user wrote; raises InvalidInput with a field of the connection."""
    return _kind(kind).parse(raw)


def open(connection: Connection) -> Connector:  # noqa: A001 - reads as `connectors.open`
    """Open a source; blocking, for use in a limited child process. Raises `connectors.errors`."""
    return _kind(connection.kind).open(connection)


def check(connection: Connection) -> Health:
    """Open a source, check it, close it; blocking, for use in a limited child process."""
    with closing(open(connection)) as connector:
        return connector.check()


def tables(connection: Connection) -> list[TableSchema]:
    """Open a source, list its tables, close it; blocking, for use in a limited child process."""
    with closing(open(connection)) as connector:
        return connector.tables()


def survey(connection: Connection) -> tuple[Health, list[TableSchema]]:
    """`check` and `tables` over one opened source; blocking, for use in a limited child process."""
    with closing(open(connection)) as connector:
        return connector.check(), connector.tables()


def _kind(name: str) -> Kind:
    try:
        return _KINDS[name]
    except KeyError:
        raise InvalidInput(f"There is no source kind {name!r}.", field="kind") from None
