"""The statistics of a stored table, as its sync computed them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from services.platform import Platform
from storage.snapshots.manifest import StoredFile, StoredTable

CACHE_BYTES_MAX = 16 * 1024**2  # of stored profiles; as objects they take a few times that


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value, as a cell, and how many rows have it."""

    value: Any
    count: int


@dataclass(frozen=True, slots=True)
class Bin:
    """How many values lie from `lower` up to, but without, `upper`, which are cells."""

    lower: Any
    upper: Any
    count: int


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """The statistics of one column; `storage.snapshots.profile` defines each of them."""

    column: str
    count: int
    nulls: int
    distinct: int | None
    distinct_is_exact: bool
    min: Any
    max: Any
    mean: float | None
    stddev: float | None
    median: float | None
    top: tuple[ValueCount, ...]
    histogram: tuple[Bin, ...]
    method: str | None


# Profiles by what identifies their bytes. An object never changes; the hash tells objects of several stores apart.
_CACHE: OrderedDict[tuple[str, str], tuple[int, tuple[ColumnProfile, ...]]] = OrderedDict()


async def profile(platform: Platform, stored: StoredTable) -> tuple[ColumnProfile, ...]:
    """The statistics of every column, in the table's order; empty where none were computed. Raises NotFound."""
    file = stored.profile
    if file is None:
        return ()
    key = (file.key, file.sha256)
    known = _CACHE.get(key)
    if known is None:
        known = _CACHE[key] = (file.size_bytes, await _read(platform, file))
        while len(_CACHE) > 1 and sum(size for size, _ in _CACHE.values()) > CACHE_BYTES_MAX:
            _CACHE.popitem(last=False)
    if key in _CACHE:
        _CACHE.move_to_end(key)
    return known[1]


async def _read(platform: Platform, file: StoredFile) -> tuple[ColumnProfile, ...]:
    text = b"".join([chunk async for chunk in platform.store.open(file.key)])
    return tuple(map(_column, orjson.loads(text)["columns"]))


def _column(value: dict[str, Any]) -> ColumnProfile:
    return ColumnProfile(
        column=value["column"],
        count=value["count"],
        nulls=value["nulls"],
        distinct=value["distinct"],
        distinct_is_exact=value["distinctIsExact"],
        min=value["min"],
        max=value["max"],
        mean=value["mean"],
        stddev=value["stddev"],
        median=value["median"],
        top=tuple(ValueCount(**each) for each in value["top"]),
        histogram=tuple(Bin(**each) for each in value["histogram"]),
        method=value["method"],
    )
