"""Failures that only time, load or a broken machine bring: the code and the HTTP status of each."""

from __future__ import annotations

import pytest

from gateway.failures import Failure
from gateway.maxir.failures import reply


@pytest.mark.parametrize(
    ("failure", "code", "status"),
    [
        (Failure("UNAUTHENTICATED", "The session has expired.", has_credential=True), 1002, 403),
        (Failure("UNAUTHENTICATED", "The API token is unknown, expired or revoked."), 1004, 403),
        (Failure("RATE_LIMITED", "Too many."), 201, 429),
        (Failure("STORAGE_FULL", "The object store has no space left."), 300006, 200),
        (Failure("CONNECTION_FAILED", "It does not answer."), 300011, 200),
        (Failure("UNAVAILABLE", "It does not answer."), 9999, 502),
        (Failure("TIMEOUT", "It took too long."), 9999, 504),
        (Failure("INTERNAL", "Internal error.", hint="Tell the operator."), 9999, 500),
        (Failure("SOMETHING_NEW", "It is new."), 9999, 500),
    ],
)
def test_a_failure_has_a_code(failure: Failure, code: int, status: int) -> None:
    made = reply(failure, None)

    assert made.status == status
    assert made.body["code"] == code
    assert made.body["msg"] == made.body["message"]
    assert made.body["msg"].startswith(failure.message)
    assert made.body["data"] is None


@pytest.mark.parametrize(
    ("message", "field", "told"),
    [
        ("`input.sources[0].name` is empty.", "input.sources[0].name", "`name` is empty."),
        ("It is no URL.", "input.sources[0].connection.file.url", "`url`: It is no URL."),
        ("It is too deep.", "input.elsewhere", "It is too deep."),
    ],
)
def test_fields_have_the_names_that_the_request_gave_them(
    message: str, field: str, told: str
) -> None:
    made = reply(Failure("INVALID_INPUT", message, field=field), None)

    assert (made.status, made.body["code"], made.body["msg"]) == (400, 300001, told)
