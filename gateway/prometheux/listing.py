"""Data sources of a workspace: listed, removed, and their tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Reply, Variables, several
from gateway.failures import Failure
from gateway.lists import whole
from gateway.prometheux import workspaces
from gateway.prometheux.envelope import counted, ok
from gateway.prometheux.failures import project_not_found, source_not_found
from gateway.prometheux.replies import Object, source_row, table_row

REMOVED_MAX = 1_000  # that GraphQL removes at once
USUAL_SCOPE = "user"


@several("DefaultWorkspace", "Sources")
async def list_all(call: Call) -> Reply:
    """Every data source of the workspace, or those of one scope."""
    place = await workspaces.place_to_read(call)
    found = [] if place is None else [row async for row in rows(call, place)]
    return ok(found, counted(len(found), "data source"))


async def rows(call: Call, place: str) -> AsyncIterator[dict[str, Any]]:
    """The rows of a workspace's data sources, of the call's scope where it names one."""
    async for source in _listed(call, "Sources", place, _filter(call.values.get("scope"))):
        yield source_row(source)


async def source_ids(
    call: Call, place: str, statuses: Sequence[str] = (), scope: str | None = None
) -> list[str]:
    """The ids of a workspace's data sources, of the scope or of the one that the call names."""
    chosen = _filter(scope or call.values.get("scope"), statuses)
    return [source["id"] async for source in _listed(call, "SourceIds", place, chosen)]


def _filter(scope: str | None, statuses: Sequence[str] = ()) -> dict[str, Any]:
    chosen = {"scope": scope, "status": list(statuses)}
    return {name: value for name, value in chosen.items() if value}


def _listed(
    call: Call, operation: str, place: str, chosen: dict[str, Any]
) -> AsyncIterator[Object]:
    async def ask(position: Variables) -> Data:
        asked = {"id": place, "filter": chosen or None, **position}
        project = (await call.run(operation, asked))["project"]
        if project is None:
            raise project_not_found()
        sources: Data = project["dataSources"]
        return sources

    return whole(ask)


@several("DefaultWorkspace", "SourceIds", "Cleanup")
async def cleanup(call: Call) -> Reply:
    """Remove the named data sources; all of a scope where none is named.

    Nothing brings them back, so without a scope these are the documented default's, `user`, and not every one.
    """
    place = await workspaces.place_to_read(call)
    named = call.values.get("source_ids")
    if place is None:
        if named:
            raise project_not_found()
        return _removed(0)
    ids = named
    if ids is None:
        ids = await source_ids(call, place, scope=call.values.get("scope") or USUAL_SCOPE)
    elif len(ids) > REMOVED_MAX:
        message = f"`source_ids` has more than {REMOVED_MAX} items."
        raise Failure("INVALID_INPUT", message, hint="Remove them by several requests.")
    count = 0
    for start in range(0, len(ids), REMOVED_MAX):
        given = {"projectId": place, "dataSourceIds": ids[start : start + REMOVED_MAX]}
        gone = await call.run("Cleanup", {"input": given})
        count += gone["cleanupDataSources"]["deletedCount"]
    return _removed(count)


def _removed(count: int) -> Reply:
    return ok({"deleted_count": count}, f"Removed {counted(count, 'data source')}")


@several("DefaultWorkspace", "SourceTables", "LookUpSource")
async def schema(call: Call) -> Reply:
    """The tables of a data source; they are looked up in the source where it was never synced."""
    place = await workspaces.place_to_read(call)
    source = None
    if place is not None:
        source = (await call.run("SourceTables", {"id": call.values["source_id"]}))["dataSource"]
    if source is None or not _is_in(source, place):
        raise source_not_found()
    if not source["tables"] and source["status"] != "DRAFT":
        looked = await call.run("LookUpSource", {"input": {"id": source["id"]}})
        source = looked["introspectDataSource"]["dataSource"]
    tables = [table_row(table) for table in _selected(source)]
    data = {"source_id": source["id"], "name": source["name"], "tables": tables}
    return ok(data, counted(len(tables), "table"))


def _is_in(source: Object, place: str | None) -> bool:
    return place in {source["project"]["id"], str(source["project"]["pk"])}


def _selected(source: Object) -> list[Object]:
    """Its tables without those that it does not sync, which a look into the source gives too."""
    chosen = source["selectedTables"]
    if not chosen:
        return list(source["tables"])
    names = {(each["name"], each["schema"]) for each in chosen}
    anywhere = {each["name"] for each in chosen if each["schema"] is None}
    return [
        table
        for table in source["tables"]
        if (table["name"], table["schema"]) in names or table["name"] in anywhere
    ]
