"""The filter spec of lists: what it may look like, and its parts as values. Whatever else is in one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from gateway import fields
from gateway.failures import Failure
from gateway.fields import Field, object_schema
from gateway.schemas import Schema, or_null
from gateway.ufdl.paths import PATHS

UNPARSABLE = "UNPARSABLE"  # the code of the failure of a body that is no filter spec
PARTS_MIN = 2
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one field: `exact`, `contains`, `compare` or `isnull`.

    `value` is what the field is held against: of `contains` the text, of `isnull` nothing.
    """

    kind: str
    field: str
    invert: bool
    place: str
    value: Value = ""
    operator: str = ""
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """`and` or `or` of other expressions."""

    kind: str
    parts: tuple[Expression, ...]
    invert: bool


Expression = Condition | Group


@dataclass(frozen=True, slots=True)
class Sorting:
    """A field to sort by; `nulls_first` is None where the request leaves it open."""

    field: str
    ascending: bool
    nulls_first: bool | None


@dataclass(frozen=True, slots=True)
class Spec:
    """All expressions have to hold."""

    expressions: tuple[Expression, ...] = ()
    order_by: tuple[Sorting, ...] = ()
    include_inactive: bool = False


_FIELD = Field(
    "field", "string", "A field, dotted through relations.", required=True, choices=tuple(PATHS)
)
_INVERT = Field("invert", "boolean", "Takes what does not match.", default=False)
_IGNORES_CASE = Field("case_insensitive", "boolean", "Whether case is ignored.", default=False)
_PARTS = Field("sub_expressions", "array", "At least two expressions.", required=True)
_TYPE = Field("type", "string", "Which kind of expression it is.", required=True)
_NULL = (_FIELD, _INVERT)
_CONDITIONS: Mapping[str, tuple[Field, ...]] = {
    "exact": (
        _FIELD,
        Field("value", "any", "A text, a number or a boolean.", required=True),
        _IGNORES_CASE,
        _INVERT,
    ),
    "contains": (
        _FIELD,
        Field("sub_string", "string", "Part of the text.", required=True, chars_max=10_000),
        _IGNORES_CASE,
        _INVERT,
    ),
    "compare": (
        _FIELD,
        Field("operator", "string", "Which side.", required=True, choices=("<", ">", "<=", ">=")),
        Field("value", "any", "A text, a number or a boolean.", required=True),
        _INVERT,
    ),
    "isnull": _NULL,
    "is_null": _NULL,
}
_GROUP = (_PARTS, _INVERT)
_SORTING = (
    _FIELD,
    Field("ascending", "boolean", "Smallest first.", default=True),
    Field("nulls_first", "boolean", "Where those without a value are."),
)
_SPEC = (
    Field("expressions", "array", "All of them have to hold.", default=[]),
    Field("order_by", "array", "The first field decides first.", default=[]),
    Field(
        "include_inactive",
        "boolean",
        "Lets soft-deleted ones in.",
        default=False,
    ),
)


_EXAMPLE = {
    "expressions": [
        {"type": "contains", "field": "team.name", "sub_string": "birds"},
        {"type": "compare", "field": "creation_time", "operator": ">=", "value": "2026-01-01"},
    ],
    "order_by": [{"field": "name", "ascending": False}],
}


def parse(body: Any) -> Spec:
    """The filter spec that a body is; the one that lets everything active in where there is none.

    Raises Failure (`UNPARSABLE`), which says at what place it is none.
    """
    if body is None:
        return Spec()
    values = read(body, "", _SPEC)
    return Spec(
        tuple(
            _expression(each, f"expressions[{index}]", ("and", "or"))
            for index, each in enumerate(values["expressions"])
        ),
        tuple(
            _sorting(each, f"order_by[{index}]") for index, each in enumerate(values["order_by"])
        ),
        values["include_inactive"],
    )


def named(body: Any, field: str) -> Mapping[str, Any] | None:
    """The `StringFilter` of a filter spec that names one row by its `field`; None where it asks for all.

    Raises Failure (`UNPARSABLE`) for a body that is no filter spec, or one that asks for more.
    """
    values = read({} if body is None else body, "", _SPEC)
    if values["order_by"] or len(values["expressions"]) > 1:
        message = (
            f"Here is one expression at most, `exact` on `{field}`; lists of projects take all."
        )
        raise unparsable("", message)
    for each in values["expressions"]:
        given = read(each, "expressions[0]", _named(field))
        return {"eq": given["value"], "ignoreCase": given["case_insensitive"]}
    return None


def _named(field: str) -> tuple[Field, ...]:
    """What the expression of `named` has."""
    return (
        Field("type", "string", "Equality.", required=True, choices=("exact",)),
        Field("field", "string", "What is compared.", required=True, choices=(field,)),
        Field("value", "string", "The whole text.", required=True, chars_max=10_000),
        _IGNORES_CASE,
        Field("invert", "boolean", "False.", default=False, choices=(False,)),
    )


def unparsable(place: str, message: str) -> Failure:
    """The failure of what is wrong at a place of a spec."""
    return Failure(UNPARSABLE, f"{place}: {message}" if place else message)


def _expression(value: Any, place: str, groups: tuple[str, ...]) -> Expression:
    """An expression; `groups` are the kinds of groups that may be here."""
    given = value.get("type") if isinstance(value, dict) else None
    kinds = (*groups, *_CONDITIONS)
    if not isinstance(given, str) or given not in kinds:
        raise unparsable(place, f"`type` has to be one of {', '.join(kinds)}.")
    if given in groups:
        return _group(given, value, place)
    values = read(value, place, (_TYPE, *_CONDITIONS[given]))
    sought = values.get("value", values.get("sub_string", ""))
    if not isinstance(sought, Value):
        raise unparsable(place, "`value` has to be a text, a number or a boolean.")
    if given == "contains" and not sought:
        raise unparsable(place, "`sub_string` may not be empty.")
    return Condition(
        kind="isnull" if given == "is_null" else given,
        field=values["field"],
        invert=values["invert"],
        place=place,
        value=sought,
        operator=values.get("operator", ""),
        ignores_case=values.get("case_insensitive", False),
    )


def _group(kind: str, value: Any, place: str) -> Group:
    values = read(value, place, (_TYPE, *_GROUP))
    parts = values["sub_expressions"]
    if len(parts) < PARTS_MIN:
        raise unparsable(place, f"`sub_expressions` has to have at least {PARTS_MIN} items.")
    inner = ("and",) if kind == "or" else ()
    return Group(
        kind,
        tuple(
            _expression(each, f"{place}.sub_expressions[{index}]", inner)
            for index, each in enumerate(parts)
        ),
        values["invert"],
    )


def _sorting(value: Any, place: str) -> Sorting:
    values = read(value, place, _SORTING)
    return Sorting(values["field"], values["ascending"], values.get("nulls_first"))


def read(value: Any, place: str, declared: tuple[Field, ...]) -> dict[str, Any]:
    """The fields of an object that has no others; raises Failure (`UNPARSABLE`) for anything else."""
    if not isinstance(value, dict):
        raise unparsable(place, "This has to be an object.")
    names = [each.name for each in declared]
    unknown = next((name for name in value if name not in names), None)
    if unknown is not None:
        _refuse_unknown(unknown, place, names)
    values, problems = fields.read(declared, {}, {}, value, is_text=False)
    if problems:
        raise unparsable(place, problems[0].message)
    return values


def _refuse_unknown(name: str, place: str, names: list[str]) -> NoReturn:
    raise unparsable(place, f"`{name[:50]}` is not known here; there are {', '.join(names)}.")


def schema_of(declared: tuple[Field, ...], kinds: tuple[str, ...] = ()) -> Schema:
    """The JSON Schema of what `read` takes; `kinds` are what its `type` may be."""
    schema = object_schema((_TYPE, *declared) if kinds else declared)
    properties = schema["properties"]
    if kinds:
        properties["type"]["enum"] = list(kinds)
    if "value" in properties:
        properties["value"]["type"] = ["string", "number", "boolean"]
    if "sub_string" in properties:
        properties["sub_string"]["minLength"] = 1
    return schema | {"additionalProperties": False}


def _grouped(kind: str, items: list[Schema]) -> Schema:
    schema = schema_of(_GROUP, (kind,))
    schema["properties"]["sub_expressions"] |= {"minItems": PARTS_MIN, "items": {"anyOf": items}}
    return schema


def _spec_schema() -> Schema:
    tests = [schema_of(_CONDITIONS[kind], (kind,)) for kind in ("exact", "contains", "compare")]
    tests.append(schema_of(_NULL, ("isnull", "is_null")))
    all_of = _grouped("and", tests)
    any_of = _grouped("or", [all_of, *tests])
    schema = schema_of(_SPEC)
    schema["properties"]["expressions"]["items"] = {"anyOf": [any_of, all_of, *tests]}
    schema["properties"]["order_by"]["items"] = schema_of(_SORTING)
    return or_null(schema) | {"examples": [_EXAMPLE]}


def named_schema(field: str) -> Schema:
    """The JSON Schema of a filter spec that `named` takes."""
    schema = schema_of(_SPEC)
    expression = object_schema(_named(field)) | {"additionalProperties": False}
    schema["properties"]["expressions"] |= {"maxItems": 1, "items": expression}
    schema["properties"]["order_by"]["maxItems"] = 0
    return or_null(schema)


SCHEMA = _spec_schema()  # JSON Schema of a filter spec
