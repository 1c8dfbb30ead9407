"""Lists over HTTP: what is served is what the filter spec says, whoever asks."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st

from tests.gateway.places import Place

EXAMPLES = 20
PAGE = 200  # projects that GraphQL gives at once
Row = Mapping[str, Any]
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NAMES = ("Ufdl a", "Ufdl A", "ufdl ab", "Ufdl %_", "12", "Ufdl B", "True", "ufdl", "Ufdl z", "0.5")
TEXTS = ("name", "team.name", "creator.username")
KEYS = ("pk", "id", "team", "team.pk", "creator", "creator.id")
TIMES = ("creation_time", "deletion_time")
SORTED = ("pk", "team.id", "creator.pk", "creation_time", "deletion_time")

_MAKE = """mutation ($name: String!) { createProject(input: {name: $name}) { project { pk } } }"""
_DELETE = "mutation ($id: ID!) { deleteProject(input: {id: $id}) { project { pk } } }"
_SEE = """query ($after: String) { projects(first: 200, after: $after, filter: {deleted: null}) {
    nodes { pk team { name } creator { username } } pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture(scope="module")
def rows(server: Place) -> list[Row]:
    """Projects of two teams, some of them deleted, and all others of this server, each as served with its names."""
    for index, name in enumerate(NAMES):
        client = server.graphql(("alice", "bob")[index % 2])
        pk = client.data(_MAKE, name=name)["createProject"]["project"]["pk"]
        if index % 3 == 0:
            client.data(_DELETE, id=str(pk))
    names = {row["pk"]: row for row in _seen(server)}
    answer = server.rest("admin").post("/v1/projects/list", json={"include_inactive": True})
    return [
        row
        | {"team.name": names[row["pk"]]["team"]["name"]}
        | {"creator.username": names[row["pk"]]["creator"]["username"]}
        for row in answer.json()
    ]


def _seen(server: Place) -> Iterator[Row]:
    after = None
    while True:
        page = server.graphql("admin").data(_SEE, after=after)["projects"]
        yield from page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def value_of(row: Row, field: str) -> Any:
    """The value of a field, by any of its names."""
    head, _, tail = field.partition(".")
    if tail in {"pk", "id"}:
        return row[head]
    return row["pk" if field == "id" else field]


def holds(expression: Row, row: Row) -> bool:
    """Whether a row is let in, as Django would have it: what is null matches nothing, and so its inversion."""
    kind = expression["type"]
    if kind in {"and", "or"}:
        parts = [holds(part, row) for part in expression["sub_expressions"]]
        matches = all(parts) if kind == "and" else any(parts)
    else:
        matches = _matches(kind, expression, value_of(row, expression["field"]))
    return matches is not expression.get("invert", False)


def _matches(kind: str, expression: Row, value: Any) -> bool:
    if kind in {"isnull", "is_null"}:
        return value is None
    if value is None:
        return False
    sought = expression["sub_string" if kind == "contains" else "value"]
    if isinstance(value, str):
        texts = (value, str(sought))
        value, sought = map(str.lower, texts) if expression.get("case_insensitive") else texts
    elif isinstance(sought, str):
        sought = int(sought)
    if kind == "contains":
        return sought in value
    holds = operator.eq if kind == "exact" else COMPARE[expression["operator"]]
    return bool(holds(value, sought))


def conditions(rows: list[Row]) -> st.SearchStrategy[dict[str, Any]]:
    """Conditions about values that are there, and about others."""
    flag = st.booleans()
    text = st.sampled_from([*NAMES, "UFDL A", "ufdl b", "l a", "%", "alice", "bob", "x"])
    pks = [row["pk"] for row in rows]
    key = st.one_of(
        st.sampled_from([*pks, *map(str, pks[-3:])]),
        st.sampled_from([0, -1, 2**53, 2**62, 1e30, 1.5, pks[-1] + 0.5, True]),
    )
    times = [value for row in rows for name in TIMES if (value := row[name]) is not None]
    sided = st.sampled_from(list(COMPARE))

    def of(fields: tuple[str, ...], value: st.SearchStrategy[Any]) -> list[Any]:
        field = st.sampled_from(fields)
        exact = {"type": st.just("exact"), "field": field, "value": value, "invert": flag}
        compare = {**exact, "type": st.just("compare"), "operator": sided}
        return [
            st.fixed_dictionaries(exact, optional={"case_insensitive": flag}),
            st.fixed_dictionaries(compare),
        ]

    contains = {"type": st.just("contains"), "field": st.sampled_from(TEXTS), "sub_string": text}
    null = {
        "type": st.sampled_from(["isnull", "is_null"]),
        "field": st.sampled_from(TEXTS + KEYS + TIMES),
    }
    return st.one_of(
        *of(TEXTS, text),
        *of(KEYS, key),
        *of(TIMES, st.sampled_from(times)),
        st.fixed_dictionaries(contains, optional={"case_insensitive": flag, "invert": flag}),
        st.fixed_dictionaries(null, optional={"invert": flag}),
    )


def specs(rows: list[Row]) -> st.SearchStrategy[dict[str, Any]]:
    """Whole filter specs."""

    def group(kind: str, part: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        parts = st.lists(part, min_size=2, max_size=3)
        fields = {"type": st.just(kind), "sub_expressions": parts}
        return st.fixed_dictionaries(fields, optional={"invert": st.booleans()})

    one = conditions(rows)
    all_of = group("and", one)
    expression = st.one_of(one, all_of, group("or", st.one_of(one, all_of)))
    sorting = st.fixed_dictionaries(
        {"field": st.sampled_from(SORTED)},
        optional={"ascending": st.booleans(), "nulls_first": st.booleans()},
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "expressions": st.lists(expression, max_size=3),
            "order_by": st.lists(sorting, max_size=3),
            "include_inactive": st.booleans(),
        },
    )


def expected(spec: Row, rows: list[Row]) -> list[int]:
    """The keys that are to be served, in their order; ties are by key, in the direction of what decided last."""
    expressions = spec.get("expressions", [])
    inactive = spec.get("include_inactive", False)
    found = [
        row
        for row in rows
        if (inactive or row["deletion_time"] is None)
        and all(holds(each, row) for each in expressions)
    ]
    order = spec.get("order_by") or [{"field": "pk"}]
    for each in reversed([*order, {"field": "pk", "ascending": order[-1].get("ascending", True)}]):
        field, ascending = each["field"], each.get("ascending", True)
        valued = [(value, row) for row in found if (value := value_of(row, field)) is not None]
        nulls = [row for row in found if value_of(row, field) is None]
        valued.sort(key=operator.itemgetter(0), reverse=not ascending)
        there = [row for _, row in valued]
        found = [*nulls, *there] if each.get("nulls_first", not ascending) else [*there, *nulls]
    return [row["pk"] for row in found]


def test_lists_are_what_their_filter_specs_say(server: Place, rows: list[Row]) -> None:
    client = server.rest("admin")
    known = {row["pk"] for row in rows}  # other tests make projects, too

    @hypothesis.settings(max_examples=EXAMPLES)
    @hypothesis.given(spec=specs(rows))
    def ask(spec: dict[str, Any]) -> None:
        answer = client.post("/v1/projects/list", json=spec)
        assert answer.status_code == httpx.codes.OK, answer.text
        served = [row["pk"] for row in answer.json() if row["pk"] in known]
        assert served == expected(spec, rows)

    ask()


def test_a_list_gives_what_one_s_own_teams_have(server: Place, rows: list[Row]) -> None:
    everything = {"include_inactive": True}

    own = server.rest("alice").post("/v1/projects/list/", json=everything).json()

    teams = {row["team"] for row in own}
    assert {row["team.name"] for row in rows if row["team"] in teams} == {"alice's team"}
    assert {"Ufdl a", "True"} <= {row["name"] for row in own}


def test_a_list_has_no_pages(server: Place) -> None:
    fields = (
        f"p{number}: createProject(input: $new) {{ project {{ pk }} }}" for number in range(20)
    )
    many = f"mutation ($new: CreateProjectInput!) {{ {' '.join(fields)} }}"
    made = [
        each["project"]["pk"]
        for _ in range(PAGE // 20 + 1)
        for each in server.graphql().data(many, new={"name": "Ufdl many"}).values()
    ]
    spec = {"expressions": [{"type": "exact", "field": "name", "value": "Ufdl many"}]}

    answer = server.rest().post("/v1/projects/list", json=spec)

    assert [row["pk"] for row in answer.json()] == made
    assert len(made) > PAGE
