"""The smallest and the largest text of a column without reading it: Parquet keeps those of each row group."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.parquet as pq

from storage.snapshots.manifest import LocalPart

_WHOLE = "parquet-cpp-arrow"  # keeps whole texts or, where they are long, none; other writers may cut them


class Extremes:
    """Of the parts of one table; reads their footers once."""

    def __init__(self, parts: Sequence[LocalPart]) -> None:
        self._has_deletes = any(part.deleted_rows for part in parts)
        self._paths = [part.path for part in parts]
        self._footers: list[pq.FileMetaData] | None = None

    def texts(self, at: int) -> tuple[str, str] | None:
        """Of the column at that place, by their bytes; None where only its values tell, or where it has none."""
        if self._has_deletes:
            return None
        if self._footers is None:
            self._footers = [pq.read_metadata(path) for path in self._paths]
        found: list[str] = []
        for footer in self._footers:
            ends = _ends(footer, at)
            if ends is None:
                return None
            found += ends
        # UTF-8 has the order of its code points, which is that of Python's texts.
        return (min(found), max(found)) if found else None


def _ends(footer: pq.FileMetaData, at: int) -> list[str] | None:
    """Both ends of each row group that has values; None where one is not known."""
    schema = footer.schema
    name = schema.to_arrow_schema().names[at]
    leaves = [leaf for leaf in range(len(schema)) if schema.column(leaf).path == name]
    if len(leaves) != 1 or not (footer.created_by or "").startswith(_WHOLE):
        return None
    found: list[str] = []
    for group in range(footer.num_row_groups):
        known = footer.row_group(group).column(leaves[0]).statistics
        if known is not None and known.has_min_max and isinstance(known.min, str):
            found += [known.min, known.max]
        elif known is None or known.num_values or not known.has_null_count:
            return None
    return found
