"""The fast executor answers exactly what graphql-core's own does: the same data, errors, paths and resolver calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from functools import partialmethod
from typing import Any, NamedTuple

import orjson
import pytest
import strawberry
from graphql import DocumentNode, ExecutionResult, execute, parse, validate
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.executor import FastExecutor, Plans
from graph.limits import Shape
from graph.serialized import Serialized, dumps

CALLS: Counter[str] = Counter()


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Row(NamedTuple):
    """A row as the models give it; every value may be anything."""

    key: Any
    text: Any
    maybe: Any
    whole: Any
    real: Any
    flag: Any
    colour: Any
    stamp: Any
    tags: Any
    child: Any
    children: Any
    grid: Any


class Failing:
    """Rows whose attributes raise."""

    @property
    def text(self) -> str:
        raise RuntimeError("no text")

    def __getattr__(self, name: str) -> Any:
        return getattr(row(), name)


def row(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "key": "k", "text": "t", "maybe": None, "whole": 1, "real": 1.5, "flag": True, "colour": Colour.RED,
        "stamp": datetime(2026, 11, 21, tzinfo=UTC), "tags": ["a", "b"], "child": None, "children": [], "grid": [["x"]],
    }  # fmt: skip
    return Row(**(values | changes))


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def resolved(info: strawberry.Info, value: Any) -> Any:
    """What a resolver does with the value that stands in the row."""
    CALLS[str(info.path.as_list())] += 1
    value = value() if callable(value) else value
    if isinstance(value, Exception):
        raise value
    return value


@strawberry.type
class Thing:
    key: strawberry.ID
    text: str
    maybe: str | None
    whole: int
    real: float
    flag: bool
    colour: Colour
    stamp: datetime
    tags: list[str]
    child: Thing | None
    children: list[Thing]
    grid: list[list[str | None] | None]

    @strawberry.field(graphql_type=str)  # type: ignore[untyped-decorator]
    def shout(parent: strawberry.Parent[Any], info: strawberry.Info, suffix: str = "!") -> Any:
        return resolved(info, parent.text) + suffix

    @strawberry.field(graphql_type=str | None)  # type: ignore[untyped-decorator]
    async def whisper(parent: strawberry.Parent[Any], info: strawberry.Info) -> Any:
        await asyncio.sleep(0)
        value = resolved(info, parent.maybe)
        return await value if asyncio.iscoroutine(value) else value

    @strawberry.field(graphql_type=list["Thing"])  # type: ignore[untyped-decorator]
    async def loaded(parent: strawberry.Parent[Any], info: strawberry.Info) -> Any:
        await asyncio.sleep(0)
        return resolved(info, parent.children)

    @strawberry.field(graphql_type="Thing | None")  # type: ignore[untyped-decorator]
    def future(parent: strawberry.Parent[Any], info: strawberry.Info) -> Any:
        CALLS[str(info.path.as_list())] += 1
        done = asyncio.get_running_loop().create_future()
        done.set_result(parent.child)
        return done


@strawberry.type
class Query:
    @strawberry.field(graphql_type=list[Thing])  # type: ignore[untyped-decorator]
    async def things(self, info: strawberry.Info) -> Any:
        return info.context["rows"]

    @strawberry.field(graphql_type=list[Thing | None] | None)  # type: ignore[untyped-decorator]
    def holes(self, info: strawberry.Info) -> Any:
        return info.context["rows"]

    @strawberry.field(graphql_type=Thing | None)  # type: ignore[untyped-decorator]
    def thing(self, info: strawberry.Info) -> Any:
        return info.context["rows"][0]


CORE = strawberry.Schema(Query)._schema


async def run(
    executor: type[Any], query: str | DocumentNode, rows: Any, **variables: Any
) -> tuple[Any, Any]:
    """Data, and the errors in order of their path; with the calls of resolvers."""
    CALLS.clear()
    before = asyncio.all_tasks()
    document = parse(query) if isinstance(query, str) else query
    assert validate(CORE, document) == []
    done = execute(
        CORE,
        document,
        context_value={"rows": rows() if callable(rows) else rows},
        variable_values=variables,
        executor_class=executor,
    )
    result: Any = await done if asyncio.iscoroutine(done) else done
    assert isinstance(result, ExecutionResult)
    errors = sorted(
        (str(error.path), error.message, str(error.locations), type(error.original_error).__name__)
        for error in result.errors or ()
    )
    if rest := asyncio.all_tasks() - before:
        await asyncio.wait(rest)  # what graphql-core leaves behind in the background
    return (orjson.loads(dumps(result.data)), errors), CALLS.copy()


def keep(document: DocumentNode) -> type[FastExecutor]:
    """An executor that keeps what it works out about this document."""
    shape = Shape.of(document)
    plans = Plans(shape.fragments, shape.operations[0])
    init = partialmethod(FastExecutor.__init__, plans=plans)
    return type("Keeping", (FastExecutor,), {"__init__": init, "plans": plans})


async def same(query: str, rows: Any, **variables: Any) -> Any:
    """The answer of both, which has to be the same."""
    stock, stock_calls = await run(StrawberryGraphQLCoreExecutionContext, query, rows, **variables)
    fast, fast_calls = await run(FastExecutor, query, rows, **variables)

    document = parse(query)
    keeping = keep(document)
    for _ in range(2):
        kept, _ = await run(keeping, document, rows, **variables)
        assert kept == stock

    assert fast == stock
    assert set(fast_calls.values()) <= {1}
    if not fast[1]:  # after a failure, how much else was begun is a matter of order
        assert fast_calls == stock_calls
    return fast


SELECTIONS = [
    "key text maybe whole real flag colour stamp tags grid __typename",
    "a: text b: text kind: __typename text",
    "child { key text child { key } } children { key maybe child { text } }",
    'shout loud: shout(suffix: "?") whisper',
    "loaded { key shout loaded { key whisper } } future { text loaded { key } }",
    "...F children { ...F } child { ... on Thing { ...F key } ... @include(if: false) { text } }",
    "text @skip(if: $yes) maybe @include(if: $yes) child @include(if: $no) { text }",
]  # fmt: skip
FRAGMENT = "fragment F on Thing { text child { text } whisper }"
FAMILY = row(
    child=row(key="c", text="ct"),
    children=[row(key="d", child=row(key="e"), children=[row(key="f")]), row(key="g")],
)
ROWS: dict[str, Callable[[], Any]] = {
    "none": list,
    "one": lambda: [row()],
    "many": lambda: [row(key=str(number), whole=number) for number in range(20)],
    "family": lambda: [FAMILY, row(), FAMILY],
    "a tuple": lambda: (row(), FAMILY),
    "a generator": lambda: (each for each in [row(), FAMILY]),
    "not a list": lambda: row().key,
    "a hole": lambda: [row(), None],
    "an exception among them": lambda: [row(), RuntimeError("row")],
    "an awaitable among them": lambda: [row(), later(row(key="late"))],
    "a failing awaitable": lambda: [row(), later(RuntimeError("late"))],
    "a failing attribute": lambda: [row(), Failing()],
    "a stranger": lambda: [row(), object()],
    "serialised": lambda: [row(tags=Serialized(b'["s"]'), grid=Serialized(b'[["g"],null]'))],
}  # fmt: skip
VALUES: dict[str, list[Any]] = {
    "key": [None, 5, "", b"x", object(), RuntimeError("key")],
    "text": [None, 5, True, 1.5, [], RuntimeError("text"), lambda: "called"],
    "maybe": [5, RuntimeError("maybe"), "m", {}],
    "whole": [None, True, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 1.0, 1.5, "7", "x", RuntimeError("whole")],
    "real": [None, 1, True, float("nan"), float("inf"), "1.5", "x"],
    "flag": [None, 1, 0, "true", []],
    "colour": [None, "red", "RED", Colour.BLUE, 5, [], RuntimeError("colour")],
    "stamp": [None, "2026", 5],
    "tags": [None, [], ("a",), ["a", None], "ab", 5, {"a"}, [RuntimeError("tag")]],
    "child": [5, RuntimeError("child"), row(text=None), row(child=row(text=None))],
    "children": [None, [None], [5], [row(text=None)], [row(children=[row(text=RuntimeError("deep"))])]],
    "grid": [None, [], [None], [["a", None], None, []], [[5]], [[[]]], "ab"],
}  # fmt: skip


def query(root: str, selection: str) -> str:
    variables = "($yes: Boolean = true, $no: Boolean = false)" if "$" in selection else ""
    fragment = FRAGMENT if "...F" in selection else ""
    return f"query {variables} {{ {root} {{ {selection} }} }} {fragment}"


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("selection", SELECTIONS)
async def test_rows_of_any_kind(name: str, selection: str) -> None:
    for root in ("things", "holes"):
        await same(query(root, selection), ROWS[name])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param(column, value, id=f"{column}-{number}")  # the same in every process
        for column in VALUES
        for number, value in enumerate(VALUES[column])
    ],
)
async def test_values_of_any_kind(column: str, value: Any) -> None:
    def rows() -> list[Any]:
        return [row(), row(**{column: value}), FAMILY]

    for selection in SELECTIONS[:5]:
        for root in ("things", "holes", "thing"):
            await same(query(root, selection), rows)


@pytest.mark.parametrize("yes", [True, False])
async def test_directives_with_variables(yes: bool) -> None:  # noqa: FBT001 - a parameter of the test
    text = "query ($yes: Boolean!, $no: Boolean!) { things { key " + SELECTIONS[-1] + " } }"

    data, errors = await same(text, [FAMILY], yes=yes, no=not yes)

    assert errors == []
    assert ("text" in data["things"][0]) is not yes


async def test_arguments_with_variables() -> None:
    text = 'query ($s: String! = "…") { things { shout(suffix: $s) a: shout } }'

    given, _ = await same(text, [row(), row()], s="#")
    default, _ = await same(text, [row(), row()])

    assert given["things"][0] == {"shout": "t#", "a": "t!"}
    assert default["things"][1] == {"shout": "t…", "a": "t!"}


async def test_the_schema_itself() -> None:
    text = """{ __schema { types { name kind fields { name type { name ofType { name ofType { name } } }
      args { name defaultValue } } enumValues { name } } } __type(name: "Thing") { name fields { name } } }"""

    data, errors = await same(text, [])

    assert errors == []
    assert data["__type"]["name"] == "Thing"


async def test_the_order_of_fields_is_that_of_the_query() -> None:
    text = "{ things { whisper text __typename loaded { shout key } child { key } key } }"

    data, _ = await same(text, [FAMILY])

    assert list(data["things"][0]) == ["whisper", "text", "__typename", "loaded", "child", "key"]
    assert list(data["things"][0]["loaded"][0]) == ["shout", "key"]


async def test_what_is_serialised_goes_into_the_answer_as_it_is() -> None:
    rows = [row(tags=Serialized(b"[1, 2.50]"))]

    result = await execute(  # type: ignore[misc]
        CORE,
        parse("{ things { key tags } }"),
        context_value={"rows": rows},
        executor_class=FastExecutor,
    )

    assert dumps(result.data) == b'{"things":[{"key":"k","tags":[1, 2.50]}]}'


async def test_no_resolver_runs_twice_when_the_fast_way_fails() -> None:
    rows = [row(), row(text="u"), row(maybe=RuntimeError("late")), row()]

    (_, errors), calls = await run(FastExecutor, "{ things { shout whisper } }", rows)

    assert [error[1] for error in errors] == ["late"]
    assert (len(calls), set(calls.values())) == (8, {1})


async def test_resolvers_of_one_level_run_at_once() -> None:
    """Or loaders could not batch: here each waits for all the others."""
    waiting = 0
    everyone = asyncio.Event()

    async def meet() -> str:
        nonlocal waiting
        waiting += 1
        if waiting == 6:
            everyone.set()
        await asyncio.wait_for(everyone.wait(), 60)
        return "met"

    text = "{ things { whisper b: whisper } }"
    (data, errors), _ = await run(FastExecutor, text, lambda: [row(maybe=meet) for _ in range(3)])

    assert errors == []
    assert data == {"things": [{"whisper": "met", "b": "met"}] * 3}


async def test_what_is_kept_does_not_grow_with_executions() -> None:
    document = parse("{ things { key loaded { key } } holes { child { key } children { text } } }")
    keeping = keep(document)
    kept: Any = keeping.plans  # type: ignore[attr-defined]
    sizes = []
    for rows in ([FAMILY], [FAMILY, row(text=None)], [row(children=[row(text=None)])], [FAMILY]):
        await run(keeping, document, rows)
        sizes.append((len(kept.completers), len(kept.collected)))

    assert sizes[0][0] > 0
    assert sizes[1:] == [sizes[1]] * 3


def plans(text: str) -> Plans:
    shape = Shape.of(parse(text))
    return Plans(shape.fragments, shape.operations[0])


def test_only_operations_without_conditions_are_kept_worked_out() -> None:
    assert plans("{ things { key } }").is_fixed
    assert plans("query @a { things { key } }").is_fixed
    assert not plans("query ($a: Boolean!) { things { key @skip(if: $a) } }").is_fixed
    assert not plans(
        "{ ...F } fragment F on Query { things { ... @include(if: true) { key } } }"
    ).is_fixed
