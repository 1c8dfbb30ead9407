"""Mutations of scripts."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graph.context import Info
from graph.datasets.mutations import DeletedPayload, deleted
from graph.fields import mutation
from graph.scripts.inputs import DeleteScriptInput, UploadScriptInput
from graph.scripts.types import ScriptPayload
from graph.uploads.streams import stream
from models import Role
from services import scripts


@strawberry.type
class ScriptMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def upload_script(
        info: Info,
        input: Annotated[UploadScriptInput, strawberry.argument(description="The script.")],
    ) -> ScriptPayload:
        """Keep a script for a data source, in the place of the one that had its key. It is parsed here, never run.

        It defines `run(df)` or `run(df, context)`, which gives a pandas DataFrame; or `run_batches(batches)`, which
        gives several; or it leaves its result in the global `df` that it finds. Up to 60 a minute.
        """
        pk = await scripts.upload(
            info.context.platform,
            info.context.actor(info),
            input.data_source_id,
            input.key,
            body=input.body,
            chunks=None if input.file is None else stream(input.file, "input.file"),
        )
        return ScriptPayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def delete_script(
        info: Info,
        input: Annotated[DeleteScriptInput, strawberry.argument(description="Which one.")],
    ) -> DeletedPayload:
        """Delete a script of a data source. Jobs that are to run it do so: they have their own copy of its text."""
        await scripts.delete(info.context.actor(info), input.id)
        return deleted("script", input.id)
