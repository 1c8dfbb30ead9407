"""Counting 64-bit values: the same in memory as in files, in one block as in many."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.snapshots.counting import _SLICE, Moments, Runs, sort


@given(
    blocks=st.lists(
        st.lists(st.integers(-50, 50) | st.integers(-(2**63), 2**63 - 1), max_size=40), max_size=8
    ),
    held=st.sampled_from([4, 16, 1000]),
)
@settings(max_examples=100)
def test_counts_are_the_same_in_memory_and_in_files(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[int]], held: int
) -> None:
    folder = tmp_path_factory.mktemp("counting")
    runs = Runs(folder, held)
    for block in blocks:
        runs.add(np.array(sorted(block), np.int64))
    counted = Counter(value for block in blocks for value in block)
    expected = sorted(counted.items(), key=lambda each: (-each[1], each[0]))

    assert runs.top(7) == (len(counted), expected[:7])

    runs.close()
    assert list(folder.iterdir()) == []


def test_moments_of_several_blocks_are_those_of_all() -> None:
    values = np.sort(np.random.default_rng(7).normal(1e6, 3.0, 10_000))
    moments = Moments()
    for block in np.array_split(values, 7):
        moments.add(block)

    assert moments.deviation == pytest.approx(float(np.std(values, ddof=1)), rel=1e-9)


@given(st.lists(st.integers(0, 6) | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60))
@settings(max_examples=200)
def test_a_single_block_is_counted_as_several_are(
    tmp_path_factory: pytest.TempPathFactory, values: list[int]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    one, several = Runs(folder, 1000), Runs(folder, 1000)
    one.add(np.array(sorted(values), np.int64))
    for value in values:
        several.add(np.array([value], np.int64))

    for wanted in (1, 3, 10):
        assert one.top(wanted) == several.top(wanted)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
@pytest.mark.parametrize("low", [0, 5, 2**62])
@pytest.mark.parametrize("width", [1, 9, 1000])
@pytest.mark.parametrize("size", [0, 1, 2, 100, 3000])
def test_narrow_wide_and_ordered_blocks_are_sorted(
    dtype: str, low: int, width: int, size: int
) -> None:
    block = (np.random.default_rng(size).integers(0, width, size) + low).astype(dtype)
    if dtype == "int64":
        block = -block
    expected = np.sort(block)

    for made in (block, expected.copy()):
        sort(made)
        assert made.tolist() == expected.tolist()


@pytest.mark.parametrize("more", [-1, 0, 1, 2])
@pytest.mark.parametrize("width", [3, 1000, _SLICE, 10 * _SLICE])
def test_a_block_of_several_slices_is_counted_as_one(tmp_path: Path, width: int, more: int) -> None:
    block = np.sort(np.random.default_rng(width).integers(0, width, 2 * _SLICE + more))
    counted = Counter(block.tolist())
    expected = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    runs = Runs(tmp_path, 2 * len(block))
    runs.add(block)

    assert runs.top(10) == (len(counted), expected[:10])
    assert runs.top(len(block)) == (len(counted), expected)


@pytest.mark.parametrize("at", [-1, 0, 1])
def test_two_values_in_the_wrong_order_between_slices_are_sorted(at: int) -> None:
    block = np.arange(3 * _SLICE) * 1000
    block[[_SLICE + at - 1, _SLICE + at]] = block[[_SLICE + at, _SLICE + at - 1]]
    sort(block)

    assert block.tolist() == list(range(0, 3000 * _SLICE, 1000))
