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
from gateway.maxir import datasets, failures, files, pages, replies, sources
from gateway.maxir.callers import ANYWHERE, IN_QUERY, asking, known
from gateway.maxir.names import EXTENSIONS

logger = logging.getLogger("headwater.gateway.maxir")

TRACE_CHARS_MAX = 128
_INT_MAX = 2**31 - 1
_BYTES_MAX = 2**53 - 1
_DATASET = Field("id", "string", "The dataset.", place="path")
_SESSION = Field("id", "string", "A session.", place="path")
_PLACE = (
    Field("dataset_id", "string", "The dataset.", place="path"),
    Field("datasource_id", "string", "The data source, which has to be in it.", place="path"),
)
_STATUS = Field(
    "status",
    "string",
    "Only these: a comma list of `synched`, `synching` and `invalid`; all when left out.",
    place="query",
    example="synched,synching",
)
_FILE = (
    Field(
        "name",
        "string",
        f"What to call it, with an extension: {', '.join(EXTENSIONS)}. Cut after 128 characters.",
        required=True,
        blank=False,
        example="test.csv",
    ),
    Field("type", "string", "FILE.", required=True, choices=("FILE",), example="FILE"),
    Field(
        "url",
        "string",
        "Where the file is; its `name` says what it is. Either this or `file_object_key`.",
        nullable=True,
        example="https://data.example.com/test.csv",
    ),
    Field(
        "file_object_key",
        "string",
        "What an upload answered. Either this or `url`.",
        nullable=True,
    ),
)
_EXPIRES_IN = Field(
    "expires_in",
    "integer",
    "Seconds that the link is good for.",
    default=600,
    least=60,
    most=604_800,
)


def _named(*, required: bool) -> Field:
    return Field(
        "name",
        "string",
        "What to call it. Cut after 128 characters.",
        required=required,
        nullable=not required,
        blank=False,
        example="Rivers",
    )


def _described(chars_max: int) -> Field:
    about = "What it is about."
    return Field("description", "string", about, nullable=True, chars_max=chars_max)


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
        fields=(_DATASET, *_FILE, *ANYWHERE),
        replies=replies.replies(replies.SOURCE),
        is_repeatable=True,
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}/datasources",
        "List data sources",
        sources.list_sources,
        fields=(_DATASET, *pages.FIELDS, _STATUS, IN_QUERY),
        replies=replies.replies(replies.SOURCES),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{dataset_id}/datasources/{datasource_id}",
        "Get data source",
        sources.get_source,
        fields=(*_PLACE, IN_QUERY),
        replies=replies.replies(replies.SOURCE),
    ),
    Route(
        "DELETE",
        "/v2/team/datasets/{dataset_id}/datasources/{datasource_id}",
        "Delete data source",
        sources.delete_source,
        fields=(*_PLACE, *ANYWHERE),
        replies=replies.replies(replies.NOTHING),
    ),
    Route(
        "POST",
        "/v2/team/datasources",
        "Create data source without specifying a dataset",
        sources.create_source_alone,
        fields=(*_FILE, *ANYWHERE),
        replies=replies.replies(replies.SOURCE),
        is_repeatable=True,
        about="Its dataset is made with it, and is called like it.",
    ),
    Route(
        "POST",
        "/v2/team/datasets/{dataset_id}/datasources/{datasource_id}/presign",
        "Presign data source",
        sources.presign_source,
        fields=(*_PLACE, _EXPIRES_IN, *ANYWHERE),
        replies=replies.replies(replies.LINK),
    ),
)
_DATASETS = (
    Route(
        "POST",
        "/v2/team/datasets",
        "Create dataset",
        datasets.create_dataset,
        fields=(_named(required=True), _described(128), *ANYWHERE),
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
        fields=(_DATASET, IN_QUERY),
        replies=replies.replies(replies.DATASET),
    ),
    Route(
        "POST",
        "/v2/team/datasets/{id}",
        "Modify dataset",
        datasets.update_dataset,
        fields=(_DATASET, _named(required=False), _described(50_000), *ANYWHERE),
        replies=replies.replies(replies.NOTHING),
    ),
    Route(
        "DELETE",
        "/v2/team/datasets/{id}",
        "Delete dataset, with its data sources",
        datasets.delete_dataset,
        fields=(_DATASET, *ANYWHERE),
        replies=replies.replies(replies.NOTHING),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}/status",
        "Get dataset status",
        datasets.dataset_status,
        fields=(_DATASET, IN_QUERY),
        replies=replies.replies(replies.STATUS),
    ),
    Route(
        "GET",
        "/v2/team/datasets/{id}/overview",
        "Get dataset overview",
        datasets.dataset_overview,
        fields=(_DATASET, IN_QUERY),
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
            Field(
                "file_name",
                "string",
                "Its name, with its extension.",
                required=True,
                example="test.csv",
            ),
            Field(
                "file_size",
                "integer",
                "Its size in bytes.",
                required=True,
                least=0,
                most=_BYTES_MAX,
                example=1_000,
            ),
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
            Field("file_object_key", "string", "What the beginning answered.", nullable=True),
            Field("upload_id", "string", "What the beginning answered.", required=True),
            Field(
                "part_etags",
                "array",
                "Every part that was sent.",
                required=True,
                items=Field(
                    "part",
                    "object",
                    "A part.",
                    fields=(
                        Field("number", "integer", "Its number.", least=0, most=_INT_MAX),
                        Field("part_number", "integer", "The same.", least=0, most=_INT_MAX),
                        Field(
                            "etag",
                            "string",
                            "The header `ETag` that the PUT answered, with or without quotes.",
                            required=True,
                        ),
                    ),
                ),
                example=[{"number": 1, "etag": "0f343b0931126a20f133d67c2b018a3b"}],
            ),
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
            *((_SESSION,) if "{id}" in path else ()),
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
