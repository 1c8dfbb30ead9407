"""How far a script job is: what its finished steps left, kept in its checkpoint for the next attempt to go on from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeVar

from base.errors import InvalidInput
from base.tables import ColumnType
from services.leases import Progress
from workers.sandbox.messages import ColumnIn

COLUMNS_MAX = 10_000
ROWS_MAX = 2**53  # a number that is larger was made up
T = TypeVar("T")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a finished step left: an Arrow IPC object, and what the step's process told of it, which may be untrue."""

    key: str
    size_bytes: int
    rows_in: int
    rows_out: int
    columns: tuple[ColumnIn, ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `asdict`."""
        return cls(**value | {"columns": tuple(map(_column, value["columns"]))})


@dataclass(slots=True)
class ScriptState:
    """The outputs of the finished steps, of `step_count`; the first step is given `rows` rows.

    Of all outputs only the last one is still stored.
    """

    step_count: int
    rows: int
    outputs: list[StepOutput] = field(default_factory=list)

    @property
    def rows_given(self) -> int:
        """Rows that the step reads which comes next."""
        return self.outputs[-1].rows_out if self.outputs else self.rows

    def progress(self, message: str, done: float = 0.0) -> Progress:
        """For the job row, in rows that steps have read; `done` is the share of the running step."""
        read = sum(output.rows_in for output in self.outputs)
        left = self.step_count - len(self.outputs)
        now = int(self.rows_given * min(max(done, 0.0), 1.0)) if left else 0
        size_bytes = sum(output.size_bytes for output in self.outputs)
        return Progress(read + now, size_bytes, read + left * self.rows_given, message)

    def to_json(self) -> dict[str, Any]:
        """What `Job.checkpoint` holds."""
        return {"outputs": [asdict(output) for output in self.outputs]}

    @classmethod
    def of(cls, checkpoint: dict[str, Any] | None, step_count: int, rows: int) -> Self:
        """Where the last attempt got to, or the start."""
        outputs = checkpoint["outputs"] if checkpoint else []
        return cls(step_count, rows, [StepOutput.from_json(each) for each in outputs])


def output_of(answer: object, key: str, size_bytes: int, what: str) -> StepOutput:
    """A step's output as its process told it; raises InvalidInput for an answer that only a tampered one gives."""
    try:
        rows_in, rows_out = (_rows(_of(dict, answer)[name]) for name in ("rows_in", "rows_out"))
        columns = _of(list, _of(dict, answer)["columns"])
        _rows(len(columns), COLUMNS_MAX)
        return StepOutput(key, size_bytes, rows_in, rows_out, tuple(map(_column, columns)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"The process of {what} gave an answer that is none.",
            hint="A script must leave the process alone that runs it.",
        ) from error


def _of(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"no {kind.__name__}")
    return value


def _rows(value: object, count_max: int = ROWS_MAX) -> int:
    count = _of(int, value)
    if not 0 <= count <= count_max:
        raise ValueError("no such number")
    return int(count)


def _column(value: Any) -> ColumnIn:
    name, has_nulls = _of(str, value["name"]), value.get("has_nulls")
    if _UNSTORABLE.search(name):
        raise ValueError("no name")
    known = None if has_nulls is None else bool(has_nulls)
    return ColumnIn(name, ColumnType(value["type"]), known)
