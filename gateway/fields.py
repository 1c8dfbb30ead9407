"""Fields of requests: declared once, for parsing and for the OpenAPI document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

import orjson
from starlette.datastructures import UploadFile

from gateway.failures import Problem
from gateway.schemas import or_null

Place = Literal["path", "query", "body"]
Kind = Literal["string", "integer", "number", "boolean", "object", "array", "any", "file"]
KEY_MAX = 2**53 - 1  # no integer key is larger: GraphQL's BigInt
_INTEGER_MAX = 2**63 - 1
_INTEGER_CHARS_MAX = 20
_BOOLEANS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


class _Default(Enum):
    NONE = "none"


NO_DEFAULT: Final = _Default.NONE  # where null would be one


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a path, a query or a body. `doc` is what people read of it.

    Texts of paths, queries and forms become what `kind` says; JSON has to have it already. `fields` are those of an
    object, `items` is what a list holds. `most` and `least` bound numbers, `chars_max` texts; without `blank` a text
    is more than white space. Without `default` a field that is left out is not in what `read` gives. The `example` of
    a file is its name.
    """

    name: str
    kind: Kind
    doc: str
    place: Place = "body"
    required: bool = False
    nullable: bool = False
    blank: bool = True
    default: Any = NO_DEFAULT
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None
    chars_max: int | None = None
    items: Field | None = None
    fields: tuple[Field, ...] = ()
    example: Any = None

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema (2020-12)."""
        kinds: dict[str, dict[str, Any]] = {
            "any": {},
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        }
        schema: dict[str, Any] = dict(kinds.get(self.kind, {"type": self.kind}))
        if self.items is not None:
            schema["items"] = self.items.schema()
        if self.fields:
            schema |= object_schema(self.fields)
        limits = {
            "minimum": self.least,
            "maximum": self.most,
            "maxLength": self.chars_max,
            "minLength": 1 if self.kind == "string" and not self.blank else None,
            "enum": list(self.choices) or None,
            "examples": None if self.example is None or self.kind == "file" else [self.example],
            "description": self.doc or None,
        }
        schema |= {name: value for name, value in limits.items() if value is not None}
        if self.default is not NO_DEFAULT:
            schema["default"] = self.default
        return or_null(schema) if self.nullable and "type" in schema else schema


def key(name: str, doc: str) -> Field:
    """The integer key that a path names, as `{name:int}`."""
    return Field(name, "integer", doc, place="path", required=True, least=0, most=KEY_MAX)


def object_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    """The JSON Schema of an object with these fields, and perhaps others, which are not read."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {each.name: each.schema() for each in fields},
    }
    required = [each.name for each in fields if each.required]
    return schema | ({"required": required} if required else {})


@dataclass(slots=True)
class _Reading:
    problems: list[Problem] = field(default_factory=list)

    def fail(
        self, path: str, rule: str, message: str, wanted: Any = None, given: Any = None
    ) -> None:
        self.problems.append(Problem(path, rule, message, wanted, given))


def read(
    fields: tuple[Field, ...],
    path: Mapping[str, str],
    query: Mapping[str, str],
    body: Mapping[str, Any],
    *,
    is_text: bool,
) -> tuple[dict[str, Any], list[Problem]]:
    """The values of the fields by their names, and what is wrong. `is_text` says that the body was a form."""
    reading = _Reading()
    values: dict[str, Any] = {}
    for each in fields:
        given: Mapping[str, Any] = {"path": path, "query": query, "body": body}[each.place]
        text = is_text or each.place != "body"
        values.update(_field(each, given, each.name, reading, is_text=text))
    return values, reading.problems


def _field(
    declared: Field, given: Mapping[str, Any], path: str, reading: _Reading, *, is_text: bool
) -> Iterator[tuple[str, Any]]:
    value = given.get(declared.name, NO_DEFAULT)
    is_empty = is_text and value == "" and declared.kind not in {"string", "any", "file"}
    if value is not NO_DEFAULT and not is_empty:
        yield declared.name, _value(declared, value, path, reading, is_text=is_text)
    elif declared.required:
        reading.fail(path, "required", f"`{path}` is missing.", wanted=declared.kind)
    elif declared.default is not NO_DEFAULT:
        yield declared.name, declared.default


def _value(declared: Field, value: Any, path: str, reading: _Reading, *, is_text: bool) -> Any:
    if value is None:
        if not declared.nullable and declared.kind != "any":
            reading.fail(path, "null", f"`{path}` may not be null.")
        return None
    if is_text and isinstance(value, str):
        value = _from_text(declared.kind, value)
    if not _is(declared.kind, value):
        message = f"`{path}` has to be of type {declared.kind}."
        reading.fail(path, "type", message, wanted=declared.kind, given=value)
        return None
    _limit(declared, value, path, reading)
    if declared.kind == "array" and declared.items is not None:
        return [
            _value(declared.items, item, f"{path}.{index}", reading, is_text=is_text)
            for index, item in enumerate(value)
        ]
    if declared.kind == "object" and declared.fields:
        known: dict[str, Any] = {}
        for each in declared.fields:
            known.update(_field(each, value, f"{path}.{each.name}", reading, is_text=is_text))
        return known
    return value


def _from_text(kind: Kind, text: str) -> Any:
    """What a text of a form or a query stands for; the text itself where it stands for nothing of this kind."""
    if kind == "integer":
        digits = text.removeprefix("-")
        is_number = digits.isascii() and digits.isdecimal() and len(text) <= _INTEGER_CHARS_MAX
        return int(text) if is_number else text
    if kind == "number":
        return _number(text)
    if kind == "boolean":
        return _BOOLEANS.get(text.lower(), text)
    return _json(text) if kind in {"object", "array"} else text


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _is(kind: Kind, value: Any) -> bool:
    if kind == "integer":
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and -_INTEGER_MAX <= value <= _INTEGER_MAX
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    types: dict[str, type] = {
        "string": str,
        "boolean": bool,
        "object": dict,
        "array": list,
        "file": UploadFile,
    }
    return kind == "any" or isinstance(value, types[kind])


def _limit(declared: Field, value: Any, path: str, reading: _Reading) -> None:
    if declared.kind == "string":
        if not declared.blank and not value.strip():
            reading.fail(path, "blank", f"`{path}` may not be empty.")
        if declared.chars_max is not None and len(value) > declared.chars_max:
            limit = declared.chars_max
            reading.fail(path, "chars_max", f"`{path}` has more than {limit} characters.", limit)
    if declared.choices and value not in declared.choices:
        wanted = ", ".join(map(str, declared.choices))
        reading.fail(path, "choices", f"`{path}` has to be one of {wanted}.", wanted, value)
    if declared.least is not None and value < declared.least:
        reading.fail(path, "least", f"`{path}` is less than {declared.least}.", declared.least)
    if declared.most is not None and value > declared.most:
        reading.fail(path, "most", f"`{path}` is more than {declared.most}.", declared.most)
