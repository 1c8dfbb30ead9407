"""Which of a source's tables and columns a client wants, as GraphQL's `TableSelection`s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.failures import Failure, Problem, invalid

Found = Mapping[str, Any]  # a table that was looked up
_HOW = {  # what else may be said of a table, beside its name: GraphQL's own words, in either case
    "schema": "schema",
    "mode": "mode",
    "columns": "columns",
    "cursorColumn": "cursorColumn",
    "cursor_column": "cursorColumn",
    "primaryKey": "primaryKey",
    "primary_key": "primaryKey",
    "detectDeletes": "detectDeletes",
    "detect_deletes": "detectDeletes",
    "lookbackSeconds": "lookbackSeconds",
    "lookback_seconds": "lookbackSeconds",
}
_MODES = ("FULL", "APPEND", "MERGE")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client said about tables and columns; no `tables` are all of them.

    A name may have its schema, or a column's its table, before a point.
    """

    tables: tuple[Mapping[str, Any], ...] | None = None
    ignored: frozenset[str] = frozenset()
    schema: str | None = None
    columns: tuple[str, ...] = ()
    ignored_columns: frozenset[str] = frozenset()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()


def wanted(said: Mapping[str, Any], path: str) -> Wanted:
    """Read it off a body; raises Failure for what makes no sense."""
    tables = _list(said, path, "selectedTables", "selected_tables", "tables")
    return Wanted(
        tuple(_table(each, f"{path}.tables") for each in tables) if tables else None,
        frozenset(_names(said, path, "ignoreTables", "ignore_tables")),
        _schema(said.get("schema"), path),
        tuple(_names(said, path, "selectedColumns", "selected_columns")),
        frozenset(_names(said, path, "ignoreColumns", "ignore_columns")),
    )


def choose(found: Sequence[Found], wants: Wanted) -> list[tuple[Found, dict[str, Any]]]:
    """The tables that are wanted, in the source's order, each with its selection. Raises Failure for unknown names."""
    within = [table for table in found if wants.schema in {None, table["schema"]}]
    if wants.schema is not None and not any(table["schema"] for table in found):
        within = list(found)  # a source without schemas
    asked = _by_table(within, wants.tables)
    chosen = [
        (table, how | _columns(table, wants, how))
        for table, how in asked
        if not wants.ignored & _names_of(table)
    ]
    _refuse_unknown_columns(within, wants)
    if not wants.columns:
        return chosen
    return [(table, selection) for table, selection in chosen if selection.get("columns")]


def titles(chosen: Sequence[Found]) -> list[str]:
    """What to call the tables: by their names, with the schema where two have the same."""
    names = [table["name"] for table in chosen]
    return [
        _qualified(table) if names.count(table["name"]) > 1 else table["name"] for table in chosen
    ]


def _by_table(
    found: Sequence[Found], asked: Sequence[Mapping[str, Any]] | None
) -> list[tuple[Found, dict[str, Any]]]:
    if asked is None:
        return [(table, _selection(table, {})) for table in found]
    taken: dict[int, Mapping[str, Any]] = {}
    for each in asked:
        fitting = [
            index
            for index, table in enumerate(found)
            if each["name"] in _names_of(table) and each.get("schema") in {None, table["schema"]}
        ]
        if not fitting:
            there = ", ".join(_qualified(table) for table in found[:20]) or "none"
            message = f'There is no table "{each["name"][:200]}" in the source.'
            raise Failure("INVALID_INPUT", message, hint=f"There is: {there}.")
        taken |= dict.fromkeys(fitting, each)
    return [(found[index], _selection(found[index], taken[index])) for index in sorted(taken)]


def _selection(table: Found, how: Mapping[str, Any]) -> dict[str, Any]:
    given = {**how, "name": table["name"], "schema": table["schema"]}
    return {name: value for name, value in given.items() if value is not None}


def _columns(table: Found, wants: Wanted, how: Mapping[str, Any]) -> dict[str, Any]:
    """The columns to read, where not all are."""
    if "columns" in how or not (wants.columns or wants.ignored_columns):
        return {}
    kept = [
        column["name"]
        for column in table["columns"]
        if (not wants.columns or _is_named(table, column["name"], wants.columns))
        and not _is_named(table, column["name"], wants.ignored_columns)
    ]
    if not kept and not wants.columns:
        message = f'No column of the table "{_qualified(table)}" is left.'
        raise Failure("INVALID_INPUT", message, hint="Ignore the table in place of its columns.")
    return {"columns": kept}


def _refuse_unknown_columns(found: Sequence[Found], wants: Wanted) -> None:
    for name in wants.columns:
        if not any(
            _is_named(table, column["name"], [name])
            for table in found
            for column in table["columns"]
        ):
            message = f'There is no column "{name[:200]}" in the source\'s tables.'
            raise Failure("INVALID_INPUT", message, hint="Check `selectedColumns`.")


def _is_named(table: Found, column: str, names: Iterable[str]) -> bool:
    return column in names or any(f"{name}.{column}" in names for name in _names_of(table))


def _names_of(table: Found) -> frozenset[str]:
    return frozenset({table["name"], _qualified(table)})


def _qualified(table: Found) -> str:
    return f"{table['schema']}.{table['name']}" if table["schema"] else str(table["name"])


def _table(given: Any, path: str) -> Mapping[str, Any]:
    """A table by its name, or an object with how it is synced besides."""
    if isinstance(given, str):
        return {"name": given}
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        message = f"`{path}` holds names of tables, or objects with `name`."
        raise invalid(Problem(path, "type", message))
    how = {theirs: given[ours] for ours, theirs in _HOW.items() if given.get(ours) is not None}
    if "mode" in how:
        how["mode"] = str(how["mode"]).upper()
        if how["mode"] not in _MODES:
            message = f"`{path}.mode` has to be one of {', '.join(_MODES)}."
            raise invalid(Problem(f"{path}.mode", "choices", message))
    return {"name": given["name"], **how}


def _names(said: Mapping[str, Any], path: str, *keys: str) -> list[str]:
    names = _list(said, path, *keys)
    if not all(isinstance(name, str) for name in names):
        message = f"`{path}.{keys[0]}` holds names."
        raise invalid(Problem(f"{path}.{keys[0]}", "type", message))
    return names


def _list(said: Mapping[str, Any], path: str, *keys: str) -> list[Any]:
    """A list, or a text with commas; empty for nothing."""
    value: Any = next((said[key] for key in keys if said.get(key)), [])
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        message = f"`{path}.{keys[0]}` has to be of type array."
        raise invalid(Problem(f"{path}.{keys[0]}", "type", message))
    return value


def _schema(value: Any, path: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(
            Problem(f"{path}.schema", "type", f"`{path}.schema` has to be of type string.")
        )
    return value
