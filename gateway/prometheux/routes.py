"""What is served of the Prometheux Data API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.call import Call
from gateway.dialect import Dialect, Reply, Route, one, several
from gateway.documents import Operations
from gateway.failures import NOT_SERVED, Failure
from gateway.fields import Field
from gateway.prometheux import (
    connecting,
    failures,
    fields,
    files,
    listing,
    previews,
    schemas,
    syncing,
    tokens,
    workspaces,
)

_DATA = "/api/v1/data"


@several()
async def _not_served(call: Call) -> Reply:
    raise Failure(
        NOT_SERVED,
        f"Headwater does not serve {call.route.method} {call.path}.",
        hint="It connects, lists, syncs and removes data sources; /gateway/docs shows all that is served.",
    )


def _within(route: Route) -> Route:
    """A route of `/data/…` with the workspace in its path."""
    path = route.path.replace(_DATA, f"{_DATA}/{{workspace_id}}", 1)
    return replace(route, path=path, fields=(fields.WORKSPACE, *route.fields))


def _refused(method: str, path: str, *parameters: Field) -> Route:
    return Route(method, path, "Not served", _not_served, fields=parameters, replies={})


_SERVED = (
    Route(
        "POST",
        f"{_DATA}/connect",
        "Connect data sources",
        connecting.connect,
        fields=fields.CONNECT,
        replies={200: schemas.CONNECTED},
        is_repeatable=True,
        about="`sources` become one data source each, `database` one for each of its tables. They are synced at once.",
    ),
    Route(
        "GET",
        f"{_DATA}/list",
        "List data sources",
        listing.list_all,
        fields=(fields.SCOPE_IN_QUERY,),
        replies={200: schemas.LISTED},
    ),
    Route(
        "POST",
        f"{_DATA}/sync",
        "Sync data sources",
        syncing.sync,
        fields=fields.SYNC,
        replies={200: schemas.SYNCED},
        is_repeatable=True,
        about="Waits for the syncs a while, then answers how far they are.",
    ),
    Route(
        "POST",
        f"{_DATA}/cleanup",
        "Remove data sources",
        listing.cleanup,
        fields=fields.CLEANUP,
        replies={200: schemas.REMOVED},
    ),
    Route(
        "POST",
        f"{_DATA}/test-connection",
        "Try a connection",
        connecting.test_connection,
        fields=fields.TEST,
        replies={200: schemas.TESTED},
    ),
    Route(
        "GET",
        f"{_DATA}/schema",
        "The tables of a data source",
        listing.schema,
        fields=(fields.SOURCE, fields.SCOPE_IN_QUERY),
        replies={200: schemas.SCHEMA},
    ),
    Route(
        "POST",
        f"{_DATA}/infer-schema",
        "The tables of a database that is not connected",
        connecting.infer_schema,
        fields=(fields.REQUIRED_DATABASE, fields.SCOPE),
        replies={200: schemas.INFERRED},
    ),
    Route(
        "POST",
        f"{_DATA}/preview",
        "The first rows of a data source",
        previews.preview,
        fields=fields.PREVIEW,
        replies={200: schemas.PREVIEW},
    ),
    Route(
        "POST",
        f"{_DATA}/files/upload",
        "Upload a file",
        files.upload,
        fields=fields.UPLOAD,
        replies={200: schemas.UPLOADED},
        is_repeatable=True,
        accepts=("form",),
    ),
)

_OTHERS = (
    Route(
        "POST",
        "/api/v1/workspaces/save",
        "Make a workspace, or rename one",
        workspaces.save,
        fields=fields.SAVE,
        replies={200: schemas.WORKSPACE},
        is_repeatable=True,
    ),
    Route(
        "GET",
        "/api/v1/workspaces/list",
        "List workspaces",
        workspaces.list_all,
        replies={200: schemas.WORKSPACES},
    ),
    Route(
        "GET",
        "/api/v1/workspaces/{workspace_id}/load",
        "A workspace",
        workspaces.load,
        fields=(fields.WORKSPACE,),
        replies={200: schemas.LOADED},
    ),
    Route(
        "POST",
        "/api/v1/auth/issue-token",
        "Make an API token",
        tokens.issue,
        fields=fields.ISSUE,
        replies={200: schemas.ISSUED},
    ),
    Route(
        "GET",
        "/api/v1/auth/tokens",
        "List your API tokens",
        one("Tokens", lambda _: {}, tokens.listed),
        replies={200: schemas.TOKENS},
    ),
    Route(
        "POST",
        "/api/v1/auth/revoke",
        "End an API token",
        tokens.revoke,
        fields=fields.REVOKE,
        replies={200: schemas.REVOKED},
        about="The one in use where none is named.",
    ),
    Route(
        "POST",
        "/api/v1/auth/revoke/{jti}",
        "End the API token that is named",
        tokens.revoke,
        fields=(fields.JTI_IN_PATH,),
        replies={200: schemas.REVOKED},
    ),
    Route(
        "POST",
        "/api/v1/auth/revoke-all",
        "End all your API tokens",
        tokens.revoke_all,
        replies={200: schemas.REVOKED_ALL},
    ),
    Route(
        "GET",
        "/api/v1/users/get-role",
        "What your token may do",
        one("Who", lambda _: {}, tokens.role),
        replies={200: schemas.ROLE},
    ),
    Route(
        "GET",
        "/api/v1/ontologies/list",
        "No ontologies, to whoever has a good token",
        one("Who", lambda _: {}, tokens.no_ontologies),
        replies={200: schemas.NO_ONTOLOGIES},
        about="Logging in asks for this.",
    ),
)

_REFUSED = (
    _refused("GET", "/api/v1/users/usage-status"),
    _refused("POST", "/api/v1/workspaces/{workspace_id}/export-tables", fields.WORKSPACE),
    *(
        _refused(method, f"{_DATA}/{verb}")
        for verb in ("list-sheets", "demo-sources", "refresh", "all-pairs-join")
        for method in ("GET", "POST")
    ),
    *(
        _refused(method, f"{_DATA}/files/{{verb}}", fields.FILES_VERB)
        for method in ("GET", "POST", "DELETE")
    ),
)

DIALECT = Dialect(
    name="prometheux",
    title="Prometheux Data API",
    about=(
        "Data sources in workspaces, which are Headwater's projects: `{workspace_id}` is a project's id, its integer "
        "key, or `ws_` and the key. The literal `workspace_id`, and none at all, mean your default project. "
        'Every reply is `{"data", "message", "status"}`.'
    ),
    routes=(*_SERVED, *_REFUSED, *map(_within, _SERVED), *_OTHERS),  # verbs are no workspaces
    operations=Operations(Path(__file__).parent),
    roots=(
        f"{_DATA}/",
        "/api/v1/workspaces/",
        "/api/v1/auth/issue-token",
        "/api/v1/auth/tokens",
        "/api/v1/auth/revoke",
        "/api/v1/users/get-role",
        "/api/v1/users/usage-status",
        "/api/v1/ontologies/",
        "/jarvispy/",
    ),
    failure=failures.reply,
    failures={"default": failures.FAILURE},
    prefixes=("", "/jarvispy/{org}/{user}"),
)
