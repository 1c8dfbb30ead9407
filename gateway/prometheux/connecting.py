"""Connecting data sources, and trying connections, in both spellings of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.call import Call
from gateway.dialect import Reply, several
from gateway.failures import Failure, Problem, invalid, text_of
from gateway.prometheux import choosing, connections, workspaces
from gateway.prometheux.choosing import Found
from gateway.prometheux.connections import Connection
from gateway.prometheux.envelope import counted, ok, said_no
from gateway.prometheux.failures import words
from gateway.prometheux.listing import USUAL_SCOPE
from gateway.prometheux.replies import Object, source_row, table_row
from gateway.prometheux.syncing import finished

SOURCES_MAX = 100  # that GraphQL connects at once
# Failures that a test of a connection tells as its result.
_RESULTS = frozenset({"INVALID_FIELDS", "INVALID_INPUT", "UNSUPPORTED", "CONNECTION_FAILED"})


@several(*workspaces.PLACE, "Kinds", "TestConnection", "LookUpTables", "Connect", "SyncJobs")
async def connect(call: Call) -> Reply:
    """Connect what the body says: `sources`, each as one data source, or `database`, one for each of its tables."""
    values = call.values
    sources, database = values.get("sources"), values.get("database")
    if database is not None:
        return await _connect_database(call, database)
    if not sources:
        message = "`sources` is missing: the data sources to connect; or `database`, one whose tables are connected."
        raise invalid(Problem("sources", "required", message))
    return await _connect_sources(call, sources)


async def _connect_sources(call: Call, sources: Sequence[Mapping[str, Any]]) -> Reply:
    asked = [await _asked(call, source, index) for index, source in enumerate(sources)]
    place = await workspaces.place_to_connect(call)
    given: list[dict[str, Any]] = []
    refused: list[str] = []
    notes = [note for connection, _ in asked for note in connection.notes]
    trials = _Trials(call, place)
    for source, (connection, wants) in zip(sources, asked, strict=True):
        name, chosen = source["name"], {}
        if wants.is_everything:
            complaint = await trials.complaint(name, connection)
        else:
            found = await _look_up(call, place, connection)
            complaint = found if isinstance(found, str) else None
            if not isinstance(found, str):
                chosen = {"tables": [each for _, each in choosing.choose(found, wants)]}
        if complaint is not None:
            refused.append(f"{name}: {complaint}")
        given.append(_source(name, connection, source.get("metadata")) | chosen)
    if refused:
        return _not_connected(" ".join(refused))
    connected, _ = await _connect(call, place, given)
    rows = [source_row(each) for each in connected]
    return _connected(
        rows, " ".join([f"Connected {counted(len(rows), 'data source')}.", *notes, *trials.notes])
    )


class _Trials:
    """Tries connections, until it has been asked too often in a minute: the syncs tell of the others."""

    def __init__(self, call: Call, place: str) -> None:
        self._call = call
        self._place = place
        self.notes: list[str] = []

    async def complaint(self, name: str, connection: Connection) -> str | None:
        """Why the connection of a source does not work; None where it does, or is not tried any more."""
        if self.notes:
            return None
        try:
            return await _try(self._call, self._place, connection)
        except Failure as failure:
            if failure.code != "RATE_LIMITED":
                raise
            self.notes.append(
                f"From {name} on the connections are not tried ({failure.message}): the syncs will tell."
            )
            return None


async def _connect_database(call: Call, database: Mapping[str, Any]) -> Reply:
    """Look the tables up, then make a data source of each that is wanted."""
    connection = await _supported(call, lambda: connections.of_database(database))
    wants = choosing.wanted(database, "database")
    place = await workspaces.place_to_connect(call)
    found = await _look_up(call, place, connection)
    if isinstance(found, str):
        return _not_connected(found)
    chosen = choosing.choose(found, wants)
    if not chosen:
        return _not_connected("The connection works, but there is no table to connect.")
    tables = [table for table, _ in chosen]
    is_whole = len(found) == 1 and wants.is_everything
    given = [
        _source(title, connection, None) | ({} if is_whole else {"tables": [selection]})
        for title, (_, selection) in zip(choosing.titles(tables), chosen, strict=True)
    ]
    connected, jobs = await _connect(call, place, given)
    synced = await _synced(call, jobs) if call.values.get("computeRowCount") else {}
    rows = [
        source_row(source)
        | {"type": "table", "row_count": table["rowCount"]}
        | synced.get(source["id"], {})
        for source, table in zip(connected, tables, strict=True)
    ]
    return _connected(rows, "Database connection successful")


async def _synced(call: Call, jobs: Sequence[Object]) -> dict[str, dict[str, Any]]:
    """What is known by data source of those whose first sync is over within the wait."""
    return {
        job["dataSource"]["id"]: {"row_count": job["snapshot"]["rowCount"], "status": "synced"}
        for job in await finished(call, jobs)
        if job["dataSource"] and job["snapshot"]
    }


async def _connect(
    call: Call, place: str, given: Sequence[Mapping[str, Any]]
) -> tuple[list[Object], list[Object]]:
    """The new data sources, and their syncs."""
    sources: list[Object] = []
    jobs: list[Object] = []
    for start in range(0, len(given), SOURCES_MAX):
        asked: dict[str, Any] = {
            "projectId": place,
            "scope": call.values.get("scope") or USUAL_SCOPE,
            "sources": list(given[start : start + SOURCES_MAX]),
            "idempotencyKey": call.idempotency_key(f"connect-{start}" if start else "connect"),
        }
        done = (await call.run("Connect", {"input": asked}))["connectDataSources"]
        sources += done["dataSources"]
        jobs += done["jobs"]
    return sources, jobs


def _source(name: str, connection: Connection, metadata: Any) -> dict[str, Any]:
    noted = {} if metadata is None else {"metadata": metadata}
    return {"name": name, "connection": connection.given, **noted}


async def _asked(
    call: Call, source: Mapping[str, Any], index: int
) -> tuple[Connection, choosing.Wanted]:
    """The connection of one of `sources[]`, and what is wanted of it."""
    path = f"sources.{index}"
    config = source["connection_config"]
    connection = await _supported(call, lambda: connections.of_source(source["type"], config, path))
    return connection, choosing.wanted(config, f"{path}.connection_config")


async def _supported(call: Call, read: Any) -> Connection:
    """What `read` gives; an unknown kind of source is refused with those that there are."""
    try:
        connection: Connection = read()
    except connections.Unknown as unknown:
        kinds = (await call.run("Kinds", {}))["serverInfo"]["connectionKinds"]
        unknown.hint = f"It has: {', '.join(kinds)}."
        raise
    return connection


async def _try(call: Call, place: str, connection: Connection) -> str | None:
    """Why a connection does not work; None where it does."""
    asked = {"projectId": place, "connection": connection.given}
    tested = (await call.run("TestConnection", {"input": asked}))["testConnection"]
    return None if tested["ok"] else _complaint(tested)


async def _look_up(call: Call, place: str, connection: Connection) -> list[Found] | str:
    """The tables of a source, or why there is no connection to it."""
    asked = {"projectId": place, "connection": connection.given}
    tested = (await call.run("LookUpTables", {"input": asked}))["testConnection"]
    return tested["tables"] if tested["ok"] else _complaint(tested)


def _complaint(tested: Object) -> str:
    return text_of(tested["error"]) if tested["error"] else str(tested["message"])


def _connected(rows: list[dict[str, Any]], message: str) -> Reply:
    data = {
        "connectionStatus": True,
        "sources": rows,
        "connected_sources": rows,
        "errorMessage": None,
    }
    return ok(data, message)


def _not_connected(message: str) -> Reply:
    data = {
        "connectionStatus": False,
        "sources": [],
        "connected_sources": [],
        "errorMessage": message,
    }
    return said_no(data, f"Connection failed. {message}")


@several(*workspaces.PLACE, "Kinds", "TestConnection")
async def test_connection(call: Call) -> Reply:
    """Try a connection and keep nothing of it; that it does not work is an answer."""
    config = call.values["source_config"]
    try:
        connection = await _supported(
            call,
            lambda: connections.of_source(
                config["type"], config["connection_config"], "source_config"
            ),
        )
        place = await workspaces.place_to_connect(call)
        asked = {"projectId": place, "connection": connection.given}
        tested = (await call.run("TestConnection", {"input": asked}))["testConnection"]
    except Failure as failure:
        if failure.code not in _RESULTS or workspaces.is_unknown_place(failure):
            raise
        return said_no(_result(words(failure)), words(failure))
    if not tested["ok"]:
        return said_no(_result(_complaint(tested)), _complaint(tested))
    versions = {"server_version": tested["serverVersion"], "latency_ms": tested["latencyMs"]}
    return ok(_result(None) | versions, " ".join([tested["message"], *connection.notes]))


def _result(complaint: str | None) -> dict[str, Any]:
    return {
        "connectionStatus": complaint is None,
        "errorMessage": complaint,
        "server_version": None,
        "latency_ms": None,
    }


@several(*workspaces.PLACE, "Kinds", "LookUpTables")
async def infer_schema(call: Call) -> Reply:
    """The tables of a source. What this API infers of them, a program, is not Headwater's."""
    database = call.values["database"]
    connection = await _supported(call, lambda: connections.of_database(database))
    wants = choosing.wanted(database, "database")
    place = await workspaces.place_to_connect(call)
    found = await _look_up(call, place, connection)
    if isinstance(found, str):
        return said_no({"tables": []}, f"Connection failed. {found}")
    tables = [table_row(table) for table, _ in choosing.choose(found, wants)]
    return ok({"tables": tables}, "Tables and columns; Headwater infers no Vadalog program of them")
