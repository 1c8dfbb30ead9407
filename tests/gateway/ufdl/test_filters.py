"""Filter specs: what they become in GraphQL, and what is none."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from gateway.failures import Failure
from gateway.ufdl import filters, specs

NAMED: dict[str, Any] = {"type": "exact", "field": "name", "value": "Rivers"}
OLD: dict[str, Any] = {"type": "compare", "field": "pk", "operator": "<", "value": 9}
ABSENT: dict[str, Any] = {"type": "isnull", "field": "creator"}
RIVERS = {"name": {"eq": "Rivers", "ignoreCase": False}}
NOTHING: dict[str, Any] = {"or": []}
KEY_MAX = 2**53 - 1
SCHEMA = jsonschema_rs.validator_for(specs.SCHEMA)


def filter_of(*expressions: dict[str, Any]) -> list[Any]:
    """What the expressions become, each by itself."""
    spec = {"expressions": list(expressions)}
    assert SCHEMA.is_valid(spec), "the document describes what is taken"
    found: list[Any] = filters.variables(specs.parse(spec))["filter"]["and"]
    return found


@pytest.mark.parametrize("body", [None, {}, {"expressions": [], "order_by": []}])
def test_without_a_spec_it_is_everything_active_by_key(body: Any) -> None:
    assert filters.variables(specs.parse(body)) == {
        "filter": {"and": []},
        "orderBy": [{"field": "PK", "direction": "ASC"}],
    }


def test_inactive_ones_are_let_in() -> None:
    spec = specs.parse({"include_inactive": True})

    assert filters.variables(spec)["filter"] == {"and": [], "deleted": None}


def test_expressions_nest_and_may_be_inverted_at_every_level() -> None:
    both = {"type": "and", "sub_expressions": [NAMED, {**OLD, "invert": True}], "invert": True}
    either = {"type": "or", "sub_expressions": [both, ABSENT], "invert": True}

    assert filter_of(either, NAMED) == [
        {
            "not": {
                "or": [
                    {"not": {"and": [RIVERS, {"not": {"pk": {"lt": 9}}}]}},
                    {"creator": {"isNull": True}},
                ]
            }
        },
        RIVERS,
    ]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ({**NAMED, "value": 12}, {"name": {"eq": "12", "ignoreCase": False}}),
        ({**NAMED, "value": True}, {"name": {"eq": "True", "ignoreCase": False}}),
        ({**NAMED, "case_insensitive": True}, {"name": {"eq": "Rivers", "ignoreCase": True}}),
        (
            {"type": "contains", "field": "team.name", "sub_string": "iv"},
            {"team": {"name": {"contains": "iv", "ignoreCase": False}}},
        ),
        (
            {
                "type": "contains",
                "field": "creator.username",
                "sub_string": "iv",
                "case_insensitive": True,
            },
            {"creator": {"username": {"contains": "iv", "ignoreCase": True}}},
        ),
        ({**OLD, "field": "name", "value": "M", "operator": ">="}, {"name": {"gte": "M"}}),
        ({"type": "is_null", "field": "deletion_time"}, {"deletedAt": {"isNull": True}}),
        ({"type": "isnull", "field": "creator.username"}, {"creator": {"isNull": True}}),
        ({"type": "isnull", "field": "team.name"}, NOTHING),
    ],
)
def test_texts_and_nulls(expression: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert filter_of(expression) == [wanted]


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("pk", lambda key: {"pk": key}),
        ("id", lambda key: {"pk": key}),
        ("team", lambda key: {"team": {"pk": key}}),
        ("team__pk", lambda key: {"team": {"pk": key}}),
        ("team.pk", lambda key: {"team": {"pk": key}}),
        ("creator", lambda key: {"creator": {"pk": key}}),
        ("creator.id", lambda key: {"creator": {"pk": key}}),
    ],
)
def test_keys_have_several_names(field: str, place: Any) -> None:
    assert filter_of({"type": "exact", "field": field, "value": "17"}) == [place({"eq": 17})]


@pytest.mark.parametrize(
    ("operator", "value", "key"),
    [
        ("=", 7, {"eq": 7}),
        ("=", 7.0, {"eq": 7}),
        ("=", True, {"eq": 1}),
        ("=", 7.5, None),
        ("=", 2**60, None),
        ("<", 7.5, {"lte": 7}),
        ("<=", 7.5, {"lte": 7}),
        (">", 7.5, {"gt": 7}),
        (">=", 7.5, {"gt": 7}),
        ("<", 2**60, {"lte": KEY_MAX}),
        (">", 1e30, {"gt": KEY_MAX}),
        ("<=", -1e30, {"lt": -KEY_MAX}),
        (">=", -(2**60), {"gte": -KEY_MAX}),
    ],
)
def test_keys_are_held_against_any_number(
    operator: str, value: float, key: dict[str, int] | None
) -> None:
    exact = {"type": "exact", "field": "pk", "value": value}
    compared = {**OLD, "operator": operator, "value": value}

    wanted = NOTHING if key is None else {"pk": key}
    assert filter_of(exact if operator == "=" else compared) == [wanted]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T13:28:56.123000+00:00", "2026-11-21T13:28:56.123000+00:00"),
        ("2026-11-22T02:28:56.123456+13:00", "2026-11-21T13:28:56.123456+00:00"),
        ("2026-11-21T13:28:56Z", "2026-11-21T13:28:56+00:00"),
        ("2026-11-21 13:28", "2026-11-21T13:28:00+00:00"),
        ("2026-11-21", "2026-11-21T00:00:00+00:00"),
    ],
)
def test_times_are_in_utc_where_they_name_no_zone(text: str, time: str) -> None:
    expression = {"type": "exact", "field": "creation_time", "value": text}

    assert filter_of(expression) == [{"createdAt": {"eq": time}}]


def test_an_order_says_direction_and_nulls_or_leaves_nulls_open() -> None:
    spec = {
        "order_by": [
            {"field": "team.name"},
            {"field": "creator", "ascending": False, "nulls_first": True},
            {"field": "deletion_time", "nulls_first": False},
        ]
    }

    assert SCHEMA.is_valid(spec)
    assert filters.variables(specs.parse(spec))["orderBy"] == [
        {"field": "TEAM_NAME", "direction": "ASC"},
        {"field": "CREATOR", "direction": "DESC", "nulls": "FIRST"},
        {"field": "DELETED_AT", "direction": "ASC", "nulls": "LAST"},
    ]


AND = {"type": "and", "sub_expressions": [NAMED, OLD]}
OR = {"type": "or", "sub_expressions": [NAMED, OLD]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], "This has to be an object."),
        ("rivers", "This has to be an object."),
        ({"expression": []}, "`expression` is not known here; there are expressions, order_by,"),
        ({"expressions": None}, "`expressions` may not be null."),
        ({"expressions": {}}, "`expressions` has to be of type array."),
        ({"include_inactive": 1}, "`include_inactive` has to be of type boolean."),
        ({"expressions": [1]}, "expressions[0]: `type` has to be one of and, or, exact, contains,"),
        ({"expressions": [{"type": "like"}]}, "expressions[0]: `type` has to be one of and, or,"),
        ({"expressions": [{"type": ["or"]}]}, "expressions[0]: `type` has to be one of and, or,"),
        ({"expressions": [NAMED, NAMED | {"values": 1}]}, "expressions[1]: `values` is not known"),
        ({"expressions": [NAMED | {"value": None}]}, "expressions[0]: `value` has to be a text,"),
        ({"expressions": [NAMED | {"value": [1]}]}, "expressions[0]: `value` has to be a text,"),
        ({"expressions": [{"type": "exact", "field": "name"}]}, "`value` is missing."),
        ({"expressions": [{"type": "exact", "value": "x"}]}, "`field` is missing."),
        ({"expressions": [NAMED | {"field": "nam"}]}, "`field` has to be one of pk, id, name,"),
        ({"expressions": [NAMED | {"field": "team.x"}]}, "`field` has to be one of pk, id, name,"),
        ({"expressions": [NAMED | {"invert": "no"}]}, "`invert` has to be of type boolean."),
        ({"expressions": [NAMED | {"case_insensitive": 0}]}, "`case_insensitive` has to be of"),
        ({"expressions": [OLD | {"operator": "="}]}, "`operator` has to be one of <, >, <=, >=."),
        ({"expressions": [OLD | {"case_insensitive": True}]}, "`case_insensitive` is not known"),
        (
            {"expressions": [{"type": "contains", "field": "name", "sub_string": ""}]},
            "expressions[0]: `sub_string` may not be empty.",
        ),
        (
            {"expressions": [OR | {"sub_expressions": [NAMED]}]},
            "expressions[0]: `sub_expressions` has to have at least 2 items.",
        ),
        (
            {"expressions": [AND | {"sub_expressions": []}]},
            "expressions[0]: `sub_expressions` has to have at least 2 items.",
        ),
        (
            {"expressions": [AND | {"sub_expressions": [NAMED, AND]}]},
            "expressions[0].sub_expressions[1]: `type` has to be one of exact, contains, compare,",
        ),
        (
            {"expressions": [OR | {"sub_expressions": [NAMED, OR]}]},
            "expressions[0].sub_expressions[1]: `type` has to be one of and, exact, contains,",
        ),
        ({"order_by": ["name"]}, "order_by[0]: This has to be an object."),
        ({"order_by": [{"field": "name", "descending": True}]}, "order_by[0]: `descending` is not"),
        ({"order_by": [{"field": "name", "nulls_first": None}]}, "`nulls_first` may not be null."),
    ],
)
def test_whatever_else_is_no_spec(spec: Any, message: str) -> None:
    with pytest.raises(Failure) as refused:
        specs.parse(spec)

    assert refused.value.code == specs.UNPARSABLE
    assert message in refused.value.message
    assert not SCHEMA.is_valid(spec), "the document does not describe what is refused"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (OLD | {"value": "nine"}, "expressions[0]: `pk` takes a whole number."),
        (OLD | {"value": "9" * 5000}, "expressions[0]: `pk` takes a whole number."),
        (OLD | {"field": "creation_time"}, "`creation_time` takes a time such as 2026-11-21T"),
        (NAMED | {"field": "deletion_time", "value": True}, "`deletion_time` takes a time such as"),
        (NAMED | {"field": "deletion_time", "value": "soon"}, "`deletion_time` takes a time such"),
        (
            NAMED | {"field": "creation_time", "value": "0001-01-01T00:00+14:00"},
            "`creation_time` takes a time such as",
        ),
        (
            {"type": "contains", "field": "team", "sub_string": "1"},
            "expressions[0]: `team` is no text, which could contain another.",
        ),
    ],
)
def test_a_value_has_to_suit_its_field(expression: dict[str, Any], message: str) -> None:
    spec = specs.parse({"expressions": [expression]})

    with pytest.raises(Failure) as refused:
        filters.variables(spec)

    assert refused.value.code == specs.UNPARSABLE
    assert message in refused.value.message
