"""What stores refuse, in one wording whichever store it is."""

from __future__ import annotations

from base.errors import Conflict, ConnectionFailed, NotFound, StorageFull


class StoreUnavailable(ConnectionFailed):
    """The object store did not answer, or not as it should. What was there before is untouched."""

    retryable = True


def taken() -> Conflict:
    """The error for a key that has an object already."""
    return Conflict("The object exists already; objects are never overwritten.")


def missing() -> NotFound:
    """The error for a key without an object."""
    return NotFound("The object is not in the store.")


def ended() -> NotFound:
    """The error for an upload in parts that is not there, or not any more."""
    return NotFound(
        "There is no such unfinished upload: it was completed, or has expired.",
        hint="Begin a new one with `createUpload`.",
    )


def bucket_full() -> StorageFull:
    """The error for a bucket without room; a disk's is `storage.local.storage_full`."""
    return StorageFull("The object store has no space left.", hint="Raise its quota.")


def refused() -> StoreUnavailable:
    """The error for credentials that the store does not take."""
    return StoreUnavailable(
        "The object store refused the request.",
        hint="Check its credentials, their rights on the bucket, the region, and the clock.",
    )
