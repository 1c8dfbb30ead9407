"""Floor 1: the rows, as Tortoise models, and the configuration that opens them."""
# ruff: noqa: SLF001 - `_meta` is how Tortoise's models are described

from models.access import ApiToken, Membership, Role, Team, User
from models.datasets import Dataset
from models.idempotency import IdempotencyKey
from models.jobs import Job, JobKind, JobLog, JobStatus, JobStep
from models.projects import Project
from models.schedules import Schedule
from models.scripts import Script, ScriptContract
from models.snapshots import Snapshot, SnapshotStatus
from models.sources import DataSource, DataSourceStatus, DataSourceType, DriftPolicy
from models.uploads import PartUpload, Upload

_MODELS = (
    ApiToken,
    DataSource,
    Dataset,
    IdempotencyKey,
    Job,
    JobLog,
    JobStep,
    Membership,
    PartUpload,
    Project,
    Schedule,
    Script,
    Snapshot,
    Team,
    Upload,
    User,
)

__all__ = [
    "ApiToken",
    "DataSource",
    "DataSourceStatus",
    "DataSourceType",
    "Dataset",
    "DriftPolicy",
    "IdempotencyKey",
    "Job",
    "JobKind",
    "JobLog",
    "JobStatus",
    "JobStep",
    "Membership",
    "PartUpload",
    "Project",
    "Role",
    "Schedule",
    "Script",
    "ScriptContract",
    "Snapshot",
    "SnapshotStatus",
    "Team",
    "Upload",
    "User",
]


def _keep_prose_out_of_the_schema() -> None:
    """Tortoise copies docstrings and enum members into column comments: every new word would be a migration."""
    for model in _MODELS:
        model._meta.table_description = ""
        for field in model._meta.fields_map.values():
            field.description = "" if field.description else None


_keep_prose_out_of_the_schema()
