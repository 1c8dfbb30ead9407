"""The schema: every noun's queries and mutations, composed; built once, and refused where a permission is missing."""

from __future__ import annotations

import sys

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from graph.access.mutations import AccessMutations
from graph.access.queries import AccessQueries
from graph.datasets.mutations import DatasetMutations
from graph.datasets.queries import DatasetQueries
from graph.jobs.mutations import JobMutations
from graph.jobs.queries import JobQueries
from graph.jobs.subscriptions import JobSubscriptions
from graph.permissions import undeclared
from graph.projects.mutations import ProjectMutations
from graph.projects.queries import ProjectQueries
from graph.scalars import SCALARS
from graph.schedules.mutations import ScheduleMutations
from graph.schedules.queries import ScheduleQueries
from graph.scripts.mutations import ScriptMutations
from graph.scripts.queries import ScriptQueries
from graph.siblings import share_arguments
from graph.snapshots.diffs import DiffQueries
from graph.snapshots.mutations import SnapshotMutations
from graph.sources.mutations import SourceMutations
from graph.sources.queries import SourceQueries
from graph.uploads.mutations import UploadMutations
from graph.uploads.queries import UploadQueries

_QUERIES = (
    AccessQueries,
    ProjectQueries,
    DatasetQueries,
    SourceQueries,
    UploadQueries,
    ScriptQueries,
    JobQueries,
    ScheduleQueries,
    DiffQueries,
)
_MUTATIONS = (
    AccessMutations,
    ProjectMutations,
    DatasetMutations,
    UploadMutations,
    SourceMutations,
    SnapshotMutations,
    ScriptMutations,
    JobMutations,
    ScheduleMutations,
)
_SUBSCRIPTIONS = (JobSubscriptions,)


def build(*, suggestions: bool = True) -> strawberry.Schema:
    """The schema; raises TypeError for a root field that does not declare what it needs.

    Without `suggestions`, for servers that hide their schema, errors do not guess at names.
    """
    query = merge_types("Query", _QUERIES)
    mutation = merge_types("Mutation", _MUTATIONS)
    subscription = merge_types("Subscription", _SUBSCRIPTIONS)
    roots = (query, mutation, subscription)
    missing = [name for root in roots for name in undeclared(root)]
    if missing:
        message = f"these root fields declare no permission: {', '.join(missing)}"
        raise TypeError(message)
    built = strawberry.Schema(
        query,
        mutation,
        subscription,
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not suggestions),
    )
    _say_no_null_defaults(built._schema)  # noqa: SLF001 - Strawberry has no other name for it
    share_arguments(built)
    return built


def _say_no_null_defaults(schema: GraphQLSchema) -> None:
    """An argument that may be left out has no default in the contract; Python's None is not one."""
    for kind in schema.type_map.values():
        inputs: list[GraphQLArgument | GraphQLInputField] = []
        if isinstance(kind, GraphQLInputObjectType):
            inputs.extend(kind.fields.values())
        elif isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            inputs.extend(each for field in kind.fields.values() for each in field.args.values())
        for each in inputs:
            if each.default_value is None:
                each.default_value = Undefined


def export() -> str:
    """The schema as text: the same bytes for the same code."""
    return print_schema(schema) + "\n"


schema = build()

if __name__ == "__main__":
    sys.stdout.write(export())
