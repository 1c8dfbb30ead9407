"""How a table is shared out among partitions: its parts in their order, each of them whole."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise

from storage.snapshots.manifest import Part

PARTITIONS_MAX = 64
# A partition is a job and a process: with less than this of both it takes longer than its work.
ROWS_WORTH = 64 * 1024
BYTES_WORTH = 8 * 1024**2  # as stored

Share = tuple[int, int]  # the first part, and the one behind the last


def partitions_of(parts: Sequence[Part], wanted: int | None) -> int:
    """Into how many partitions a table of these parts goes: as many as are wanted, or worth it, while there are parts.

    Parts all of whose rows are deleted count for nothing; 1 says that the table stays whole.
    """
    live = [part for part in parts if part.live_rows]
    if wanted is None:
        rows, size_bytes = (
            sum(part.live_rows for part in live),
            sum(part.size_bytes for part in live),
        )
        wanted = max(-(-rows // ROWS_WORTH), -(-size_bytes // BYTES_WORTH))
    return max(min(wanted, len(live), PARTITIONS_MAX), 1)


def shares(parts: Sequence[Part], count: int) -> list[Share]:
    """So many runs of parts with rows in each, together all of them, with about as many rows each.

    `count` is what `partitions_of` gave, or less.
    """
    live = [place for place, part in enumerate(parts) if part.live_rows]
    ends = list(accumulate(parts[place].live_rows for place in live))
    cuts, last = [0], 0
    for number in range(1, count):
        ideal = bisect_left(ends, number * ends[-1] / count) + 1
        last = min(max(ideal, last + 1), len(live) - (count - number))
        cuts.append(live[last])
    return list(pairwise([*cuts, len(parts)]))
