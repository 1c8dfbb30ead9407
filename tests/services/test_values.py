"""Which values are taken, and where the others are refused."""

from typing import Any

import pytest

from base.errors import InvalidInput, PayloadTooLarge
from services import values


def test_a_name_is_trimmed() -> None:
    assert values.name("  Ada  ", "input.name") == "Ada"


@pytest.mark.parametrize(
    "text", ["", "   ", None, "x" * 201, "a\x00b", "a\ud800b", "\udfff"], ids=repr
)
def test_a_bad_name_is_refused_at_its_place(text: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        values.name(text, "input.sources[1].name")

    assert caught.value.field == "input.sources[1].name"
    assert "\x00" not in caught.value.message


def test_a_name_may_have_as_many_characters_as_the_limit_says() -> None:
    assert values.name("ä" * 200, "input.name") == "ä" * 200


@pytest.mark.parametrize(
    "text", ["<script>", "\r\nX: y", "\x1b[31m", "名前 🚀", "'; DROP TABLE users; --"]
)
def test_odd_texts_are_kept_as_they_are(text: str) -> None:
    assert values.description(text, "input.description") == text


def test_no_description_is_none() -> None:
    assert values.description(None, "input.description") is None


@pytest.mark.parametrize(
    "value", [{}, [], 0, "text", None, {"a": [1, 2.5, None, True, {"b": "ü"}]}, 2**63 - 1]
)
def test_a_document_is_any_json(value: Any) -> None:
    assert values.document(value, "input.metadata") == value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"a": "\x00"},
        {"\x00": 1},
        ["\ud800"],
        float("inf"),
        float("nan"),
        2**64,
        object(),
        nested(values.DOCUMENT_LEVELS_MAX),
    ],
    ids=["nul", "nul key", "surrogate", "infinite", "not a number", "65 bits", "object", "deep"],
)
def test_a_document_that_not_everybody_keeps_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        values.document(value, "input.metadata")

    assert caught.value.field == "input.metadata"


def test_a_document_over_its_size_is_refused() -> None:
    half = "x" * (values.DOCUMENT_BYTES_MAX // 2)

    with pytest.raises(PayloadTooLarge) as caught:
        values.document([half, half], "input.metadata")

    assert caught.value.field == "input.metadata"


def test_a_list_is_neither_empty_nor_too_long() -> None:
    assert values.bounded([1, 2], "input.ids", items_max=2) == [1, 2]
    for items in ([], [1, 2, 3]):
        with pytest.raises(InvalidInput) as caught:
            values.bounded(items, "input.ids", items_max=2)
        assert caught.value.field == "input.ids"


@pytest.mark.parametrize("value", [0, 11])
def test_a_number_outside_its_range_is_refused(value: int) -> None:
    assert values.between(10, "input.size", least=1, most=10) == 10
    with pytest.raises(InvalidInput):
        values.between(value, "input.size", least=1, most=10)
