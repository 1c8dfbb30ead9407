"""Queries about uploads."""

from __future__ import annotations

import strawberry

from base.errors import NotFound
from graph.context import Info
from graph.fields import query
from graph.lookup import Id
from graph.uploads.types import FileUpload
from models import Role
from services import part_uploads


@strawberry.type
class UploadQueries:
    """Root fields."""

    @query(needs=Role.WRITE)
    @staticmethod
    async def upload(info: Info, id: Id) -> FileUpload | None:
        """An upload in parts, to go on with: fresh links, and which parts are there; null for one that is gone."""
        try:
            begun = await part_uploads.resume(info.context.platform, info.context.actor(info), id)
        except NotFound:
            return None
        return FileUpload.of(begun)
