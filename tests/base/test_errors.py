"""The failures that clients see."""

from __future__ import annotations

import pickle

import pytest

from base import errors
from base.errors import PlatformError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PlatformError) and kind is not PlatformError
]
CODES = {
    "UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "INVALID_INPUT", "CONFLICT", "RATE_LIMITED", "QUERY_TOO_COMPLEX",
    "PAYLOAD_TOO_LARGE", "CONNECTION_FAILED", "UNSUPPORTED", "SANDBOX_UNAVAILABLE", "STORAGE_FULL", "TIMEOUT", "INTERNAL",
}  # fmt: skip


def test_the_codes_are_those_of_the_contract() -> None:
    assert {kind.code for kind in KINDS} == CODES
    assert len(KINDS) == len(CODES)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_a_process_border_whole(kind: type[PlatformError]) -> None:
    error = kind("no table people", hint="name another", field="input.tables[0].name")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert (copy.message, copy.hint, copy.field) == (error.message, error.hint, error.field)
    assert str(copy) == "no table people"
    assert copy.retryable is kind.retryable


def test_only_what_passes_by_itself_is_retryable() -> None:
    assert {kind.code for kind in KINDS if kind.retryable} == {"RATE_LIMITED", "TIMEOUT"}
