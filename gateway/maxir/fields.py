"""The fields of requests, but for those of pages and of who asks."""

from __future__ import annotations

from gateway.fields import Field
from gateway.maxir.names import EXTENSIONS

_INT_MAX = 2**31 - 1
_BYTES_MAX = 2**53 - 1
DATASET = Field("id", "string", "The dataset.", place="path")
SESSION = Field("id", "string", "A session.", place="path")
PLACE = (
    Field("dataset_id", "string", "The dataset.", place="path"),
    Field("datasource_id", "string", "The data source, which has to be in it.", place="path"),
)
STATUS = Field(
    "status",
    "string",
    "Only these: a comma list of `synched`, `synching` and `invalid`; all when left out.",
    place="query",
    example="synched,synching",
)
FILE = (
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
EXPIRES_IN = Field(
    "expires_in",
    "integer",
    "Seconds that the link is good for.",
    default=600,
    least=60,
    most=604_800,
)


def named(*, required: bool) -> Field:
    """The name of a dataset."""
    return Field(
        "name",
        "string",
        "What to call it. Cut after 128 characters.",
        required=required,
        nullable=not required,
        blank=False,
        example="Rivers",
    )


def described(chars_max: int) -> Field:
    """The description of a dataset, which may be longer later than at first."""
    about = "What it is about."
    return Field("description", "string", about, nullable=True, chars_max=chars_max)


BEGINNING = (
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
)
COMPLETION = (
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
)
