"""Rows that cannot be stored: kept beside the parts as JSON lines, each durable before the part behind it."""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path

import orjson

from base.errors import InvalidInput
from base.forks import Channel
from connectors.connector import REJECT_CHARS_MAX, Reject
from workers.messages import Rejected, RowsRejected

SHARE_MAX = 10  # one row in so many of a table may be bad
_CHUNK_BYTES = 1024**2


class Rejects:
    """The rejected rows of one table, in a local file as they come; `keep` cuts off what came before a part's end.

    `others` is how many rows of other tables were rejected before.
    """

    def __init__(
        self,
        channel: Channel,
        folder: Path,
        index: int,
        table: str,
        *,
        rows_max: int,
        others: int = 0,
        before: Rejected | None = None,
    ) -> None:
        self._channel = channel
        self._folder = folder
        self._index = index
        self._table = table
        self._rows_max = rows_max
        self._others = others
        self.rows = before.rows if before else 0
        self._first = before.first if before else None
        self._kept_rows = self.rows
        self._kept_bytes = 0
        self._bytes = 0
        self._path = folder / f"{index}.spool"
        self._path.unlink(missing_ok=True)
        self._ends: deque[tuple[int, int]] = deque()  # rows and bytes after each batch with any

    def add(self, rejects: tuple[Reject, ...]) -> None:
        """Keep rows; raises InvalidInput with the first one's reason where there are too many."""
        if not rejects:
            return
        self._first = self._first or rejects[0]
        self.rows += len(rejects)
        if self._others + self.rows > self._rows_max:
            raise self._refusal(f"more than {self._rows_max:,} rows could not be stored")
        lines = b"".join(_line(each) for each in rejects)
        with self._path.open("ab") as file:
            file.write(lines)
        self._bytes += len(lines)
        self._ends.append((self.rows, self._bytes))

    def keep(self, number: int, rows: int | None = None) -> None:
        """Tell of the rows up to this many, all where None, that were not told of before."""
        end = None
        while self._ends and (rows is None or self._ends[0][0] <= rows):
            end = self._ends.popleft()
        if end is None:
            return
        path = self._folder / f"{number}.rejects"
        digest = _copy(self._path, path, self._kept_bytes, end[1])
        first = self._first
        assert first is not None
        count, size = end[0] - self._kept_rows, end[1] - self._kept_bytes
        self._channel.send(RowsRejected(self._index, number, count, size, digest, first))
        self._kept_rows, self._kept_bytes = end

    def check_share(self, rows_read: int) -> None:
        """At a table's end: raises InvalidInput where too many of `rows_read` were rejected."""
        if self.rows * SHARE_MAX > rows_read:
            raise self._refusal(f"{self.rows:,} of {rows_read:,} rows could not be stored")

    def _refusal(self, what: str) -> InvalidInput:
        first = self._first
        assert first is not None
        places = [f"line {first.line:,}"] if first.line is not None else []
        places += [f"column {first.column!r}"] if first.column is not None else []
        where = f" ({', '.join(places)})" if places else ""
        return InvalidInput(
            f"{self._table}{where}: {first.reason}",
            hint=f"It is the first: {what}. Mend the source, or give its columns other types.",
        )


def _line(reject: Reject) -> bytes:
    return orjson.dumps(
        {
            "line": reject.line,
            "column": reject.column,
            "reason": reject.reason,
            "text": reject.text[:REJECT_CHARS_MAX].encode(errors="replace").decode(),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _copy(source: Path, target: Path, start: int, end: int) -> str:
    """Copy some bytes; their hash."""
    digest = hashlib.sha256()
    with source.open("rb") as old, target.open("xb") as new:
        old.seek(start)
        while start < end:
            chunk = old.read(min(end - start, _CHUNK_BYTES))
            digest.update(chunk)
            new.write(chunk)
            start += len(chunk)
    return digest.hexdigest()
