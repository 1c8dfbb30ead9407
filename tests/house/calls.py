"""What each root field needs, and a call of it: the tables of `test_permissions`, which say what is missing here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graph.permissions import Needs, Permission
from models import Role
from tests.house.worlds import World, new_file

ANONYMOUS, SIGNED_IN, STAFF = Permission.ANYONE, Permission.SIGNED_IN, Permission.STAFF

# What each root field needs. A change here is a change of who may do what.
NEEDED: dict[str, Needs] = {
    "viewer": SIGNED_IN,
    "viewerToken": SIGNED_IN,
    "defaultProject": Role.READ,
    "serverInfo": ANONYMOUS,
    "node": SIGNED_IN,
    "nodes": SIGNED_IN,
    "team": Role.READ,
    "user": Role.READ,
    "teams": Role.READ,
    "users": Role.READ,
    "project": Role.READ,
    "projects": Role.READ,
    "dataset": Role.READ,
    "datasets": Role.READ,
    "dataSource": Role.READ,
    "dataSources": Role.READ,
    "snapshotDiff": Role.READ,
    "script": Role.READ,
    "predefinedScripts": Role.READ,
    "job": Role.READ,
    "jobs": Role.READ,
    "createTeam": Role.ADMIN,
    "updateTeam": Role.ADMIN,
    "setTeamMember": Role.ADMIN,
    "createApiToken": SIGNED_IN,
    "revokeApiToken": SIGNED_IN,
    "createSession": SIGNED_IN,
    "refreshSession": ANONYMOUS,
    "createProject": Role.WRITE,
    "updateProject": Role.WRITE,
    "deleteProject": Role.WRITE,
    "reinstateProject": Role.WRITE,
    "hardDeleteProject": STAFF,
    "createDataset": Role.WRITE,
    "updateDataset": Role.WRITE,
    "deleteDataset": Role.WRITE,
    "upload": Role.WRITE,
    "uploadFile": Role.WRITE,
    "createUpload": Role.WRITE,
    "completeUpload": Role.WRITE,
    "testConnection": Role.WRITE,
    "connectDataSources": Role.WRITE,
    "updateDataSource": Role.WRITE,
    "introspectDataSource": Role.EXECUTE,
    "syncDataSources": Role.EXECUTE,
    "cleanupDataSources": Role.WRITE,
    "presignDataSource": Role.READ,
    "restoreSnapshot": Role.WRITE,
    "releaseSnapshot": Role.WRITE,
    "discardSnapshot": Role.WRITE,
    "uploadScript": Role.WRITE,
    "deleteScript": Role.WRITE,
    "createJob": Role.EXECUTE,
    "cancelJob": Role.EXECUTE,
    "retryJob": Role.EXECUTE,
    "schedule": Role.READ,
    "schedules": Role.READ,
    "createSchedule": Role.WRITE,
    "updateSchedule": Role.WRITE,
    "deleteSchedule": Role.WRITE,
}

# A valid call of each root field that takes an id, with every id in it, by someone who may.
CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "node": lambda w: {"id": w.datasource},
    "nodes": lambda w: {
        "ids": [w.project, w.datasource, w.job, w.script, w.snapshot, w.token, w.team]
    },
    "team": lambda w: {"id": w.team},
    "user": lambda w: {"id": w.user},
    "project": lambda w: {"id": w.project},
    "projects": lambda w: {"filter": {"teamId": w.team}},
    "dataset": lambda w: {"id": w.dataset},
    "datasets": lambda w: {"filter": {"projectId": w.project}},
    "dataSource": lambda w: {"id": w.datasource},
    "dataSources": lambda w: {"filter": {"projectId": w.project}},
    "snapshotDiff": lambda w: {"from": w.snapshot, "to": w.held_snapshot},
    "script": lambda w: {"id": w.script},
    "job": lambda w: {"id": w.job},
    "jobs": lambda w: {"filter": {"projectId": w.project, "dataSourceId": w.datasource}},
    "updateTeam": lambda w: {"input": {"id": w.team, "name": "t"}},
    "setTeamMember": lambda w: {
        "input": {"teamId": w.team, "username": w.viewer.username, "role": "ADMIN"}
    },
    "createApiToken": lambda w: {"input": {"name": "t", "role": "READ", "projectId": w.project}},
    "revokeApiToken": lambda w: {"input": {"id": w.token}},
    "createProject": lambda w: {"input": {"name": "p", "teamId": w.team}},
    "updateProject": lambda w: {"input": {"id": w.project, "name": "p", "teamId": w.team}},
    "deleteProject": lambda w: {"input": {"id": w.project}},
    "reinstateProject": lambda w: {"input": {"id": w.project}},
    "hardDeleteProject": lambda w: {"input": {"id": w.project}},
    "createDataset": lambda w: {"input": {"projectId": w.project, "name": "d"}},
    "updateDataset": lambda w: {"input": {"id": w.dataset, "name": "d"}},
    "deleteDataset": lambda w: {"input": {"id": w.dataset}},
    "upload": lambda w: {"id": w.upload},
    "uploadFile": lambda w: {"input": {"projectId": w.project, "file": new_file()}},
    "createUpload": lambda w: {
        "input": {"projectId": w.project, "fileName": "a.csv", "sizeBytes": 8}
    },
    "completeUpload": lambda w: {"input": {"uploadId": w.upload, "parts": w.parts()}},
    "testConnection": lambda w: {"input": {"projectId": w.project, "connection": w.file()}},
    "connectDataSources": lambda w: {
        "input": {
            "projectId": w.project,
            "datasetId": w.dataset,
            "sources": [{"name": "s", "connection": w.file()}],
        }
    },
    "updateDataSource": lambda w: {"input": {"id": w.datasource, "connection": w.file()}},
    "introspectDataSource": lambda w: {"input": {"id": w.datasource}},
    "syncDataSources": lambda w: {
        "input": {"projectId": w.project, "dataSourceIds": [w.datasource]}
    },
    "cleanupDataSources": lambda w: {
        "input": {"projectId": w.project, "dataSourceIds": [w.datasource]}
    },
    "presignDataSource": lambda w: {"input": {"id": w.datasource}},
    "restoreSnapshot": lambda w: {"input": {"id": w.snapshot}},
    "releaseSnapshot": lambda w: {"input": {"id": w.held_snapshot}},
    "discardSnapshot": lambda w: {"input": {"id": w.held_snapshot}},
    "uploadScript": lambda w: {
        "input": {"dataSourceId": w.datasource, "key": w.script_key, "body": "df = df.head()"}
    },
    "deleteScript": lambda w: {"input": {"id": w.script}},
    "createJob": lambda w: {
        "input": {
            "dataSourceId": w.datasource,
            "snapshotId": w.snapshot,
            "steps": [{"key": w.script_key}],
        }
    },
    "cancelJob": lambda w: {"input": {"id": w.job}},
    "retryJob": lambda w: {"input": {"id": w.job}},
    "schedule": lambda w: {"id": w.schedule},
    "schedules": lambda w: {"projectId": w.project},
    "createSchedule": lambda w: {
        "input": {
            "dataSourceId": w.datasource,
            "name": "s",
            "cron": "0 * * * *",
            "work": {"sync": {}},
        }
    },
    "updateSchedule": lambda w: {"input": {"id": w.schedule, "isEnabled": False}},
    "deleteSchedule": lambda w: {"input": {"id": w.schedule}},
}

# Calls of the root fields that take no id.
PLAIN_CALLS: dict[str, dict[str, Any]] = {
    "viewer": {},
    "viewerToken": {},
    "defaultProject": {},
    "serverInfo": {},
    "teams": {},
    "users": {},
    "predefinedScripts": {},
    "createTeam": {"input": {"name": "t"}},
    "createSession": {"input": {}},
    "refreshSession": {"input": {"refreshToken": "none"}},
}

# Positions of ids that the calls above leave out, in calls that have them.
OTHER_CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "dataSources.filter.id": lambda w: {"filter": {"id": [w.datasource]}},
    "dataSources.filter.datasetId": lambda w: {"filter": {"datasetId": w.dataset}},
    "presignDataSource.input.snapshotId": lambda w: {
        "input": {"id": w.datasource, "format": "CSV", "snapshotId": w.snapshot}
    },
}

# References that are no ids: keys of uploaded files.
KEYS: dict[str, Callable[[World, World], dict[str, Any]]] = {
    "testConnection": lambda own, foreign: {
        "input": {"projectId": own.project, "connection": foreign.file()}
    },
    "connectDataSources": lambda own, foreign: {
        "input": {
            "projectId": own.project,
            "sources": [{"name": "s", "connection": foreign.file()}],
        }
    },
    "updateDataSource": lambda own, foreign: {
        "input": {"id": own.datasource, "connection": foreign.file()}
    },
}

# What of a world an id in an argument is, by its place or the last part of it; what is not here is an id of the field's
# own kind of thing.
KIND_OF_ID = {
    "dataSources.filter.id": "datasource",
    "teamId": "team",
    "projectId": "project",
    "datasetId": "dataset",
    "dataSourceId": "datasource",
    "dataSourceIds": "datasource",
    "snapshotId": "snapshot",
    "from": "snapshot",
    "to": "snapshot",
    "uploadId": "upload",
}

# Queries of what lies between two objects: without one of them they are refused as a mutation is.
REFUSING_QUERIES = {"snapshotDiff"}

# What a token that is held to a project still sees: its team and who is in it, its user's tokens.
BESIDE_PROJECTS = {"node", "nodes", "team", "user", "projects", "revokeApiToken"}
