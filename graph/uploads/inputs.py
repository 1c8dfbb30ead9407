"""Inputs about uploads."""

from __future__ import annotations

import strawberry

from graph.scalars import BigInt, Upload


@strawberry.input(description="A file to store.")
class UploadFileInput:
    """For `uploadFile`."""

    project_id: strawberry.ID = strawberry.field(description="The project it is for.")
    file: Upload = strawberry.field(
        description="The file: `null` in the variables, and a part of the multipart request."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: with the same key a file of the same name and bytes "
        "is stored once, and each answer names that one.",
    )


@strawberry.input(description="A large file that will be sent in parts.")
class CreateUploadInput:
    """For `createUpload`."""

    project_id: strawberry.ID = strawberry.field(description="The project it is for.")
    file_name: str = strawberry.field(
        description="Its name; the extension says how it will be read."
    )
    size_bytes: BigInt = strawberry.field(description="Its exact size in bytes, at least one.")
    part_bytes: BigInt | None = strawberry.field(
        default=None,
        description="The size in bytes of every part but the last, 5 MiB to 5 GiB; with it there may be up to 1,000 "
        "parts. A good size is chosen when left out.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Any text of your own: repeated with the same key, the call goes on with the same upload.",
    )


@strawberry.input(description="A part that was sent.")
class UploadedPart:
    """For `completeUpload`."""

    number: int = strawberry.field(description="The part's number.")
    etag: str = strawberry.field(
        description="The ETag that the PUT answered, with its quotes or without."
    )


@strawberry.input(description="An upload of which every part was sent.")
class CompleteUploadInput:
    """For `completeUpload`."""

    upload_id: strawberry.ID = strawberry.field(description="The upload.")
    parts: list[UploadedPart] = strawberry.field(description="Every part, in order of the numbers.")
