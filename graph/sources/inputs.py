"""Inputs about data sources."""

from __future__ import annotations

import strawberry

from graph.enums import DriftPolicy, SyncMode, expose
from graph.scalars import JSON
from graph.sources.connections import ConnectionInput
from storage.snapshots.formats import ExportFormat

expose(
    ExportFormat,
    "What a download holds.",
    ORIGINAL="The uploaded file, byte for byte.",
    CSV="A table as CSV with a header, in UTF-8.",
    PARQUET="A table as one Parquet file, with its types.",
    JSONL="A table as JSON objects, one a line.",
    QUARANTINE="The rows of a table that its sync set aside because they could not be stored as they were: "
    "JSON objects `{line, column, reason, text}`, one a line.",
)


@strawberry.input(description="A table of a data source that is to be synced.")
class TableSelection:
    """One of `DataSourceInput.tables`."""

    name: str = strawberry.field(description="The table's name, as the source has it.")
    schema: str | None = strawberry.field(
        default=None, description="Its schema, where the source has such."
    )
    mode: SyncMode | None = strawberry.field(default=SyncMode.FULL, description="How it is synced.")
    columns: list[str] | None = strawberry.field(
        default=None, description="The columns to read; all of them when left out."
    )
    cursor_column: str | None = strawberry.field(
        default=None,
        description="For APPEND and MERGE: the column that grows with each change, by which new rows are told from old "
        "ones. Without it every sync reads all rows, and compares.",
    )
    primary_key: list[str] | None = strawberry.field(
        default=None,
        description="For MERGE: the columns that tell rows apart; the table's own primary key when left out.",
    )
    detect_deletes: bool | None = strawberry.field(
        default=False,
        description="For MERGE with a cursor column: whether each sync also reads the keys of all rows, to find the "
        "deleted ones.",
    )
    lookback_seconds: int | None = strawberry.field(
        default=None,
        description="How far behind the cursor a sync begins to read, for rows that were committed late; 60 for points "
        "in time and 0 for other columns when left out. Of texts those are moved back that are ISO 8601.",
    )


@strawberry.input(description="A data source to connect.")
class DataSourceInput:
    """One of `ConnectDataSourcesInput.sources`."""

    name: str = strawberry.field(
        description="What people call it; up to 200 characters. Two may have the same, but see `uniqueNames`."
    )
    connection: ConnectionInput = strawberry.field(description="Where its data is.")
    metadata: JSON | None = strawberry.field(
        default=None, description="Whatever you want to note about it; up to 64 KB."
    )
    tables: list[TableSelection] | None = strawberry.field(
        default=None, description="The tables to sync; all of them when left out."
    )
    drift_policy: DriftPolicy | None = strawberry.field(
        default=DriftPolicy.EVOLVE, description="What a sync does when columns change."
    )
    quarantine_rows_max: int | None = strawberry.field(
        default=None,
        description="Rows of a table that may be set aside because they cannot be stored as they are, 0 to 100,000, "
        "before the sync fails; 1,000 when left out.",
    )
    snapshots_kept: int | None = strawberry.field(
        default=None,
        description="How many of the newest snapshots stay whatever their age; the server's usual when left out.",
    )
    snapshots_kept_days: int | None = strawberry.field(
        default=None,
        description="For how many days older snapshots stay; the server's usual when left out. "
        "They are removed within an hour.",
    )


@strawberry.input(description="A dataset that is made for the data sources that are connected.")
class NewDatasetInput:
    """Of `ConnectDataSourcesInput`."""

    name: str = strawberry.field(description="What people call it; up to 200 characters.")
    description: str | None = strawberry.field(default=None, description="What it is about.")


@strawberry.input(description="Data sources to connect: all of them, or none.")
class ConnectDataSourcesInput:
    """For `connectDataSources`."""

    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="The project, in whose default dataset they will be."
    )
    dataset_id: strawberry.ID | None = strawberry.field(
        default=None, description="The dataset that they will be in, in place of a project."
    )
    new_dataset: NewDatasetInput | None = strawberry.field(
        default=None,
        description="A new dataset of the project, in place of its default one: made with the data sources, or not at "
        "all.",
    )
    scope: str | None = strawberry.field(
        default="user", description="A free label that lists can be filtered by."
    )
    sources: list[DataSourceInput] = strawberry.field(description="The data sources, up to 100.")
    sync: bool | None = strawberry.field(
        default=True,
        description="Whether to sync them at once, except those that have no file yet.",
    )
    unique_names: bool | None = strawberry.field(
        default=False,
        description="Whether to refuse with CONFLICT a name that a data source of the project has already, or two of "
        "these have.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


@strawberry.input(description="A connection to try.")
class TestConnectionInput:
    """For `testConnection`."""

    __test__ = False  # pytest is not meant

    project_id: strawberry.ID = strawberry.field(
        description="A project in which you may connect data sources."
    )
    connection: ConnectionInput = strawberry.field(description="Where the data is.")


@strawberry.input(description="Changes of a data source; what is left out stays.")
class UpdateDataSourceInput:
    """For `updateDataSource`."""

    id: strawberry.ID = strawberry.field(description="The data source.")
    name: strawberry.Maybe[str | None] = strawberry.field(description="Its new name.")
    unique_name: bool | None = strawberry.field(
        default=False,
        description="Whether to refuse with CONFLICT a new name that another data source of the project has already.",
    )
    metadata: strawberry.Maybe[JSON | None] = strawberry.field(
        description="What is noted about it, in place of what was."
    )
    connection: strawberry.Maybe[ConnectionInput | None] = strawberry.field(
        description="Where its data is, in place of the whole old connection. Its password may be left out only where "
        "nothing else of the connection changes. A file without a place is the one that is stored; what was said of a "
        "file before (`delimiter`, `encoding`, `columnTypes`) stays unless said anew, also for a new upload "
        "of the same format."
    )
    tables: strawberry.Maybe[list[TableSelection] | None] = strawberry.field(
        description="The tables to sync from now on; null for all of them."
    )
    sync: bool | None = strawberry.field(
        default=True,
        description="Whether to sync it at once where what is read changed. A sync that is running starts over.",
    )
    drift_policy: strawberry.Maybe[DriftPolicy | None] = strawberry.field(
        description="What a sync does when columns change; null for the usual, EVOLVE."
    )
    quarantine_rows_max: strawberry.Maybe[int | None] = strawberry.field(
        description="Rows of a table that may be set aside before the sync fails; null for the usual 1,000."
    )
    snapshots_kept: strawberry.Maybe[int | None] = strawberry.field(
        description="How many of the newest snapshots stay whatever their age; null for the server's usual."
    )
    snapshots_kept_days: strawberry.Maybe[int | None] = strawberry.field(
        description="For how many days older snapshots stay; null for the server's usual. "
        "They are removed within an hour."
    )


@strawberry.input(description="Which data source to look into.")
class IntrospectDataSourceInput:
    """For `introspectDataSource`."""

    id: strawberry.ID = strawberry.field(description="The data source.")


@strawberry.input(description="How to sync.")
class SyncOptions:
    """Part of `SyncDataSourcesInput`."""

    incremental: bool | None = strawberry.field(
        default=True,
        description="False reads every table whole, as if it were synced for the first time. "
        "A sync that is under way already is given as it is, whatever is said here.",
    )
    batch_size: int | None = strawberry.field(
        default=None, description="Rows that are read at once, 1 to 1,000,000; 65,536 by default."
    )


@strawberry.input(description="What to sync: the data sources that are named, or all of a project.")
class SyncDataSourcesInput:
    """For `syncDataSources`."""

    project_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The project, whose data sources are all synced if none is named, except drafts.",
    )
    data_source_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="The data sources, up to 1,000."
    )
    options: SyncOptions | None = strawberry.field(default=None, description="How to sync.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


@strawberry.input(
    description="What to remove: the data sources that are named, or all of a project."
)
class CleanupDataSourcesInput:
    """For `cleanupDataSources`."""

    project_id: strawberry.ID = strawberry.field(description="The project.")
    data_source_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="The data sources, up to 1,000."
    )
    all: bool | None = strawberry.field(
        default=False, description="True for every data source of the project, in place of ids."
    )


@strawberry.input(description="What to download, and for how long.")
class PresignDataSourceInput:
    """For `presignDataSource`."""

    id: strawberry.ID = strawberry.field(description="The data source.")
    expires_in: int | None = strawberry.field(
        default=600, description="Seconds that the link is good for, 60 to 604800."
    )
    format: ExportFormat | None = strawberry.field(
        default=ExportFormat.ORIGINAL, description="What the download holds."
    )
    table: str | None = strawberry.field(
        default=None, description="The table; may be left out where there is only one."
    )
    snapshot_id: strawberry.ID | None = strawberry.field(
        default=None, description="The snapshot; the current one when left out."
    )
