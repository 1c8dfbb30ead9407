"""How far a script job is: what its finished steps left, kept in its checkpoint for the next attempt to go on from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
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
class Piece:
    """An Arrow IPC object, and how many rows its writer said it has."""

    key: str
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a finished step left, in one piece or one of each partition, as its processes told, which may be untrue."""

    pieces: tuple[Piece, ...]
    rows_in: int
    columns: tuple[ColumnIn, ...]

    @property
    def rows_out(self) -> int:
        """Rows of all pieces."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def size_bytes(self) -> int:
        """Bytes of all pieces."""
        return sum(piece.size_bytes for piece in self.pieces)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `asdict`."""
        pieces = tuple(Piece(**piece) for piece in value["pieces"])
        return cls(pieces, value["rows_in"], tuple(map(_column, value["columns"])))


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
        piece = Piece(key, size_bytes, rows_out)
        return StepOutput((piece,), rows_in, tuple(map(_column, columns)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"The process of {what} gave an answer that is none.",
            hint="A script must leave the process alone that runs it.",
        ) from error


def together(outputs: Sequence[StepOutput], what: str) -> StepOutput:
    """What all partitions left of a step, in their order, as one output with the columns of the first.

    Raises InvalidInput where the columns are others, or a type does not go with that of another partition.
    """
    names = [column.name for column in outputs[0].columns]
    found = [{column.name: column for column in output.columns} for output in outputs]
    for partition, columns in enumerate(found, 1):
        lost = [name for name in names if name not in columns]
        added = [name for name in columns if name not in names]
        if lost or added:
            told = f"lacks the column {lost[0]!r}" if lost else f"has another column, {added[0]!r}"
            raise InvalidInput(
                f"{what}: the result of partition {partition} {told}; all have the columns of the first."
            )
    return StepOutput(
        tuple(piece for output in outputs for piece in output.pieces),
        sum(output.rows_in for output in outputs),
        tuple(_common([columns[name] for columns in found], what) for name in names),
    )


def _common(columns: Sequence[ColumnIn], what: str) -> ColumnIn:
    """A column of one step, in all partitions. The Arrow types are looked at where the pieces are read."""
    full = [
        (partition, column.type)
        for partition, column in enumerate(columns, 1)
        if column.has_values is not False
    ]
    first, kind = full[0] if full else (1, columns[0].type)
    for partition, other in full:
        common = kind if other is kind else _COMMON.get(frozenset({kind, other}))
        if common is None:
            raise InvalidInput(
                f"{what}: the column {columns[0].name!r} is {kind.name} in partition {first}, and {other.name} in"
                f" partition {partition}.",
                hint="Give the column one type in every partition, as by .astype.",
            )
        first, kind = (first, kind) if common is kind else (partition, common)
    return ColumnIn(columns[0].name, kind, _any(each.has_nulls for each in columns), bool(full))


def _any(known: Iterable[bool | None]) -> bool | None:
    """Whether any is true; None where that is not known."""
    found = set(known)
    return True if True in found else None if None in found else False


_TEXTS = (ColumnType.TEXT, ColumnType.UUID, ColumnType.JSON, ColumnType.DURATION)
_COMMON = {
    frozenset({ColumnType.INTEGER, ColumnType.DECIMAL}): ColumnType.DECIMAL,
    frozenset({ColumnType.INTEGER, ColumnType.FLOAT}): ColumnType.FLOAT,
} | {frozenset(pair): ColumnType.TEXT for pair in combinations(_TEXTS, 2)}


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
    name = _of(str, value["name"])
    if _UNSTORABLE.search(name):
        raise ValueError("no name")
    known = (value.get(each) for each in ("has_nulls", "has_values"))
    return ColumnIn(
        name, ColumnType(value["type"]), *(None if each is None else bool(each) for each in known)
    )
