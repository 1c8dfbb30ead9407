"""The first rows of a data source."""

from __future__ import annotations

import re

from gateway.call import Call
from gateway.dialect import Reply, several
from gateway.failures import NOT_SERVED, Failure, Problem, invalid
from gateway.prometheux import workspaces
from gateway.prometheux.envelope import counted, ok
from gateway.prometheux.failures import source_not_found
from gateway.prometheux.listing import rows
from gateway.prometheux.replies import Object

ROWS_MAX = 1_000  # that GraphQL gives at once
USUAL_ROWS = 50
_PREDICATE = re.compile(r'^\s*@bind\(\s*"(?:[^"\\]|\\.)*"\s*,\s*')
_NOT_OURS = ("order_by", "search_term", "column_filters")


@several("DefaultWorkspace", "Sources", "SourceRows")
async def preview(call: Call) -> Reply:
    """Rows of the current snapshot, of the data source that has this `bind_annotation`, or this id."""
    values = call.values
    for name in _NOT_OURS:
        if values.get(name):
            raise Failure(
                NOT_SERVED,
                f"Headwater does not serve `{name}` here.",
                hint="GraphQL's `Table.rows` filters and sorts.",
            )
    size = values.get("page_size") or values.get("limit") or USUAL_ROWS
    page = values.get("page") or 1
    if page * size > ROWS_MAX:
        raise Failure(
            "INVALID_INPUT",
            f"A preview ends at row {ROWS_MAX}.",
            hint="GraphQL's `Table.rows` pages through all of them.",
        )
    source = await _source(call)
    asked = {"id": source["id"], "table": source.get("table"), "first": page * size}
    table = ((await call.run("SourceRows", asked))["dataSource"] or {}).get("table")
    if table is None:
        raise source_not_found()
    found = table["rows"]
    data = {
        "columns": [column["name"] for column in found["columns"]],
        "rows": found["rows"][(page - 1) * size :],
        "total_count": found["totalCount"],
        "page": page,
        "page_size": size,
    }
    return ok(data, counted(len(data["rows"]), "row"))


async def _source(call: Call) -> Object:
    """The id of the data source, and its table where the annotation names one."""
    place = await workspaces.place_to_read(call)
    id_, annotation = call.values.get("source_id"), call.values.get("bind_annotation")
    if not (id_ or annotation):
        message = "`bind_annotation` is missing, as `list` gives it, or `source_id`."
        raise invalid(Problem("bind_annotation", "required", message))
    if place is not None:
        async for row in rows(call, place):
            if row["id"] == id_ or (
                annotation and _bound(row["bind_annotation"]) == _bound(annotation)
            ):
                return {"id": row["id"]}
    raise source_not_found()


def _bound(annotation: str) -> str:
    """What an annotation binds, whatever the predicate is called."""
    return _PREDICATE.sub("", annotation.strip())
