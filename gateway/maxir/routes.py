"""Requests of the dialect, and what they become."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers

from base.tracing import trace_id
from gateway.call import Call
from gateway.dialect import Dialect, Reply, Route
from gateway.documents import Operations
from gateway.failures import NOT_SERVED, Failure
from gateway.fields import Field
from gateway.maxir import datasets, failures, fields, files, pages, replies, sources
from gateway.maxir.callers import ANYWHERE, IN_QUERY, asking, known

logger = logging.getLogger("headwater.gateway.maxir")

TRACE_CHARS_MAX = 128


@asking("Caller")
async def _not_served(call: Call) -> Reply:
    """Say that there is nobody here who answers questions."""
    await known(call, "Caller", {})
    raise Failure(
        NOT_SERVED,
        "Question answering is not served: Headwater keeps and reads data, and has no language model.",
        hint="Datasets, data sources and files are served.",
    )


_DATA_SOURCES = (
    Route(
        "POST",
        "/v2/team/datasets/{id}/datasources",
        "Create data source",
        sources.create_source,
        fields=(fields.DATASET, *fields.FILE, *ANYWHERE),
        replies=replies.replies(replies.SOURCE),
        is_repeatable=True,
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}/datasources",
        "List data sources",
        sources.list_sources,
        fields=(fields.DATASET, *pages.FIELDS, fields.STATUS, IN_QUERY),
        replies=replies.replies(replies.SOURCES),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{dataset_id}/datasources/{datasource_id}",
        "Get data source",
        sources.get_source,
        fields=(*fields.PLACE, IN_QUERY),
        replies=replies.replies(replies.SOURCE),
    ),
    Route(
        "DELETE",
        "/v2/team/datasets/{dataset_id}/datasources/{datasource_id}",
        "Delete data source",
        sources.delete_source,
        fields=(*fields.PLACE, *ANYWHERE),
        replies=replies.replies(replies.NOTHING),
    ),
    Route(
        "POST",
        "/v2/team/datasources",
        "Create data source without specifying a dataset",
        sources.create_source_alone,
        fields=(*fields.FILE, *ANYWHERE),
        replies=replies.replies(replies.SOURCE),
        is_repeatable=True,
        about="Its dataset is made with it, and is called like it.",
    ),
    Route(
        "POST",
        "/v2/team/datasets/{dataset_id}/datasources/{datasource_id}/presign",
        "Presign data source",
        sources.presign_source,
        fields=(*fields.PLACE, fields.EXPIRES_IN, *ANYWHERE),
        replies=replies.replies(replies.LINK),
    ),
)
_DATASETS = (
    Route(
        "POST",
        "/v2/team/datasets",
        "Create dataset",
        datasets.create_dataset,
        fields=(fields.named(required=True), fields.described(128), *ANYWHERE),
        replies=replies.replies(replies.NEW),
        is_repeatable=True,
    ),
    Route(
        "GET",
        "/v2/team/datasets",
        "List datasets",
        datasets.list_datasets,
        fields=(
            *pages.FIELDS,
            Field("search", "string", "Part of a name or description.", place="query"),
            IN_QUERY,
        ),
        replies=replies.replies(replies.DATASETS),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}",
        "Get dataset",
        datasets.get_dataset,
        fields=(fields.DATASET, IN_QUERY),
        replies=replies.replies(replies.DATASET),
    ),
    Route(
        "POST",
        "/v2/team/datasets/{id}",
        "Modify dataset",
        datasets.update_dataset,
        fields=(fields.DATASET, fields.named(required=False), fields.described(50_000), *ANYWHERE),
        replies=replies.replies(replies.NOTHING),
    ),
    Route(
        "DELETE",
        "/v2/team/datasets/{id}",
        "Delete dataset, with its data sources",
        datasets.delete_dataset,
        fields=(fields.DATASET, *ANYWHERE),
        replies=replies.replies(replies.NOTHING),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}/status",
        "Get dataset status",
        datasets.dataset_status,
        fields=(fields.DATASET, IN_QUERY),
        replies=replies.replies(replies.STATUS),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}/overview",
        "Get dataset overview",
        datasets.dataset_overview,
        fields=(fields.DATASET, IN_QUERY),
        replies=replies.replies(replies.OVERVIEW),
    ),
)
_FILES = (
    Route(
        "POST",
        "/v2/team/file/upload-datasource",
        "Upload local file",
        files.upload_file,
        fields=(Field("file", "file", "The file.", required=True), *ANYWHERE),
        replies=replies.replies(replies.UPLOADED),
        is_repeatable=True,
        accepts=("form",),
    ),
    Route(
        "POST",
        "/v2/team/file/init-multipart-upload",
        "Initiate multipart upload",
        files.begin_upload,
        fields=(
            *fields.BEGINNING,
            *ANYWHERE,
        ),
        replies=replies.replies(replies.UPLOAD),
        is_repeatable=True,
        about="Each part goes to its `upload_url` by PUT, without a key; keep the `ETag` of the answer.",
    ),
    Route(
        "POST",
        "/v2/team/file/complete-multipart-upload",
        "Complete multipart upload",
        files.complete_upload,
        fields=(
            *fields.COMPLETION,
            *ANYWHERE,
        ),
        replies=replies.replies(replies.UPLOADED),
    ),
)
_QUESTIONS = tuple(
    Route(
        method,
        path,
        f"{summary} (not served)",
        _not_served,
        fields=(
            *((fields.SESSION,) if "{id}" in path else ()),
            *((IN_QUERY,) if method == "GET" else ANYWHERE),
        ),
        replies={400: failures.FAILURE},
        about="Answers with the code 501: questions are not answered here.",
    )
    for method, path, summary in (
        ("POST", "/v2/team/jobs", "Create job"),
        ("POST", "/v2/team/sessions", "Create session"),
        ("GET", "/v2/team/sessions", "List sessions"),
        ("GET", "/v2/team/sessions/{id}", "Get session"),
        ("POST", "/v2/team/sessions/{id}", "Modify session"),
        ("DELETE", "/v2/team/sessions/{id}", "Delete session"),
    )
)


def _headers(request: Headers) -> Mapping[str, str]:
    """Our trace id. The caller's own is written down beside it, for whoever looks for it later."""
    theirs = request.get("x-pd-external-trace-id", "").strip()
    if theirs:
        given = {"externalTraceId": theirs[:TRACE_CHARS_MAX]}
        logger.info("a request with a trace id of its caller's", extra=given)
    return {"x-pd-trace-id": trace_id()}


DIALECT = Dialect(
    name="maxir",
    title="MAXIR AI / Powerdrill v2",
    about="Datasets of files: uploaded or fetched, read into tables, listed and downloaded. The key "
    "`x-pd-api-key` is an API token of Headwater; datasets are those of its default project. Many failures are "
    "HTTP 200: look at `code`, which is 0 for success.",
    routes=(*_DATA_SOURCES, *_DATASETS, *_FILES, *_QUESTIONS),
    operations=Operations(Path(__file__).parent),
    roots=("/v2/", "/api/v2/", "/app/api/v2/"),
    failure=failures.reply,
    failures={"default": failures.FAILURE},
    prefixes=("", "/api", "/app/api"),
    headers=_headers,
)
