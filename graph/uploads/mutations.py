"""Mutations of uploads."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from graph.context import Info
from graph.fields import mutation
from graph.uploads.inputs import CompleteUploadInput, CreateUploadInput, UploadFileInput
from graph.uploads.streams import stream
from graph.uploads.types import CreateUploadPayload, UploadPayload
from models import Role
from services import part_uploads, uploads

COMPLETE_SECONDS_MAX = 1800.0  # the whole file is read once, for its hash


@strawberry.type
class UploadMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def upload_file(
        info: Info,
        input: Annotated[UploadFileInput, strawberry.argument(description="The file.")],
    ) -> UploadPayload:
        """Store a file, to be connected by its object key. Sent as a GraphQL multipart request.

        It stays, connected or not: files that no data source uses are not removed.
        """
        file: Any = input.file
        chunks = stream(file, "input.file")
        stored = await uploads.receive(
            info.context.platform,
            info.context.actor(info),
            input.project_id,
            file.filename,
            chunks,
            idempotency_key=input.idempotency_key,
        )
        return UploadPayload.of(stored)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def create_upload(
        info: Info,
        input: Annotated[
            CreateUploadInput, strawberry.argument(description="The file to be sent.")
        ],
    ) -> CreateUploadPayload:
        """Begin an upload in parts, which go straight to the store. It is good for a day and can be gone on with."""
        begun = await part_uploads.begin(
            info.context.platform,
            info.context.actor(info),
            input.project_id,
            input.file_name,
            input.size_bytes,
            part_bytes=input.part_bytes,
            idempotency_key=input.idempotency_key,
        )
        return CreateUploadPayload.of(begun)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def complete_upload(
        info: Info,
        input: Annotated[
            CompleteUploadInput, strawberry.argument(description="The upload and its parts.")
        ],
    ) -> UploadPayload:
        """Make the parts one file, to be connected by its object key. Repeat it where no answer came."""
        viewer = info.context.actor(info)
        info.context.allow(COMPLETE_SECONDS_MAX)
        stored = await part_uploads.complete(
            info.context.platform,
            viewer,
            input.upload_id,
            [(part.number, part.etag) for part in input.parts],
        )
        return UploadPayload.of(stored)
