"""Where rows are read: pages, downloads and differences of stored tables.

Light until then: DuckDB and Arrow are loaded by the first who reads, or by `load`. A process that never does, as a
worker, is spared their 40 MiB.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from base.tables import TableSchema
from storage.keeping import Files
from storage.snapshots.manifest import LocalPart, Part
from storage.snapshots.pages import Page, RowQuery

if TYPE_CHECKING:
    from storage.snapshots.diff import Diffs
    from storage.snapshots.export import Exports
    from storage.snapshots.query import Pages

QUERY_SECONDS = 10.0
TABLES_KNOWN_MAX = 256


class Rows:
    """Reads pages, whole tables as `exports`, and compares them as `diffs`. One a store and process.

    It keeps the tables used last open.
    """

    def __init__(self) -> None:
        self._local: OrderedDict[tuple[tuple[str, str | None], ...], list[LocalPart]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()
        self._pages: Pages | None = None
        self._exports: Exports | None = None
        self._diffs: Diffs | None = None

    def load(self) -> Pages:
        """Have what reads pages ready; callable from any thread."""
        from storage.snapshots.query import Pages  # noqa: PLC0415 - DuckDB

        with self._lock:
            self._pages = self._pages or Pages()
            return self._pages

    @property
    def exports(self) -> Exports:
        """Whole tables."""
        from storage.snapshots.export import Exports  # noqa: PLC0415 - Arrow and NumPy

        pages = self.load()
        with self._lock:
            self._exports = self._exports or Exports(pages.pool)
            return self._exports

    @property
    def diffs(self) -> Diffs:
        """Differences between two tables."""
        from storage.snapshots.diff import Diffs  # noqa: PLC0415 - Arrow and NumPy

        with self._lock:
            self._diffs = self._diffs or Diffs()
            return self._diffs

    async def page(
        self,
        parts: Sequence[LocalPart],
        table: TableSchema,
        query: RowQuery,
        *,
        seconds: float = QUERY_SECONDS,
    ) -> Page:
        """One page; raises InvalidInput (`field` is relative to the query), TimedOut, QueryTooComplex."""
        return await self.load().page(parts, table, query, seconds=seconds)

    async def local_parts(self, files: Files, parts: Sequence[Part]) -> list[LocalPart]:
        """The parts as local files; raises NotFound where one is gone."""
        keys = tuple((part.key, part.deletes.key if part.deletes else None) for part in parts)
        found = self._local.get(keys)
        if found is None or not files.is_local:  # a copy in a cache may be gone again
            found = [await local_part(files, part) for part in parts]
            self._local[keys] = found
            if len(self._local) > TABLES_KNOWN_MAX:
                self._local.popitem(last=False)
        return found

    def close(self) -> None:
        """Let go of files and threads."""
        for opened in (self._exports, self._diffs, self._pages):
            if opened is not None:
                opened.close()


async def local_part(files: Files, part: Part) -> LocalPart:
    """A part as local files, with what says which of its rows are gone; raises NotFound where one is missing."""
    path = await files.local_path(part.key)
    if part.deletes is None:
        return LocalPart(path, part.rows, name=part.key)
    deletes = await files.local_path(part.deletes.key)
    name = f"{part.key} {part.deletes.key}"
    return LocalPart(path, part.rows, deletes, part.deletes.rows, name)
