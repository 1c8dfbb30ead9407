"""Rows that cannot be stored as they are: what is wrong with them, in words, and when they are too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from connectors.connector import REJECT_CHARS_MAX, Batch, Reject
from connectors.errors import FileInvalid
from connectors.files.columns import TextColumn

AT_ONCE_MAX = 100_000  # in one piece of a file, which are all in memory
_OTHER_TYPE = "Correct the value, or set another type for its column in columnTypes."
_SHARE_MAX = 0.1  # of the rows that are looked at before a table is read


def reject(line: int, column: str | None, reason: str, text: str) -> Reject:
    """A row of the source, cut."""
    return Reject(line, column, reason, text.rstrip("\r\n")[:REJECT_CHARS_MAX])


def refuse_many(rejects: Sequence[Reject], rows: int, hint: str) -> None:
    """Raise FileInvalid with the first reject's words if there are more than a tenth of all rows.

    `hint` says what to do about a row that is none.
    """
    if len(rejects) > _SHARE_MAX * (rows + len(rejects)):
        first = rejects[0]
        raise FileInvalid(first.reason, hint=hint if first.column is None else _OTHER_TYPE)


def refuse_flood(rejects: Sequence[Reject]) -> None:
    """Raise FileInvalid for more than are kept in memory."""
    if len(rejects) > AT_ONCE_MAX:
        raise FileInvalid(rejects[0].reason, hint=f"{len(rejects):,} rows near it are bad, too.")


def flaws(columns: Sequence[TextColumn], texts: Sequence[pa.Array]) -> dict[int, TextColumn]:
    """Rows with a text that is not of the type that was set for its column, by their index."""
    found: dict[int, TextColumn] = {}
    for column, values in zip(columns, texts, strict=True):
        if column.is_declared and column.form.convert(values) is None:
            for index in column.misfits(values):
                found.setdefault(index, column)
    return dict(sorted(found.items()))


def misfits(
    columns: Sequence[TextColumn],
    texts: Sequence[pa.Array],
    found: Mapping[int, TextColumn],
    place: Callable[[int], tuple[str, int, str]],
) -> list[Reject]:
    """Rejects of those `flaws`; `place` gives what a row is called (`line`), its number and its text by its index."""
    listed = []
    for index, column in found.items():
        noun, number, row = place(index)
        text = texts[columns.index(column)][index].as_py()
        words = column.flaw(text, f"{noun} {number}")
        listed.append(reject(number, column.name, words, row))
    return listed


def without(texts: Sequence[pa.Array], rows: Sequence[int]) -> list[pa.Array]:
    """The columns without these rows."""
    if not rows:
        return list(texts)
    keep = np.ones(len(texts[0]), bool)
    keep[list(rows)] = False
    return [values.filter(pa.array(keep)) for values in texts]


def told_first(
    batches: Iterator[Batch], rejects: Sequence[Reject], otherwise: Batch
) -> Iterator[Batch]:
    """The batches, the first with the rejects; `otherwise` has them, where there is no batch."""
    left = tuple(rejects)
    for batch in batches:
        yield Batch(batch.data, batch.position, batch.bytes_read, left)
        left = ()
    if left:
        yield Batch(otherwise.data, otherwise.position, otherwise.bytes_read, left)
