"""What an error tells: enough to mend it, and nothing that was sent."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from base.tracing import JsonLines
from tests.graph.small import CANARY, ask, client

LOGIN = "query Login($credentials: Credentials!) { login(credentials: $credentials) }"
CONNECT = "mutation ($connection: Connection!) { connect(connection: $connection) }"


def log_text(caplog: pytest.LogCaptureFixture) -> str:
    formatter = JsonLines()
    return "\n".join(formatter.format(record) for record in caplog.records)


WITH_CANARY: dict[str, tuple[str, dict[str, Any]]] = {
    "a typo in a variable": (LOGIN, {"credentials": {"usernme": "a", "password": CANARY}}),
    "a missing field in a variable": (LOGIN, {"credentials": {"password": CANARY}}),
    "a wrong type beside it": (LOGIN, {"credentials": {"username": 5, "password": CANARY}}),
    "a wrong type of itself": (LOGIN, {"credentials": {"username": "a", "password": [CANARY]}}),
    "a wrong number": (LOGIN, {"credentials": {"username": "a", "password": "b", "port": CANARY}}),
    "a wrong enum value": (LOGIN, {"credentials": {"username": "a", "password": "b", "colour": CANARY}}),
    "a text for an object": (LOGIN, {"credentials": CANARY}),
    "a list for an object": (LOGIN, {"credentials": [{"password": CANARY}]}),
    "no variable at all": (LOGIN, {"credential": CANARY}),
    "two of one": (CONNECT, {"connection": {"file": CANARY, "database": {"username": "a", "password": CANARY}}}),
    "none of one": (CONNECT, {"connection": {"file": None}}),
    "a typo in a literal": (f'{{ login(credentials: {{ usernme: "a", password: "{CANARY}" }}) }}', {}),
    "a missing field in a literal": (f'{{ login(credentials: {{ password: "{CANARY}" }}) }}', {}),
    "a wrong type in a literal": (f'{{ login(credentials: {{ username: 5, password: "{CANARY}" }}) }}', {}),
    "a wrong literal": (f'{{ items(first: "{CANARY}") {{ total }} }}', {}),
    "a wrong enum literal": ('{ login(credentials: { username: "a", password: "b", colour: "hunter2-canary" }) }', {}),
    "a wrong default": (f'query ($a: Int = "{CANARY}") {{ items(first: $a) {{ total }} }}', {}),
    "an unknown argument": (f'{{ hello(nme: "{CANARY}") }}', {}),
    "conflicting arguments": (f'{{ hello(name: "{CANARY}") hello(name: "b") }}', {}),
    "a text out of place": (f'{{ hello "{CANARY}" }}', {}),
    "a name out of place": ("{ hello(name: hunter2 canary hunter2) ", {}),
    "an unfinished text": (f'{{ hello(name: "{CANARY}', {}),
    "a variable for nothing": ("query ($a: Int!) { items(first: $a) { total } }", {"a": CANARY}),
    "a null where none may be": ("query ($a: Int) { items(first: $a) { total } }", {"a": None, "b": CANARY}),
    "a failing resolver, by a literal": (f'{{ broken(secret: "{CANARY}") }}', {}),
    "a failing resolver, by a variable": ("query ($s: String!) { broken(secret: $s) }", {"s": CANARY}),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_CANARY)
async def test_a_secret_is_in_no_answer_and_no_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    query, variables = WITH_CANARY[name]
    caplog.set_level(logging.DEBUG, "headwater")
    async with client() as session:
        response = await session.post("/graphql", json={"query": query, "variables": variables})

    (error, *_) = response.json()["errors"]
    assert error["extensions"]["code"] == ("INTERNAL" if "resolver" in name else "INVALID_INPUT")
    assert error["extensions"]["traceId"]
    assert "hunter2" not in response.text
    assert "hunter2" not in log_text(caplog)
    assert len(response.content) < 2_000


@pytest.mark.parametrize(
    ("name", "field", "message"),
    [
        ("a typo in a variable", "credentials.username", "credentials.username: a value is required."),
        ("a wrong type beside it", "credentials.username", "credentials.username: expected a value of type String."),
        ("a wrong number", "credentials.port", "credentials.port: expected a value of type Int."),
        ("a text for an object", "credentials", "credentials: expected an object of type Credentials."),
        ("no variable at all", "credentials", "credentials: the variable is required."),
        ("two of one", "connection", "connection: give exactly one of file, database."),
        ("a wrong type in a literal", "credentials.username", "credentials.username: expected a value of type String."),
        ("a wrong literal", "first", "first: expected a value of type Int."),
        ("a wrong default", "a", "a: expected a value of type Int."),
        ("a text out of place", None, "Syntax Error: Expected Name, found String"),
    ],
)  # fmt: skip
async def test_refused_input_names_its_path_and_the_reason(
    name: str, field: str | None, message: str
) -> None:
    query, variables = WITH_CANARY[name]
    async with client() as session:
        answer = await ask(session, query, **variables)

    error = answer["errors"][0]
    assert error["message"] == message
    assert error["extensions"].get("field") == field
    assert "data" not in answer


async def test_a_typo_is_told_with_what_may_have_been_meant() -> None:
    async with client() as session:
        answer = await ask(session, LOGIN, credentials={"usernme": "a", "password": "b"})

    assert answer["errors"][1]["message"] == "credentials: Credentials has no field 'usernme'."
    assert answer["errors"][1]["extensions"]["hint"] == "Did you mean 'username'?"


async def test_a_wrong_enum_value_is_told_with_the_right_ones() -> None:
    credentials = {"username": "a", "password": "b", "colour": "GREEN"}
    async with client(introspection=True) as session:
        open_schema = await ask(session, LOGIN, credentials=credentials)
    async with client(introspection=False) as session:
        closed = await ask(session, LOGIN, credentials=credentials)

    assert open_schema["errors"][0]["extensions"]["hint"] == "One of RED, BLUE."
    assert "hint" not in closed["errors"][0]["extensions"]


async def test_an_expected_failure_is_told_as_it_is() -> None:
    async with client() as session:
        answer = await ask(session, "{ missing }")

    (error,) = answer["errors"]
    trace_id = error["extensions"].pop("traceId")
    assert error == {
        "message": "There is no such thing.",
        "locations": [{"line": 1, "column": 3}],
        "path": ["missing"],
        "extensions": {"code": "NOT_FOUND", "field": "id", "hint": "Look elsewhere."},
    }
    assert len(trace_id) == 32
    assert answer["data"] == {"missing": None}


async def test_an_unexpected_failure_is_masked_and_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client() as session:
        answer = await ask(session, 'query Find { broken(secret: "the-secret-text") }')

    (error,) = answer["errors"]
    assert error["message"] == "Internal error."
    assert "db.internal" not in str(answer)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    details = vars(record)
    assert (details["operation"], details["path"]) == ("Find", "broken")
    assert "RuntimeError: the driver said ••• and host db.internal" in details["exception"]
    assert 'in broken\n    raise RuntimeError(f"the driver said' in details["exception"]


async def test_fifty_equal_failures_are_five_errors_and_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client() as session:
        answer = await ask(session, "{ manyBroken { name } }")

    assert len(answer["errors"]) == 5
    assert len(answer["data"]["manyBroken"]) == 50
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


@pytest.mark.parametrize(
    "query",
    ["{" + " ".join(f"wrong{n}" for n in range(20)) + "}", "{ " + "a" * 30_000 + " }", "{ hello @" + "a" * 30_000 + " }", "{" * 150],
)  # fmt: skip
async def test_a_bad_request_is_answered_and_logged_briefly(
    query: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with client() as session:
        response = await session.post(
            "/graphql", json={"query": query, "operationName": "n" * 10_000}
        )

    errors = response.json()["errors"]
    assert 1 <= len(errors) <= 5
    assert len(response.content) < 4_000
    assert len(log_text(caplog)) < 2_048
    assert all(
        record.levelno <= logging.INFO
        for record in caplog.records
        if record.name.startswith("headwater")
    )
