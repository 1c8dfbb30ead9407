"""Rows for tests: valid, distinct, and no more said than the test is about."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from models import (
    ApiToken,
    Dataset,
    DataSource,
    DataSourceType,
    Job,
    JobKind,
    JobStatus,
    JobStep,
    Membership,
    PartUpload,
    Project,
    Role,
    Schedule,
    Script,
    ScriptContract,
    Snapshot,
    Team,
    Upload,
    User,
)
from models.database import transaction
from services.access import Viewer
from services.authentication import hash_secret

_numbers = count(1)


async def make_user(username: str | None = None, **values: Any) -> User:
    """A user; not staff."""
    return await User.create(username=username or f"user-{next(_numbers)}", **values)


async def make_team(name: str | None = None, **values: Any) -> Team:
    """A team without members."""
    return await Team.create(name=name or f"Team {next(_numbers)}", **values)


async def make_membership(
    user: User | None = None, team: Team | None = None, role: Role = Role.ADMIN
) -> Membership:
    """A membership, with its user and team where none is given."""
    return await Membership.create(
        user=user or await make_user(), team=team or await make_team(), role=role
    )


async def make_viewer(
    team: Team | None = None,
    role: Role | None = Role.ADMIN,
    *,
    user: User | None = None,
    **values: Any,
) -> Viewer:
    """Someone signed in: a member of the team (a new one where none is given), or of none when the role is null.

    `values` go to the viewer: `role_max`, `project_id`, `needs`; other teams of the user are in it too.
    """
    user = user or await make_user()
    if role is not None:
        await make_membership(user, team, role)
    memberships = await Membership.filter(user=user).values_list("team_id", "role")
    return Viewer(
        user_id=user.id,
        username=user.username,
        is_staff=user.is_staff,
        teams={int(team_id): Role(role) for team_id, role in memberships},
        **values,
    )


async def make_token(
    user: User | None = None, role: Role = Role.ADMIN, **values: Any
) -> tuple[ApiToken, str]:
    """An API token and its secret."""
    secret = f"hw_{secrets.token_urlsafe(32)}"
    shape: dict[str, Any] = {
        "name": f"Token {next(_numbers)}",
        "prefix": secret[:8],
        "secret_hash": hash_secret(secret),
    }
    token = await ApiToken.create(user=user or await make_user(), role=role, **shape | values)
    return token, secret


async def make_project(team: Team | None = None, name: str | None = None, **values: Any) -> Project:
    """A project without datasets; `make_dataset(project, is_default=True)` adds the default one."""
    return await Project.create(
        team=team or await make_team(), name=name or f"Project {next(_numbers)}", **values
    )


async def make_dataset(
    project: Project | None = None, name: str | None = None, **values: Any
) -> Dataset:
    """A dataset, not the default one."""
    return await Dataset.create(
        project=project or await make_project(), name=name or f"Dataset {next(_numbers)}", **values
    )


async def make_source(
    project: Project | None = None,
    dataset: Dataset | None = None,
    name: str | None = None,
    **values: Any,
) -> DataSource:
    """A CSV source that was never synced, in the project of its dataset."""
    if project is None:
        project = await dataset.project if dataset else await make_project()
    shape = {"type": DataSourceType.FILE, "kind": "csv", "settings": {"delimiter": ","}}
    return await DataSource.create(
        project=project,
        dataset=dataset or await make_dataset(project),
        name=name or f"Source {next(_numbers)}",
        **shape | values,
    )


async def make_job(source: DataSource | None = None, **values: Any) -> Job:
    """A queued sync of a source, which holds the source's active key while it is not over."""
    source = source or await make_source()
    status: JobStatus = values.get("status", JobStatus.QUEUED)
    shape: dict[str, Any] = {
        "kind": JobKind.SYNC,
        "active_key": None if status.is_terminal else f"sync:{source.id}",
    }
    return await Job.create(
        project_id=source.project_id,  # type: ignore[attr-defined]
        data_source=source,
        **shape | values,
    )


async def make_script(
    source: DataSource | None = None, key: str | None = None, body: str = "", **values: Any
) -> Script:
    """A script of a source that leaves the table as it is, where no body is given."""
    source = source or await make_source()
    key = key or f"script-{next(_numbers)}.py"
    body = body or "def run(df):\n    return df\n"
    shape: dict[str, Any] = {
        "contract": ScriptContract.DATAFRAME,
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
    }
    return await Script.create(
        data_source=source, key=key, unique_key=f"{source.id}/{key}", body=body, **shape | values
    )


async def make_predefined(key: str = "local:same", body: str = "", **values: Any) -> Script:
    """A predefined script that leaves the table as it is, where no body is given."""
    body = body or "def run(df):\n    return df\n"
    shape: dict[str, Any] = {
        "contract": ScriptContract.DATAFRAME,
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
    }
    return await Script.create(key=key, unique_key=f"/{key}", body=body, **shape | values)


async def make_script_job(
    source: DataSource | None = None,
    *bodies: str,
    table: str = "t",
    schema: str | None = None,
    parameters: dict[str, Any] | None = None,
    **values: Any,
) -> Job:
    """A queued job that runs these scripts over a table of the source's current snapshot, as `createJob` pins them.

    Without a body it is one script that leaves the table as it is. The steps' keys are `step-0.py` and so on.
    """
    source = source or await make_source()
    shape: dict[str, Any] = {
        "kind": JobKind.SCRIPT,
        "input_snapshot_id": source.current_snapshot_id,
        "options": {"table": [schema, table], "reuse": False},
    }
    async with transaction():  # a worker may be waiting for it
        job = await Job.create(
            project_id=source.project_id,  # type: ignore[attr-defined]
            data_source=source,
            **shape | values,
        )
        for position, body in enumerate(bodies or ("def run(df):\n    return df\n",)):
            await JobStep.create(
                job=job,
                key=f"step-{position}.py",
                exec_order=position,
                position=position,
                body=body,
                sha256=hashlib.sha256(body.encode()).hexdigest(),
                parameters=parameters or {},
            )
    return job


async def make_schedule(source: DataSource | None = None, **values: Any) -> Schedule:
    """An hourly sync that is due; in nobody's name where no creator is given."""
    source = source or await make_source()
    shape: dict[str, Any] = {
        "name": f"Schedule {next(_numbers)}",
        "kind": JobKind.SYNC,
        "cron": "0 * * * *",
        "options": {"incremental": True, "batch_rows": None},
        "next_run_ms": 0,
    }
    return await Schedule.create(
        project_id=source.project_id,  # type: ignore[attr-defined]
        data_source=source,
        **shape | values,
    )


async def make_snapshot(source: DataSource | None = None, **values: Any) -> Snapshot:
    """The source's next snapshot, with no tables in it; it does not become the current one."""
    source = source or await make_source()
    shape: dict[str, Any] = {
        "number": await Snapshot.filter(data_source=source).count() + 1,
        "row_count": 0,
        "size_bytes": 0,
        "manifest": {},
        "receipt": {},
    }
    return await Snapshot.create(data_source=source, **shape | values)


async def make_upload(project: Project | None = None, **values: Any) -> Upload:
    """The row of an upload of no bytes; the object itself is not stored."""
    project = project or await make_project()
    shape: dict[str, Any] = {
        "object_key": f"uploads/{project.id}/{next(_numbers):032x}",
        "file_name": "data.csv",
        "size_bytes": 0,
        "sha256": hashlib.sha256(b"").hexdigest(),
    }
    return await Upload.create(project=project, **shape | values)


async def make_part_upload(project: Project | None = None, **values: Any) -> PartUpload:
    """The row of an upload in parts, of which nothing came yet."""
    project = project or await make_project()
    shape: dict[str, Any] = {
        "object_key": f"uploads/{project.id}/{next(_numbers):032x}",
        "file_name": "data.csv",
        "size_bytes": 1,
        "part_bytes": 5 * 1024**2,
        "expires_at": datetime.now(UTC) + timedelta(days=1),
    }
    return await PartUpload.create(project=project, **shape | values)
