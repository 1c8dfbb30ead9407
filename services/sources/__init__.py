"""Data sources: connect, test, introspect, change, sync, remove. All verbs are importable from here."""

from connectors.rest.settings import ApiPaginationKind
from services.sources.checking import Tested, introspect, test_connection
from services.sources.connecting import Connected, NewDataset, SourceGiven, connect
from services.sources.connections import ApiGiven, DatabaseEngine, DatabaseGiven, FileGiven, Given
from services.sources.dialing import connection_of
from services.sources.sealing import rotate_secrets
from services.sources.selections import TableGiven
from services.sources.syncing import cleanup, start_sync
from services.sources.updating import Updated, update
from storage.snapshots.modes import SyncMode

__all__ = [
    "ApiGiven",
    "ApiPaginationKind",
    "Connected",
    "DatabaseEngine",
    "DatabaseGiven",
    "FileGiven",
    "Given",
    "NewDataset",
    "SourceGiven",
    "SyncMode",
    "TableGiven",
    "Tested",
    "Updated",
    "cleanup",
    "connect",
    "connection_of",
    "introspect",
    "rotate_secrets",
    "start_sync",
    "test_connection",
    "update",
]
