"""The books of a sync: what was read, what became of it, a hash a file. They balance, or nothing is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from storage.snapshots.manifest import Manifest, Part, StoredTable


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """One Parquet object of the snapshot: a part, or the rows that were deleted from one."""

    table: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Books:
    """One table. `rows_before` and `rows_now` are counted in the snapshots, the others where rows came in and went."""

    rows_read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    quarantined: int = 0
    rows_before: int = 0
    rows_now: int = 0

    @property
    def balanced(self) -> bool:
        """Rows read = inserted + updated + unchanged + quarantined, and rows before + inserted - deleted = rows now."""
        kept = self.inserted + self.updated + self.unchanged
        return (
            self.rows_read == kept + self.quarantined
            and self.rows_before + self.inserted - self.deleted == self.rows_now
            and min(self.inserted, self.updated, self.unchanged, self.deleted) >= 0
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """The sums over all tables, each of which balances; `cursor_from` and `cursor_to` are `{table: text}`, or null."""

    rows_read: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    quarantined: int
    balanced: bool
    cursor_from: dict[str, str] | None
    cursor_to: dict[str, str] | None
    files: tuple[ReceiptFile, ...]

    def to_json(self) -> dict[str, Any]:
        """What `Snapshot.receipt` holds."""
        return asdict(self)


def of_full_table(
    rows_read: int,
    parts: Sequence[Part],
    before: StoredTable | None,
    *,
    superseded: int = 0,
    quarantined: int = 0,
) -> Books:
    """The books of a table that was read whole and replaces what was stored.

    Rows in a file that is, byte for byte, one of the snapshot before count as unchanged, the others as inserted, and
    what was in files that are not there any more as deleted. `superseded` rows came again later in the same read; they
    count as unchanged, too.
    """
    known = Counter(_identity(part) for part in before.parts) if before else Counter[_Identity]()
    same = inserted = 0
    for part in parts:
        if known[_identity(part)] > 0:
            known[_identity(part)] -= 1
            same += part.live_rows
        else:
            inserted += part.live_rows
    rows_before = before.row_count if before else 0
    return Books(
        rows_read=rows_read,
        inserted=inserted,
        unchanged=same + superseded,
        deleted=rows_before - same,
        quarantined=quarantined,
        rows_before=rows_before,
        rows_now=sum(part.live_rows for part in parts),
    )


def of_gone_table(before: StoredTable) -> Books:
    """The books of a table that is not read any more."""
    return Books(deleted=before.row_count, rows_before=before.row_count)


def of_sync(
    books: Sequence[Books],
    manifest: Manifest,
    cursor_from: Mapping[str, str],
    cursor_to: Mapping[str, str],
) -> Receipt:
    """The receipt of a whole sync."""
    return Receipt(
        rows_read=sum(each.rows_read for each in books),
        inserted=sum(each.inserted for each in books),
        updated=sum(each.updated for each in books),
        unchanged=sum(each.unchanged for each in books),
        deleted=sum(each.deleted for each in books),
        quarantined=sum(each.quarantined for each in books),
        balanced=all(each.balanced for each in books),
        cursor_from=dict(cursor_from) or None,
        cursor_to=dict(cursor_to) or None,
        files=tuple(_files(manifest)),
    )


_Identity = tuple[int, int, str, str | None]


def _identity(part: Part) -> _Identity:
    deletes = part.deletes.sha256 if part.deletes else None
    return part.rows, part.size_bytes, part.sha256, deletes


def _files(manifest: Manifest) -> Iterator[ReceiptFile]:
    for stored in manifest.tables:
        name = stored.table.qualified_name
        for part in stored.parts:
            yield ReceiptFile(name, part.rows, part.size_bytes, part.sha256)
            if part.deletes:
                deletes = part.deletes
                yield ReceiptFile(name, deletes.rows, deletes.size_bytes, deletes.sha256)
