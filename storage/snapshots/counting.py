"""Exact counts of how often each of many 64-bit values occurs, in bounded memory: what does not fit goes to files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]  # of int64, uint64 or float64
Counts = npt.NDArray[np.int64]
_FILE_BITS = 6
_SLICE = (
    64 * 1024
)  # values that are worked on at once, where a copy of a block is made: they stay in a core's cache
_SAMPLES = 10_000  # a block: what the median of several blocks is taken from
_COUNTED_SHARE = 8  # of a block's values: whole numbers in a narrower range are counted, not sorted


class Runs:
    """How often each value occurs. Give it sorted blocks without NaN; `held_max` values are kept in memory.

    Blocks of mostly different values are spread over files below `folder`, by a hash of the value, and counted a file
    at a time. A single block is kept by reference and takes little more. `close` removes the files.
    """

    def __init__(self, folder: Path, held_max: int) -> None:
        self._folder = folder
        self._held_max = held_max
        self._only: Values | None = None
        self._held: list[tuple[Values, Counts]] = []
        self._files: list[Path] = []
        self._dtype: np.dtype[Any] = np.dtype(np.int64)

    def add(self, block: Values) -> None:
        """Count a sorted block."""
        if not len(block):
            return
        self._dtype = block.dtype
        if self._only is None and not self._held and not self._files:
            self._only = block
            return
        if self._only is not None:
            self._held.append(_runs(self._only))
            self._only = None
        self._held.append(_runs(block))
        if len(self._held) > 1 and self._held_values() > self._held_max:
            self._held = [_merged(self._held)]
            if self._files or self._held_values() > self._held_max // 2:
                self._spill()

    def top(self, wanted: int) -> tuple[int, list[tuple[Any, int]]]:
        """How many different values there are, and the most frequent ones, ties by value, with their counts."""
        if self._only is not None:
            return _top(self._only, wanted)
        distinct, best = 0, []
        for values, counts in self._groups():
            distinct += len(values)
            best += _largest(values, counts, wanted)
        best.sort(key=lambda each: (-each[1], each[0]))
        return distinct, best[:wanted]

    def close(self) -> None:
        """Remove what was written."""
        for path in self._files:
            path.unlink(missing_ok=True)
        if self._files:
            with suppress(OSError):
                self._files[0].parent.rmdir()
        self._only, self._held, self._files = None, [], []

    def _held_values(self) -> int:
        return sum(len(values) for values, _ in self._held)

    def _groups(self) -> Iterator[tuple[Values, Counts]]:
        """Sets of values that have none in common."""
        if not self._files:
            if self._held:
                yield self._held[0] if len(self._held) == 1 else _merged(self._held)
            return
        if self._held:
            self._spill()
        for path in self._files:
            pairs = np.fromfile(path, np.int64).reshape(-1, 2)
            if len(pairs):
                values = np.ascontiguousarray(pairs[:, 0]).view(self._dtype)
                yield _merged([(values, np.ascontiguousarray(pairs[:, 1]))])

    def _spill(self) -> None:
        if not self._files:
            folder = Path(tempfile.mkdtemp(prefix="counting-", dir=self._folder))
            self._files = [folder / str(number) for number in range(1 << _FILE_BITS)]
        for values, counts in self._held:
            files = _mixed(values) >> np.uint64(64 - _FILE_BITS)
            order = np.argsort(files.astype(np.uint8), kind="stable")
            pairs = np.empty((len(values), 2), np.int64)
            pairs[:, 0], pairs[:, 1] = values.view(np.int64)[order], counts[order]
            ends = np.searchsorted(files[order], np.arange(1 << _FILE_BITS), "right")
            start = 0
            for path, end in zip(self._files, ends.tolist(), strict=True):
                with path.open("ab") as file:
                    pairs[start:end].tofile(file)
                start = end
        self._held = []


@dataclass(slots=True)
class Moments:
    """Sums of differences to a value in the middle, which keep mean and deviation exact to the last digits."""

    pivot: Any = None
    count: int = 0
    sum: float = 0.0
    squares: float = 0.0

    def add(self, block: Values) -> None:
        """Add a sorted block without NaN and infinities."""
        if not len(block):
            return
        if self.pivot is None:
            self.pivot = block[len(block) // 2]
        self.count += len(block)
        for start in range(0, len(block), _SLICE):
            with np.errstate(over="ignore", invalid="ignore"):
                away = _away(block[start : start + _SLICE], self.pivot)
                self.sum += float(np.sum(away))
                self.squares += float(np.dot(away, away))

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a sample; None for fewer than two values and where it is beyond a double."""
        if self.count < 2:  # noqa: PLR2004 - one value deviates from nothing
            return None
        left = self.squares - self.sum / self.count * self.sum
        found = float(np.sqrt(max(left, 0.0) / (self.count - 1))) if np.isfinite(left) else np.inf
        return found if np.isfinite(found) else None


@dataclass(slots=True)
class Middle:
    """The median of sorted blocks: exact for one block, else within `error` of the middle by rank."""

    first: Values | None = None
    samples: list[tuple[Values, float]] | None = None

    def add(self, block: Values) -> None:
        """Add a sorted block; the first is kept by reference."""
        if not len(block):
            return
        if self.first is None:
            self.first = block
            return
        if self.samples is None:
            self.samples = [_sampled(self.first)]
            self.first = block[:0].copy()
        self.samples.append(_sampled(block))

    @property
    def error(self) -> float:
        """The largest distance from the middle, as a part of all ranks."""
        return 0.0 if self.samples is None else 1 / _SAMPLES

    def around(self) -> tuple[Any, Any] | None:
        """The two values in the middle, which are one where their number is odd; None without values."""
        if self.first is None:
            return None
        if self.samples is None:
            half = len(self.first)
            return self.first[(half - 1) // 2], self.first[half // 2]
        values = np.concatenate([values for values, _ in self.samples])
        weights = np.concatenate([np.full(len(v), weight) for v, weight in self.samples])
        order = np.argsort(values, kind="stable")
        ranks = np.cumsum(weights[order])
        found = values[order][int(np.searchsorted(ranks, ranks[-1] / 2))]
        return found, found


def sort(block: Values) -> None:
    """Sort in place, without NaN. What is in order already, or lies close together, takes a tenth of the time."""
    if _is_sorted(block):
        return
    if block.dtype != np.float64:
        low, high = block.min().item(), block.max().item()
        if high - low < len(block) // _COUNTED_SHARE:
            _count(block, low, high)
            return
    block.sort()


def _is_sorted(block: Values) -> bool:
    """Whether each value is at least that before it; where it is not so, the first few mostly tell."""
    for start in range(1, len(block), _SLICE):
        end = min(start + _SLICE, len(block))
        if not np.all(block[start:end] >= block[start - 1 : end - 1]):
            return False
    return True


def _count(block: Values, low: int, high: int) -> None:
    """Sort whole numbers between these by how often each occurs, with little memory beside the block."""
    first = block.dtype.type(low)
    counts = np.zeros(high - low + 1, np.int64)
    for start in range(0, len(block), _SLICE):
        part = (block[start : start + _SLICE] - first).view(np.int64)
        counts += np.bincount(part, minlength=len(counts))
    values = np.flatnonzero(counts)
    block[:] = 0
    block[0] = low
    block[np.cumsum(counts[values])[:-1]] = np.diff(values)
    np.cumsum(block, out=block)


def _sampled(block: Values) -> tuple[Values, float]:
    """Values in the middles of equal runs of ranks, and how many ranks each stands for."""
    wanted = min(_SAMPLES, len(block))
    places = ((np.arange(wanted) + 0.5) * (len(block) / wanted)).astype(np.int64)
    return block[places], len(block) / wanted


def _firsts(block: Values) -> npt.NDArray[np.bool_]:
    """Which values of a sorted block are not that before them."""
    is_first = np.empty(len(block), np.bool_)
    is_first[0] = True
    np.not_equal(block[1:], block[:-1], out=is_first[1:])
    return is_first


def _top(block: Values, wanted: int) -> tuple[int, list[tuple[Any, int]]]:
    """How many different values a sorted block has, and the most frequent ones, with little memory beside it."""
    distinct, singles = 0, list[int]()
    starts, ends = [], []  # of those that occur several times
    for at in range(0, len(block), _SLICE):
        is_border = _borders(block, at)
        is_first, is_last = is_border[:-1], is_border[1:]
        distinct += int(np.count_nonzero(is_first))
        starts.append(np.flatnonzero(is_first > is_last) + at)
        ends.append(np.flatnonzero(is_first < is_last) + at)
        if len(singles) < wanted:
            found = np.flatnonzero(is_first & is_last)[: wanted - len(singles)] + at
            singles += found.tolist()
    several = np.concatenate(starts)
    best = _largest(block[several], np.concatenate(ends) - several + 1, wanted)
    best.sort(key=lambda each: (-each[1], each[0]))
    best += [(block[at].item(), 1) for at in singles[: wanted - len(best)]]
    return distinct, best


def _borders(block: Values, at: int) -> npt.NDArray[np.bool_]:
    """Before which values of a slice of a sorted block, and behind its last, another one begins."""
    end = min(at + _SLICE, len(block))
    is_border = np.ones(end - at + 1, np.bool_)
    first, last = max(at, 1), min(end + 1, len(block))
    np.not_equal(
        block[first:last], block[first - 1 : last - 1], out=is_border[first - at : last - at]
    )
    return is_border


def _runs(block: Values) -> tuple[Values, Counts]:
    """Different values of a sorted block, and how often each is there."""
    is_first = _firsts(block)
    starts = np.flatnonzero(is_first)
    if len(starts) == len(block):
        return block, np.ones(len(block), np.int64)
    counts = np.empty(len(starts), np.int64)
    np.subtract(starts[1:], starts[:-1], out=counts[:-1])
    counts[-1] = len(block) - starts[-1]
    return block[starts], counts


def _merged(parts: list[tuple[Values, Counts]]) -> tuple[Values, Counts]:
    values = np.concatenate([values for values, _ in parts])
    counts = np.concatenate([counts for _, counts in parts])
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    return values[starts], np.add.reduceat(counts, starts)


def _largest(values: Values, counts: Counts, wanted: int) -> list[tuple[Any, int]]:
    """The values with the largest counts; of those that tie for the last place the smallest."""
    if len(values) > wanted:
        least = np.partition(counts, len(counts) - wanted)[len(counts) - wanted]
        above = np.flatnonzero(counts > least)
        tied = np.flatnonzero(counts == least)[: wanted - len(above)]
        chosen = np.concatenate([above, tied])
        values, counts = values[chosen], counts[chosen]
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _mixed(values: Values) -> npt.NDArray[np.uint64]:
    """A hash whose upper bits depend on all bits of the value (the finalizer of SplitMix64)."""
    mixed = np.ascontiguousarray(values).view(np.uint64).copy()
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _away(block: Values, pivot: Any) -> npt.NDArray[np.float64]:
    """How far each value is from the pivot; exact for whole numbers whose range fits in 63 bits."""
    away: npt.NDArray[np.float64]
    if block.dtype != np.float64:
        ends = (int(block[0]) - int(pivot), int(block[-1]) - int(pivot))
        if max(map(abs, ends)) < 2**63:
            away = (block.view(np.int64) - pivot.view(np.int64)).astype(np.float64)
            return away
    away = block.astype(np.float64) - np.float64(pivot)
    return away
