"""Column names out of whatever a file calls its columns."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from base.errors import InvalidInput
from connectors.errors import FileInvalid, TableMissing

COLUMNS_MAX = 10_000


def unique_names(given: Sequence[str]) -> list[str]:
    """The names without spaces around them, those that are empty or taken (in any case of letters) changed.

    An empty name becomes `column_<place>`, the second `a` becomes `a_2`. Raises FileInvalid for too many.
    """
    refuse_too_many(len(given))
    stripped = [name.strip() or f"column_{place}" for place, name in enumerate(given, 1)]
    kept = {name.casefold() for name in stripped}
    seen: set[str] = set()
    names = []
    for name in stripped:
        free, number = name, 1
        while free.casefold() in seen or (number > 1 and free.casefold() in kept):
            number += 1
            free = f"{name}_{number}"
        seen.add(free.casefold())
        names.append(free)
    return names


def refuse_too_many(count: int) -> None:
    """Raise FileInvalid for more columns than a table can have."""
    if count > COLUMNS_MAX:
        raise FileInvalid(
            f"There are {count:,} columns; the limit is {COLUMNS_MAX:,}.",
            hint="Where the names of columns or keys are values themselves, write them into rows.",
        )


def chosen(table: str, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Places of the wanted columns, all if none are wanted; raises TableMissing for one that is not there."""
    places = {name: place for place, name in enumerate(names)}
    missing = [name for name in wanted if name not in places]
    if missing:
        listed = ", ".join(repr(name) for name in missing)
        raise TableMissing(
            f"Table {table!r} has no column {listed}.",
            hint="Introspect the source to see its columns.",
        )
    return [places[name] for name in wanted] if wanted else list(range(len(names)))


def refuse_other_table(wanted: str, schema: str | None, names: Sequence[str]) -> None:
    """Raise TableMissing unless the wanted table is one of those."""
    if schema is not None or wanted not in names:
        listed = ", ".join(repr(name) for name in names[:20]) or "no tables"
        raise TableMissing(f"There is no table {wanted!r} in the file.", hint=f"It has {listed}.")


def refuse_unknown(types: Iterable[str], names: Container[str]) -> None:
    """Raise InvalidInput for a column whose type was set, but which is not among those of the file."""
    for name in types:
        if name not in names:
            raise InvalidInput(
                f"The file has no column {name!r}, whose type is set.",
                hint="Names in columnTypes are exact, upper and lower case included.",
                field=f"column_types.{name}",
            )
