"""What a step's process tells of its output: taken where it makes sense, and kept for the next attempt."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from base.errors import InvalidInput
from base.tables import ColumnType
from workers.outputs import Piece, ScriptState, StepOutput, output_of
from workers.sandbox.messages import ColumnIn

TOLD: dict[str, Any] = {
    "rows_in": 10,
    "rows_out": 4,
    "size_bytes": 1,
    "columns": [{"name": "a", "type": "uuid", "has_nulls": False}, {"name": "b", "type": "text"}],
}
OUTPUT = StepOutput(
    (Piece("k", 99, 4),),
    10,
    (ColumnIn("a", ColumnType.UUID, False), ColumnIn("b", ColumnType.TEXT)),
)


def test_an_answer_that_makes_sense_is_taken_with_the_size_that_we_saw() -> None:
    assert output_of(TOLD, "k", 99, "x.py") == OUTPUT


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [1],
        "text",
        {},
        *(
            TOLD | each
            for each in (
                {"rows_in": -1},
                {"rows_out": "many"},
                {"rows_out": 2**80},
                {"rows_out": math.nan},
                {"rows_in": None},
                {"columns": None},
                {"columns": [1]},
                {"columns": ["name"]},
                {"columns": [{"name": "a"}]},
                {"columns": [{"name": 1, "type": "text"}]},
                {"columns": [{"name": "a", "type": "no type"}]},
                {"columns": [{"name": "a", "type": []}]},
                {"columns": [{"name": "a\0", "type": "text"}]},
                {"columns": [{"name": "\ud800", "type": "text"}]},
                {"columns": [{"name": "a", "type": "text"}] * 10_001},
            )
        ),
    ],
)
def test_an_answer_that_makes_none_is_the_script_s_error(wrong: object) -> None:
    with pytest.raises(InvalidInput, match=r"^The process of x\.py gave an answer that is none\.$"):
        output_of(wrong, "k", 99, "x.py")


def test_the_next_attempt_goes_on_from_what_was_kept() -> None:
    state = ScriptState(3, 10, [OUTPUT])

    again = ScriptState.of(orjson.loads(orjson.dumps(state.to_json())), 3, 10)

    assert again == state
    assert again.rows_given == 4
    assert ScriptState.of(None, 3, 10) == ScriptState(3, 10, [])


def test_progress_counts_what_steps_have_read() -> None:
    state = ScriptState(3, 10)
    shown = [state.progress("m", 0.5)]
    state.outputs.append(OUTPUT)
    shown += [state.progress("m"), state.progress("m", 0.25), state.progress("m", 7.0)]
    state.outputs += [OUTPUT, OUTPUT]
    shown += [state.progress("m", 1.0)]

    assert [(each.rows_done, each.rows_total) for each in shown] == [
        (5, 30),
        (10, 18),
        (11, 18),
        (14, 18),
        (30, 30),
    ]
