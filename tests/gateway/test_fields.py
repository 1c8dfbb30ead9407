"""Fields: what is read of a request, and what its document says of them."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from gateway.fields import Field, object_schema, read

STEPS = Field(
    "steps",
    "array",
    "Steps.",
    items=Field(
        "step",
        "object",
        "",
        fields=(
            Field("key", "string", "", required=True),
            Field("exec_order", "integer", "", default=0),
        ),
    ),
)


def value_of(field: Field, given: Any, *, is_text: bool = False) -> tuple[Any, list[str]]:
    values, problems = read((field,), {}, {}, {field.name: given}, is_text=is_text)
    return values.get(field.name), [f"{problem.field} {problem.rule}" for problem in problems]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "17", 17),
        ("integer", "-3", -3),
        ("number", "1.5", 1.5),
        ("boolean", "TRUE", True),
        ("boolean", "0", False),
        ("array", '["a"]', ["a"]),
        ("object", '{"a": 1}', {"a": 1}),
        ("string", "17", "17"),
    ],
)
def test_texts_of_forms_and_queries_become_what_the_field_says(
    kind: Any, text: str, value: Any
) -> None:
    assert value_of(Field("it", kind, ""), text, is_text=True) == (value, [])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.0"),
        ("integer", "١٢"),
        ("integer", "9" * 30),
        ("integer", "--1"),
        ("number", "NaN"),
        ("number", "1e999"),
        ("boolean", "yes!"),
        ("array", "[1"),
        ("object", "[]"),
        ("file", "no file"),
    ],
)
def test_texts_that_stand_for_nothing_of_the_kind_are_refused(kind: Any, text: str) -> None:
    assert value_of(Field("it", kind, ""), text, is_text=True) == (None, ["it type"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "17"),
        ("integer", True),
        ("integer", 1.0),
        ("integer", 2**63),
        ("number", "1"),
        ("boolean", 1),
        ("string", 1),
        ("array", {}),
        ("object", []),
    ],
)
def test_json_has_to_have_the_type_already(kind: Any, value: Any) -> None:
    assert value_of(Field("it", kind, ""), value) == (None, ["it type"])


def test_limits_and_choices_are_kept() -> None:
    assert value_of(Field("it", "integer", "", least=1, most=5), 0) == (0, ["it least"])
    assert value_of(Field("it", "integer", "", least=1, most=5), 6) == (6, ["it most"])
    assert value_of(Field("it", "string", "", chars_max=2), "abc") == ("abc", ["it chars_max"])
    assert value_of(Field("it", "string", "", blank=False), "  ") == ("  ", ["it blank"])
    assert value_of(Field("it", "string", "", choices=("a", "b")), "c") == ("c", ["it choices"])
    assert value_of(Field("it", "string", ""), None) == (None, ["it null"])
    assert value_of(Field("it", "string", "", nullable=True), None) == (None, [])


def test_what_is_left_out_is_missing_or_its_default() -> None:
    required = Field("a", "string", "", required=True)
    usual = Field("b", "integer", "", default=10)
    free = Field("c", "string", "")

    values, problems = read((required, usual, free), {}, {}, {}, is_text=False)

    assert values == {"b": 10}
    assert [(problem.field, problem.rule) for problem in problems] == [("a", "required")]


def test_an_empty_text_of_a_form_is_a_number_left_out() -> None:
    assert value_of(Field("it", "integer", ""), "", is_text=True) == (None, [])
    assert value_of(Field("it", "integer", "", required=True), "", is_text=True) == (
        None,
        ["it required"],
    )


def test_mistakes_within_lists_are_told_with_their_place() -> None:
    assert value_of(STEPS, [{"key": "a"}, {"exec_order": "x"}]) == (
        [{"key": "a", "exec_order": 0}, {"exec_order": None}],
        ["steps.1.key required", "steps.1.exec_order type"],
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (STEPS, [{"key": "a", "more": 1}]),
        (STEPS, [{"exec_order": 1}]),
        (Field("it", "string", "", choices=("a",), nullable=True), None),
        (Field("it", "string", "", choices=("a",)), "b"),
        (Field("it", "integer", "", least=1, most=5), 6),
        (Field("it", "string", "", blank=False), ""),
        (Field("it", "number", "", nullable=True), None),
    ],
)
def test_the_schema_takes_what_is_read_without_a_problem(field: Field, value: Any) -> None:
    schema = object_schema((field,))

    _, problems = value_of(field, value)

    assert jsonschema_rs.is_valid(schema, {field.name: value}) == (problems == [])
