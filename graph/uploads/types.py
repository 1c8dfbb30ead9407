"""Types about uploads."""

from __future__ import annotations

import strawberry

from graph.scalars import BigInt, DateTime
from services.part_uploads import Begun
from services.uploads import Uploaded


@strawberry.type(description="A stored file.")
class UploadPayload:
    """Made of a `services.uploads.Uploaded`."""

    object_key: str = strawberry.field(
        description="What connections name the file by; good in the project that it was uploaded to."
    )
    file_name: str = strawberry.field(description="Its name, without folders or odd characters.")
    size_bytes: BigInt = strawberry.field(description="Its size in bytes.")
    sha256: str = strawberry.field(description="The SHA-256 of its bytes, in hex.")

    @classmethod
    def of(cls, stored: Uploaded) -> UploadPayload:
        """The payload of a stored file."""
        return cls(
            object_key=stored.object_key,
            file_name=stored.file_name,
            size_bytes=BigInt(stored.size_bytes),
            sha256=stored.sha256,
        )


@strawberry.type(description="A part of an upload, to be sent by an HTTP PUT of exactly its bytes.")
class UploadPart:
    """Made of a `services.part_uploads.Part`."""

    number: int = strawberry.field(description="Its number, from 1 on.")
    url: str = strawberry.field(
        description="Where to PUT it, as often as needed; it needs no token. Keep the ETag that it answers. "
        "Short-lived: `upload` gives a fresh one, as often as needed while the upload is open."
    )
    size_bytes: BigInt = strawberry.field(
        description="Its exact size; the parts follow each other."
    )
    expires_at: DateTime = strawberry.field(
        description="Until when the link is good, an hour at most; a PUT has to begin by then."
    )
    etag: str | None = strawberry.field(
        description="The ETag of what is there already; null for a part that is missing."
    )


def _parts(begun: Begun) -> list[UploadPart]:
    return [
        UploadPart(
            number=part.number,
            url=part.url,
            size_bytes=BigInt(part.size_bytes),
            expires_at=part.expires_at,
            etag=part.etag,
        )
        for part in begun.parts
    ]


@strawberry.type(description="An upload that has begun.")
class CreateUploadPayload:
    """Made of a `services.part_uploads.Begun`."""

    upload_id: strawberry.ID = strawberry.field(description="What `completeUpload` needs.")
    object_key: str = strawberry.field(
        description="What connections will name the file by, once it is complete."
    )
    parts: list[UploadPart] = strawberry.field(
        description="The parts to send, in any order, several at once; up to 1,000. Their links are good for an hour."
    )
    expires_at: DateTime = strawberry.field(
        description="Until when the upload can be gone on with (`upload` gives fresh links) and completed: 24 hours."
    )

    @classmethod
    def of(cls, begun: Begun) -> CreateUploadPayload:
        """The payload of an upload."""
        return cls(
            upload_id=strawberry.ID(begun.id),
            object_key=begun.object_key,
            parts=_parts(begun),
            expires_at=begun.expires_at,
        )


@strawberry.type(description="A file that is sent in parts.")
class FileUpload:
    """Made of a `services.part_uploads.Begun`."""

    id: strawberry.ID = strawberry.field(description="The public id, for a day or so.")
    object_key: str = strawberry.field(
        description="What connections name the file by, once it is complete."
    )
    file_name: str = strawberry.field(description="Its name, without folders or odd characters.")
    size_bytes: BigInt = strawberry.field(description="Its size in bytes.")
    parts: list[UploadPart] = strawberry.field(
        description="The parts with fresh links, and which of them are there; none once it is complete."
    )
    expires_at: DateTime = strawberry.field(
        description="Until when the upload can be gone on with (`upload` gives fresh links) and completed: 24 hours."
    )
    sha256: str | None = strawberry.field(
        description="The SHA-256 of its bytes, in hex; null until it is complete."
    )

    @classmethod
    def of(cls, begun: Begun) -> FileUpload:
        """The upload as it is now."""
        return cls(
            id=strawberry.ID(begun.id),
            object_key=begun.object_key,
            file_name=begun.file_name,
            size_bytes=BigInt(begun.size_bytes),
            parts=_parts(begun),
            expires_at=begun.expires_at,
            sha256=begun.sha256,
        )
