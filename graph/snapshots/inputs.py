"""Inputs about snapshots."""

from __future__ import annotations

import strawberry


@strawberry.input(description="Which snapshot to publish again.")
class RestoreSnapshotInput:
    """For `restoreSnapshot`."""

    id: strawberry.ID = strawberry.field(description="A snapshot that was published once.")


@strawberry.input(description="Which held snapshot to publish.")
class ReleaseSnapshotInput:
    """For `releaseSnapshot`."""

    id: strawberry.ID = strawberry.field(description="A `DataSource.heldSnapshot`.")


@strawberry.input(description="Which held snapshot to drop.")
class DiscardSnapshotInput:
    """For `discardSnapshot`."""

    id: strawberry.ID = strawberry.field(description="A `DataSource.heldSnapshot`.")
