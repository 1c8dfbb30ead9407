"""GraphQL over HTTP, as a client meets it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from base import bodies
from base.errors import TimedOut
from tests.graph.small import ask, client

POST_JSON = {"content-type": "application/json"}
NEWER = "application/graphql-response+json"


async def test_answers_a_query() -> None:
    async with client() as session:
        response = await session.post("/graphql", json={"query": "{ hello }"})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {"data": {"hello": "hello world"}}


async def test_rows_that_are_json_already_are_passed_through() -> None:
    async with client() as session:
        response = await session.post("/graphql", json={"query": "{ rows }"})

    assert response.content == b'{"data":{"rows":[[1,"a"],[9007199254740993,null]]}}'


async def test_picks_the_operation_by_name() -> None:
    query = 'query A { hello(name: "a") } query B { hello(name: "b") }'
    async with client() as session:
        named = await session.post("/graphql", json={"query": query, "operationName": "B"})
        none = await session.post("/graphql", json={"query": query})
        wrong = await session.post("/graphql", json={"query": query, "operationName": "C"})

    assert named.json() == {"data": {"hello": "hello b"}}
    assert none.json()["errors"][0]["message"] == "The document has several operations."
    assert wrong.json()["errors"][0]["extensions"]["field"] == "operationName"


DEEP = "[" * 40 + "]" * 40


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'[{"query":"{hello}"}]',
        b'"query"',
        b"5",
        b"{",
        b"{}",
        b'{"query":null}',
        b'{"query":5}',
        b'{"query":""}',
        b'{"query":" "}',
        b'{"query":{"a":1}}',
        b'{"query":"{hello}","variables":[]}',
        b'{"query":"{hello}","variables":"x"}',
        b'{"query":"{hello}","operationName":5}',
        b'{"query":"{hello}","extensions":[]}',
        b'{"query":"{hello}","query":"{hello}"}',
        b'{"query":"{hello}","variables":{"a":{"b":1,"b":2}}}',
        b'{"query":"{hello}","variables":{"a":NaN}}',
        b'{"query":"{hello}","variables":{"a":Infinity}}',
        b'{"query":"{hello}","variables":{"a":1e999}}',
        b'{"query":"{hello}","variables":{"a":' + b"1" * 5_000 + b"}}",
        b'{"query":"{hello}","variables":{"a":"\\ud800"}}',
        b'{"query":"{hello}","variables":{"a":"\\u0000"}}',
        b'{"query":"{hello}","variables":{"\\u0000":1}}',
        b'{"query":"{hello}","variables":{"a":' + DEEP.encode() + b"}}",
        b'{"query":"{hello}","variables":{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
        b'{"query":"{hello}","variables":{"a":[' + b"1," * 30_000 + b"1]}}",
        b'{"query":"\xff"}',
        b'\xef\xbb\xbf{"query":"{hello}"}',
        b'{"query":"{hello}",}',
        b"{'query':'{hello}'}",
        b'{"query":"{hello}"} trailing',
    ],
)
@pytest.mark.parametrize("accept", ["application/json", NEWER])
async def test_a_body_that_is_not_a_request_is_refused(body: bytes, accept: str) -> None:
    async with client() as session:
        response = await session.post(
            "/graphql", content=body, headers=POST_JSON | {"accept": accept}
        )

    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert len(response.content) < 1_000
    assert response.headers["content-type"].startswith(accept)


async def test_a_text_with_a_quote_and_a_colon_is_no_duplicate_key() -> None:
    query = "query ($name: String!) { hello(name: $name) }"
    async with client() as session:
        answer = await ask(session, query, name='{"a":1,"a":2}')

    assert answer == {"data": {"hello": 'hello {"a":1,"a":2}'}}


async def test_a_body_over_the_limit_is_refused_and_the_connection_closed() -> None:
    async def endless() -> Any:
        while True:
            yield b" " * 65_536

    async with client() as session:
        declared = await session.post("/graphql", content=b" " * 300_000, headers=POST_JSON)
        chunked = await session.post("/graphql", content=endless(), headers=POST_JSON)

    for response in (declared, chunked):
        assert response.status_code == 413
        assert response.headers["connection"] == "close"
        assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(TimedOut, match=r"limit of 0\.05 s"):
        await bodies.read(receive, Headers(), 1_000, seconds_max=0.05)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "text/json",
    ],
)
async def test_only_json_in_utf_8_is_taken(content_type: str) -> None:
    async with client() as session:
        response = await session.post(
            "/graphql", content=b'{"query":"{hello}"}', headers={"content-type": content_type}
        )

    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED"


async def test_put_is_not_allowed() -> None:
    async with client() as session:
        response = await session.put("/graphql", json={"query": "{ hello }"})

    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (NEWER, NEWER),
        (f"{NEWER}, application/json;q=0.9", NEWER),
        (f"{NEWER};q=0.5, application/json", "application/json"),
        (f"application/json, {NEWER}", NEWER),
        (f"{NEWER}, */*;q=0.1", NEWER),
        ("text/html, */*;q=0.8", "application/json"),
    ],
)
async def test_the_media_type_is_negotiated(accept: str, media_type: str) -> None:
    async with client() as session:
        response = await session.post(
            "/graphql", json={"query": "{ hello }"}, headers={"accept": accept}
        )

    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/png"])
async def test_a_client_that_takes_no_json_is_told_so(accept: str) -> None:
    async with client() as session:
        response = await session.post(
            "/graphql", json={"query": "{ hello }"}, headers={"accept": accept}
        )

    assert response.status_code == 406


@pytest.mark.parametrize("query", ["{", "{ nothing }", "query ($a: Int!) { hello }"])
async def test_a_refused_operation_is_a_400_in_the_newer_media_type_and_a_200_in_the_older(
    query: str,
) -> None:
    async with client() as session:
        newer = await session.post("/graphql", json={"query": query}, headers={"accept": NEWER})
        older = await session.post("/graphql", json={"query": query})

    assert (newer.status_code, older.status_code) == (400, 200)
    assert "data" not in newer.json()
    assert "data" not in older.json()


async def test_a_failed_field_is_a_200_with_data() -> None:
    async with client() as session:
        response = await session.post(
            "/graphql", json={"query": "{ hello missing }"}, headers={"accept": NEWER}
        )

    assert response.status_code == 200
    assert response.json()["data"] == {"hello": "hello world", "missing": None}


async def test_queries_by_get_need_a_header_that_other_sites_cannot_send() -> None:
    parameters = {
        "query": "query A($name: String!) { hello(name: $name) }",
        "variables": '{"name": "x"}',
        "operationName": "A",
    }
    async with client() as session:
        without = await session.get("/graphql", params=parameters)
        preflight = {"graphql-require-preflight": "1"}
        given = await session.get("/graphql", params=parameters, headers=preflight)
        bearer = await session.get(
            "/graphql", params=parameters, headers={"authorization": "Bearer good"}
        )

    assert without.status_code == 400
    assert given.json() == bearer.json() == {"data": {"hello": "hello x"}}


async def test_mutations_by_get_are_not_allowed() -> None:
    async with client() as session:
        response = await session.get(
            "/graphql",
            params={"query": "mutation { testConnection }"},
            headers={"graphql-require-preflight": "1"},
        )

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query=",
        "query=%ff",
        "query={hello}&query={hello}",
        "query={hello}&variables=[",
        "&".join("abcdefghijklmnopqrst"),
    ],
)
async def test_a_bad_query_string_is_refused(query_string: str) -> None:
    async with client() as session:
        response = await session.get(
            f"/graphql?{query_string}", headers={"graphql-require-preflight": "1"}
        )

    assert response.status_code == 400


async def test_a_query_string_over_the_limit_is_refused() -> None:
    async with client() as session:
        response = await session.get(
            "/graphql?query=" + "a" * 50_000, headers={"graphql-require-preflight": "1"}
        )

    assert response.status_code == 414


async def test_the_deadline_ends_an_operation() -> None:
    async with client() as session:
        response = await session.post("/graphql", json={"query": "{ slow }"})

    assert response.status_code == 200
    assert response.json()["data"] is None
    assert response.json()["errors"][0]["extensions"]["code"] == "TIMEOUT"


KEEP = "mutation ($file: Upload!, $note: String) { keep(file: $file, note: $note) }"
GOOD = {"authorization": "Bearer good"}


def form(operations: Any, places: Any) -> dict[str, str]:
    return {
        "operations": operations if isinstance(operations, str) else json.dumps(operations),
        "map": places if isinstance(places, str) else json.dumps(places),
    }


async def send_form(
    session: httpx.AsyncClient,
    *,
    operations: Any = None,
    places: Any = None,
    content: bytes = b"a,b\n1,2\n",
    headers: dict[str, str] = GOOD,
) -> httpx.Response:
    if operations is None:
        operations = {"query": KEEP, "variables": {"file": None, "note": "n"}}
    data = form(operations, {"0": ["variables.file"]} if places is None else places)
    return await session.post(
        "/graphql", data=data, files={"0": ("t.csv", content)}, headers=headers
    )


async def test_a_file_comes_with_a_form() -> None:
    async with client() as session:
        small = await send_form(session)
        large = await send_form(session, content=b"x" * 3_000_000)

    assert small.json() == {"data": {"keep": "t.csv:8:n"}}
    assert large.json() == {"data": {"keep": "t.csv:3000000:n"}}


async def test_a_form_needs_a_header_and_a_token() -> None:
    async with client() as session:
        without = await send_form(session, headers={})
        anonymous = await send_form(session, headers={"graphql-require-preflight": "1"})
        wrong = await send_form(session, headers={"authorization": "Bearer wrong"})

    assert without.status_code == 400
    assert without.json()["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
    for response in (anonymous, wrong):
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("places", [
    "[]", "{", "5", {"0": "variables.file"}, {"0": [5]}, {"0": []}, {}, {"1": ["variables.file"]},
    {"0": ["variables.nothing"]}, {"0": ["variables.note"]}, {"0": ["query"]}, {"0": ["variables"]}, {"0": [""]},
    {"0": ["variables.file.x"]}, {"0": ["operationName"]}, {"0": ["variables.file"] * 30}, {"0": ["variables.file", "variables.file"]},
])  # fmt: skip
async def test_a_malformed_map_is_refused(places: Any) -> None:
    async with client() as session:
        response = await send_form(session, places=places)

    if places == {"0": []}:
        assert response.json()["errors"][0]["extensions"]["field"] == "file"  # null for a file
    else:
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize(
    "operations", ["", "[]", "{", '[{"query":"{hello}"}]', {"variables": {"file": None}}]
)
async def test_malformed_operations_are_refused(operations: Any) -> None:
    async with client() as session:
        response = await send_form(session, operations=operations)

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
        ),
    ],
)
async def test_a_broken_form_is_refused(content_type: str, body: bytes) -> None:
    async with client() as session:
        response = await session.post(
            "/graphql", content=body, headers=GOOD | {"content-type": content_type}
        )

    assert response.status_code == 400


async def test_a_file_over_the_limit_is_refused() -> None:
    async with client() as session:
        response = await send_form(session, content=b"x" * 5_000_000)

    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
