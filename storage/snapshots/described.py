"""What a profile tells of one column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TOP_MAX = 10
EXACT = "Everything is exact, over every row."


@dataclass(slots=True)
class Described:
    """What is known of a column; `to_json` is the stored form."""

    column: str
    count: int = 0
    nulls: int = 0
    distinct: int | None = 0
    distinct_is_exact: bool = True
    min: Any = None
    max: Any = None
    mean: float | None = None
    stddev: float | None = None
    median: float | None = None
    top: list[dict[str, Any]] = field(default_factory=list)
    histogram: list[dict[str, Any]] = field(default_factory=list)
    method: list[str] = field(default_factory=list)

    def set_top(self, counted: Sequence[tuple[Any, int]]) -> None:
        """Set the top values from candidates, those that tie in their order."""
        least = 1 if (self.distinct or 0) <= TOP_MAX else 2
        best = sorted((each for each in counted if each[1] >= least), key=lambda each: -each[1])
        self.top = [{"value": value, "count": count} for value, count in best[:TOP_MAX]]

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "column": self.column,
            "count": self.count,
            "nulls": self.nulls,
            "distinct": self.distinct,
            "distinctIsExact": self.distinct_is_exact,
            "min": self.min,
            "max": self.max,
            "mean": self.mean,
            "stddev": self.stddev,
            "median": self.median,
            "top": self.top,
            "histogram": self.histogram,
            "method": " ".join(self.method or [EXACT]),
        }
