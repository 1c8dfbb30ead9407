"""The routes of the Schema CMS dialect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.dialect import Dialect, Route
from gateway.documents import Operations
from gateway.fields import key
from gateway.schema_cms import accounts, failures, pages, scripts, sources
from gateway.schema_cms.previews import NAMED_PREVIEW, PREVIEW
from gateway.schema_cms.replies import ITEM, JOB, PAGE
from gateway.schemas import TEXT, list_of, object_of

_SOURCE = "/api/v1/datasources/{id:int}"
_BODIES: Any = ("json", "form")
_SCRIPTS = list_of(object_of(key=TEXT, body=TEXT))
_ID = key("id", "The data source's key.")
_ALL = tuple(replace(each, required=True) for each in (sources.NAME, sources.TYPE, sources.FILE))
_ANY = (sources.NAME, sources.TYPE, sources.FILE)


def _job_routes(path: str) -> tuple[Route, ...]:
    fields = (key("id", "The job's key."),)
    return (
        Route("GET", path, "Get a job", scripts.shown, fields=fields, replies={200: JOB}),
        Route(
            "GET",
            f"{path}/preview",
            "Get the preview of a job's result",
            scripts.previewed,
            fields=fields,
            replies={200: PREVIEW},
        ),
        Route(
            "GET",
            f"{path}/result",
            "Download a job's result",
            scripts.result,
            fields=fields,
            replies={302: None},
        ),
    )


ROUTES = (
    Route(
        "GET",
        "/api/v1/projects/{id:int}/datasources",
        "List a project's data sources",
        sources.listed_of_project,
        fields=(key("id", "The project's key."), *pages.FIELDS),
        replies={200: PAGE},
    ),
    Route(
        "GET",
        "/api/v1/datasources",
        "List your data sources",
        sources.listed,
        fields=pages.FIELDS,
        replies={200: PAGE},
    ),
    Route(
        "POST",
        "/api/v1/datasources",
        "Create a data source",
        sources.created,
        fields=(sources.PROJECT, *_ANY),
        replies={201: ITEM},
        is_repeatable=True,
        accepts=_BODIES,
        about="Without a file it is a draft.",
    ),
    Route("GET", _SOURCE, "Get a data source", sources.shown, fields=(_ID,), replies={200: ITEM}),
    Route(
        "PUT",
        _SOURCE,
        "Replace name and file of a data source",
        sources.changed,
        fields=(_ID, *_ALL),
        replies={200: ITEM},
        is_repeatable=True,
        accepts=_BODIES,
    ),
    Route(
        "PATCH",
        _SOURCE,
        "Change a data source",
        sources.changed,
        fields=(_ID, *_ANY),
        replies={200: ITEM},
        is_repeatable=True,
        accepts=_BODIES,
    ),
    Route(
        "DELETE",
        _SOURCE,
        "Delete a data source",
        sources.removed,
        fields=(_ID,),
        replies={204: None},
    ),
    Route(
        "POST",
        f"{_SOURCE}/process",
        "Process a data source again",
        sources.processed,
        fields=(_ID,),
        is_repeatable=True,
        replies={200: PREVIEW, 202: ITEM, 422: None},
        about="202 says that it takes longer than a request may wait, 422 that it failed.",
    ),
    Route(
        "GET",
        f"{_SOURCE}/preview",
        "Get the preview of a data source, with its name",
        sources.previewed,
        fields=(_ID,),
        replies={200: NAMED_PREVIEW},
    ),
    Route(
        "GET",
        f"{_SOURCE}/preview-file",
        "Get the preview file that `meta_data.preview` links to",
        sources.preview_file,
        fields=(_ID,),
        replies={200: PREVIEW},
    ),
    Route(
        "GET",
        f"{_SOURCE}/file",
        "Download the file that `file` links to",
        sources.file,
        fields=(_ID,),
        replies={302: None},
    ),
    Route(
        "GET",
        f"{_SOURCE}/script",
        "List the scripts that jobs may run",
        scripts.listed,
        fields=(_ID,),
        replies={200: _SCRIPTS},
    ),
    Route(
        "POST",
        f"{_SOURCE}/script-upload",
        "Upload a script",
        scripts.uploaded,
        fields=(_ID, *scripts.SCRIPT),
        replies={201: None},
        accepts=_BODIES,
        about="It works on the global `df`, a pandas DataFrame, such as `df = df.head(10)`.",
    ),
    Route(
        "POST",
        f"{_SOURCE}/job",
        "Run scripts",
        scripts.started,
        fields=(_ID, scripts.STEPS),
        replies={201: JOB},
        is_repeatable=True,
        accepts=_BODIES,
    ),
    *_job_routes("/api/v1/job/{id:int}"),
    *_job_routes("/api/v1/jobs/{id:int}"),
    Route(
        "POST",
        "/api/v1/auth/token",
        "Exchange an API token for a session",
        accounts.token,
        fields=accounts.CREDENTIALS,
        replies={200: accounts.TOKEN},
        is_open=True,
        accepts=_BODIES,
    ),
    Route(
        "GET",
        "/api/v1/auth/logout",
        "Leave",
        accounts.logout,
        replies={302: None},
        is_open=True,
    ),
)

DIALECT = Dialect(
    name="schema_cms",
    title="Schema CMS",
    about=(
        "Projects' data sources, their scripts and jobs. Integer ids are the keys (`pk`) of the GraphQL API; links in "
        "replies need no credential and are good for an hour."
    ),
    routes=ROUTES,
    operations=Operations(Path(__file__).parent),
    roots=("/api/v1/projects/", "/api/v1/datasources", "/api/v1/job", "/api/v1/auth/"),
    failure=failures.reply,
    failures=failures.SCHEMAS,
    reads_texts=True,
)
