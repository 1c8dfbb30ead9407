"""What is too much for one operation, and that finding out is cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from graphql import get_introspection_query, parse

from base.errors import QueryTooComplex
from graph.caches import DOCUMENTS_MAX, Documents
from graph.costs import CostRule
from graph.limits import Limits, Shape, check_shape
from tests.graph.small import ask, client, schema

CORE = schema._schema
NOBODY = {"authorization": ""}
CALLS_MAX = 200_000


def shape(text: str) -> Shape:
    return Shape.of(parse(text, no_location=True))


def calls_of(work: Callable[[], None]) -> int:
    """How many functions the work calls: what it costs, on a machine of any speed."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def bomb(levels: int) -> str:
    fragments = [
        f"fragment F{n} on Item {{ owner {{ items {{ ...F{n + 1} ...F{n + 1} }} }} }}"
        for n in range(levels)
    ]
    return f"{{ items {{ nodes {{ ...F0 }} }} }} {' '.join(fragments)} fragment F{levels} on Item {{ id }}"


def flat_bomb(levels: int) -> str:
    fragments = [f"fragment F{n} on Item {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
    return f"{{ items {{ nodes {{ ...F0 }} }} }} {' '.join(fragments)} fragment F{levels} on Item {{ id size }}"


REFUSED = {
    "bomb of fragments": (bomb(90), "levels of fields"),
    "flat bomb of fragments": (flat_bomb(90), "fields"),
    "depth": ("{ items { nodes " + "{ parts " * 10 + "{ id " + "}" * 13, "levels of fields"),
    "aliases": ("{" + " ".join(f"a{n}: hello" for n in range(101)) + "}", "aliases"),
    "aliases in fragments": (
        "{ items { nodes { ...A } } } fragment A on Item {"
        + " ".join(f"a{n}: id" for n in range(51)) + "}", "aliases",
    ),
    "root fields": ("{" + "hello " * 21 + "}", "root fields"),
    "root fields in a fragment": (
        "{ ...A ...B } fragment A on Query { hello ...B } fragment B on Query {" + "hello " * 10 + "}",
        "root fields",
    ),
    "fields": ("{ items { nodes {" + "id " * 500 + "} } }", "fields"),
    "directives on a field": ("{ hello " + "@skip(if: false) " * 51 + "}", "directives"),
    "directives on an operation": ("query " + "@a " * 51 + "{ hello }", "directives"),
    "directives on variables": ("query ($a: Int " + "@a " * 51 + ") { hello }", "directives"),
    "sensitive mutations": (
        "mutation {" + " ".join(f"a{n}: testConnection" for n in range(6)) + "}",
        "mutations that reach outside or give access",
    ),
    "tokens": ("{ items { nodes {" + "id " * 2_000 + "} } }", "tokens"),
    "repeated node fields": ("{" + "nodes(ids: []) { id } " * 5_000 + "}", "bytes"),
    "bytes": ("{ hello } #" + "x" * 33_000, "bytes"),
    "bytes of wide characters": ("{ hello } #" + "€" * 11_000, "bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_too_much_is_refused_quickly_naming_the_limit(name: str) -> None:
    text, limit = REFUSED[name]

    def refuse() -> None:
        with pytest.raises(QueryTooComplex, match=limit):
            Documents(CORE, Limits()).prepare(text, suggest=True)

    assert calls_of(refuse) < CALLS_MAX


def test_a_bomb_of_fragments_costs_next_to_nothing() -> None:
    parsed = shape(flat_bomb(90))

    def refuse() -> None:
        with pytest.raises(QueryTooComplex):
            check_shape(parsed, Limits())

    assert calls_of(refuse) < CALLS_MAX // 10


@pytest.mark.parametrize(
    "text",
    [
        get_introspection_query(input_value_deprecation=True, specified_by_url=True),
        "{ items { nodes " + "{ parts " * 9 + "{ id " + "}" * 12,
        "{" + "hello " * 20 + "}",
        "mutation {" + " ".join(f"a{n}: testConnection" for n in range(5)) + "}",
    ],
)  # fmt: skip
def test_what_is_within_the_limits_passes(text: str) -> None:
    Documents(CORE, Limits()).prepare(text, suggest=True)


@pytest.mark.parametrize(
    "text",
    [
        "{ items { nodes { ...A } } } fragment A on Item { ...B } fragment B on Item { ...A }",
        "{ ...A } fragment A on Query { hello ...A }",
        "{ ...Nowhere }",
    ],
)
async def test_circles_and_unknown_fragments_are_for_validation(text: str) -> None:
    async with client() as session:
        answer = await ask(session, text)

    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


def cost(text: str, **variables: Any) -> int:
    parsed = shape(text)
    return CostRule(CORE, parsed, parsed.operations[0], Limits()).cost(variables)


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("{ hello }", {}, 0),
        ("{ items { total } }", {}, 1),
        ("{ items { nodes { id } } }", {}, 1 + 20),
        ("{ items(first: 50) { nodes { id } total } }", {}, 1 + 50),
        ("{ items(first: 5, last: 7) { nodes { id } } }", {}, 1 + 7),
        ("{ items(first: 0) { nodes { id } } }", {}, 1),
        ("{ items(first: -9) { nodes { id } } }", {}, 1),
        ("query ($n: Int!) { items(first: $n) { nodes { id } } }", {"n": 30}, 1 + 30),
        ("query ($n: Int) { items(first: $n) { nodes { id } } }", {}, 1 + 20),
        ("query ($n: Int) { items(last: $n) { nodes { id } } }", {"n": 30}, 1 + 30),
        ("{ items(first: 10) { nodes { owner { name } } } }", {}, 1 + 10 * 2),
        ("{ items(first: 10) { nodes { parts(first: 10) { id } } } }", {}, 1 + 10 * (1 + 10)),
        ("{ items(first: 10) { nodes { owner { items { id } } } } }", {}, 1 + 10 * (1 + 1 + 5)),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', {}, 3),
        ("query ($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["a"] * 7}, 7),
        ("{ items { ...A } } fragment A on ItemPage { nodes { id } ...B } fragment B on ItemPage { nodes { size } }",
         {}, 1 + 40),
        ("{ a: items { nodes { id } } b: items { nodes { id } } }", {}, 2 * 21),
        ("{ items { ... on ItemPage { nodes { id } } ... { nodes { id } } } }", {}, 1 + 40),
        ("{ __schema { types { name fields { name } } } }", {}, 0),
    ],
)  # fmt: skip
def test_the_cost_is_the_number_of_objects(
    text: str, variables: dict[str, Any], expected: int
) -> None:
    assert cost(text, **variables) == expected


def test_a_bomb_of_pages_has_a_bounded_cost() -> None:
    nested = (
        "{ items(first: 2000000000) { nodes "
        + "{ parts(first: 2000000000) " * 9
        + "{ id "
        + "}" * 12
    )

    assert cost(nested) == 10**12


async def test_an_expensive_operation_is_refused_by_its_variables() -> None:
    query = "query ($n: Int!) { items(first: $n) { nodes { parts(first: $n) { id } } } }"
    async with client() as session:
        cheap = await ask(session, query, n=3)
        expensive = await ask(session, query, n=200)

    assert len(cheap["data"]["items"]["nodes"][2]["parts"]) == 3
    (error,) = expensive["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert error["message"] == "The operation is over the limit of 20,000 objects."
    assert "data" not in expensive


@pytest.mark.parametrize("query", ["{ __schema { types { name } } }", '{ __type(name: "Item") { name } }',
                                   "{ ...A } fragment A on Query { __schema { types { name } } }"])  # fmt: skip
async def test_the_schema_is_closed_to_strangers_where_it_is_set_so(query: str) -> None:
    async with client(introspection=False) as session:
        stranger = await ask(session, query)
        session.headers["authorization"] = "Bearer good"
        friend = await ask(session, query)

    assert stranger["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "errors" not in friend


MISSPELT = [
    "{ helo }",
    "{ items(frst: 1) { total } }",
    "{ items { node { id } } }",
    "{ items { nodes { ...A } } } fragment A on Itm { id }",
    "query ($a: Strng) { hello(name: $a) }",
    '{ login(credentials: { usernme: "a", password: "b" }) }',
    '{ login(credentials: { username: "a", password: "b", colour: RDE }) }',
    "{ hello @skp(if: true) }",
    "{ hello @skip(f: true) }",
]


@pytest.mark.parametrize("query", MISSPELT)
async def test_a_closed_schema_gives_no_suggestions(query: str) -> None:
    async with client(introspection=False) as session:
        stranger = await session.post("/graphql", json={"query": query})

    assert stranger.json()["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
    assert "id you mean" not in stranger.text


async def test_an_open_schema_helps_with_misspelt_names() -> None:
    async with client(introspection=True) as session:
        answers = [await session.post("/graphql", json={"query": query}) for query in MISSPELT]

    assert sum("id you mean" in answer.text for answer in answers) >= 5


async def test_a_variable_that_is_misspelt_gives_no_suggestion_either() -> None:
    query = "query ($c: Credentials!) { login(credentials: $c) }"
    async with client(introspection=False) as session:
        answer = await ask(session, query, c={"usernme": "a"})

    assert "hint" not in answer["errors"][-1]["extensions"]


def test_a_valid_document_is_prepared_once() -> None:
    documents = Documents(CORE, Limits())

    first = documents.prepare("{ hello }", suggest=True)

    assert documents.prepare("{ hello }", suggest=False) is first


def test_the_cache_is_bounded() -> None:
    documents = Documents(CORE, Limits())
    for number in range(DOCUMENTS_MAX + 10):
        documents.prepare(f"{{ a{number}: hello }}", suggest=True)

    assert len(documents) == DOCUMENTS_MAX


def test_large_documents_fill_the_cache_by_their_size() -> None:
    documents = Documents(CORE, Limits())
    for number in range(60):
        documents.prepare(f"{{ a{number}: hello }} #{'x' * 30_000}", suggest=True)

    assert len(documents) == 512 * 1024 // 30_018
