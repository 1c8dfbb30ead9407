"""The schema: exported, described, a superset of the contract, closed to undeclared fields and free of secrets."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    print_ast,
)
from graphql.utilities.get_default_value_ast import get_default_value_ast

from graph.fields import ANYONE, query
from graph.permissions import NEEDS, undeclared
from graph.schema import export, schema
from tests.house.test_layout import ROOT

CONTRACT = build_schema((Path(__file__).parent / "contract.graphql").read_text(encoding="utf-8"))
OURS: GraphQLSchema = schema._schema

# What the contract promises for later: nothing of it may be declared before it is served.
LATER: set[str] = set()


def declared(of: GraphQLSchema) -> dict[str, str]:
    """Everything a schema declares, by dotted name: its type, and its default where there is one."""
    found: dict[str, str] = {}
    for kind in named_types(of):
        found[kind.name] = type(kind).__name__
        if isinstance(kind, GraphQLEnumType):
            found.update({f"{kind.name}.{value}": "value" for value in kind.values})
        if isinstance(kind, GraphQLInputObjectType):
            found |= {f"{kind.name}.{k}": f"{v.type}{default(v)}" for k, v in kind.fields.items()}
            found[kind.name] += " @oneOf" if kind.is_one_of else ""
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            found.update({f"{kind.name} implements {each.name}": "" for each in kind.interfaces})
            for name, field in kind.fields.items():
                found[f"{kind.name}.{name}"] = str(field.type)
                for argument, value in field.args.items():
                    found[f"{kind.name}.{name}({argument})"] = f"{value.type}{default(value)}"
    return found


def default(value: GraphQLArgument | GraphQLInputField) -> str:
    """The default as it stands in the schema's text."""
    literal = get_default_value_ast(value)
    return "" if literal is None else f" = {print_ast(literal)}"


def named_types(of: GraphQLSchema) -> Iterator[GraphQLNamedType]:
    return (kind for name, kind in of.type_map.items() if not name.startswith("__"))


def is_later(name: str) -> bool:
    kind, _, _ = name.partition(".")
    field = re.sub(r"\(.*", "", name)
    return bool({kind, field, name} & LATER) or kind.split(" ")[0] in LATER


def test_the_exported_file_is_what_the_code_serves() -> None:
    assert (ROOT / "schema.graphql").read_text(encoding="utf-8") == export(), "run `make schema`"


def test_the_export_is_the_same_in_every_process() -> None:
    command = [sys.executable, "-m", "graph.schema"]
    for seed in ("1", "2"):
        done = subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert done.stdout.decode() == export()


def test_all_that_is_served_of_the_contract_is_served_as_the_contract_says() -> None:
    promised = {name: shape for name, shape in declared(CONTRACT).items() if not is_later(name)}
    ours = declared(build_schema(export()))

    assert {name: ours.get(name) for name in promised} == promised


def test_nothing_of_what_comes_later_is_declared() -> None:
    names = {re.sub(r"\(.*", "", name) for name in declared(OURS)}

    assert names & LATER == set()
    assert {name for name in declared(CONTRACT) if name in LATER} == LATER


def test_everything_is_described() -> None:
    silent = []
    for kind in named_types(OURS):
        if kind.name in {"Query", "Mutation", "Subscription"} or kind.name in {
            "String",
            "Int",
            "Float",
            "Boolean",
            "ID",
        }:
            continue
        if not kind.description:
            silent.append(kind.name)
    for name, thing in described(OURS):
        if not (thing.description or "").strip():  # type: ignore[attr-defined]
            silent.append(name)

    assert silent == []


def described(of: GraphQLSchema) -> Iterator[tuple[str, object]]:
    for kind in named_types(of):
        members = getattr(kind, "fields", None) or getattr(kind, "values", None) or {}
        for name, member in members.items():
            yield f"{kind.name}.{name}", member
            for argument, value in getattr(member, "args", {}).items():
                yield f"{kind.name}.{name}({argument})", value


def test_no_output_field_could_hold_a_secret() -> None:
    forbidden = re.compile(r"password|secret|credential|hash|private|sealed", re.IGNORECASE)
    shown = [
        f"{kind.name}.{name}"
        for kind in named_types(OURS)
        if isinstance(kind, GraphQLObjectType) and kind.name not in {"Mutation", "Query"}
        for name in kind.fields
        if forbidden.search(name)
    ]

    # A hash of bytes is no secret, and a token's own secret is shown once, by the mutation that makes it.
    allowed = {"ConnectionInfo.hasSecret", "CreateApiTokenPayload.secret"}
    assert set(shown) <= allowed


def test_every_root_field_says_what_it_needs() -> None:
    for root in (OURS.query_type, OURS.mutation_type):
        for name, field in root.fields.items() if root else ():
            strawberry_field = field.extensions["strawberry-definition"]
            assert NEEDS in strawberry_field.metadata, name


def test_a_root_field_without_a_declaration_is_refused() -> None:
    @strawberry.type
    class Careless:
        @strawberry.field
        def open(self) -> int:
            return 1

        @query(needs=ANYONE)
        @staticmethod
        def declared() -> int:
            return 1

    assert list(undeclared(Careless)) == ["Careless.open"]
