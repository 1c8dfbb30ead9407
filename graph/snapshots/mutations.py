"""Mutations of snapshots: a source's history in its owner's hands."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graph.context import Info
from graph.fields import mutation, one
from graph.snapshots.inputs import (
    DiscardSnapshotInput,
    ReleaseSnapshotInput,
    RestoreSnapshotInput,
)
from graph.snapshots.types import Snapshot
from graph.sources.payloads import DataSourcePayload
from models import Role
from services import snapshots


@strawberry.type(description="A snapshot that is the current one now.")
class SnapshotPayload:
    """The snapshot with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    snapshot = one(Snapshot, "pk", "The snapshot.")


@strawberry.type
class SnapshotMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def restore_snapshot(
        info: Info,
        input: Annotated[RestoreSnapshotInput, strawberry.argument(description="Which one.")],
    ) -> SnapshotPayload:
        """Publish an older snapshot again, as a new one with the same rows, from which syncs go on.

        CONFLICT while the data source is being synced.
        """
        pk = await snapshots.restore(info.context.actor(info), input.id)
        return SnapshotPayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def release_snapshot(
        info: Info,
        input: Annotated[ReleaseSnapshotInput, strawberry.argument(description="Which one.")],
    ) -> SnapshotPayload:
        """Publish the snapshot that is held because columns drifted.

        CONFLICT where it is not held, where its `base` is not the current one any more, and during a sync.
        """
        pk = await snapshots.release(info.context.actor(info), input.id)
        return SnapshotPayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def discard_snapshot(
        info: Info,
        input: Annotated[DiscardSnapshotInput, strawberry.argument(description="Which one.")],
    ) -> DataSourcePayload:
        """Drop the snapshot that is held because columns drifted. CONFLICT where it is not held."""
        pk = await snapshots.discard(info.context.actor(info), input.id)
        return DataSourcePayload(pk=pk, job_pks=[])
