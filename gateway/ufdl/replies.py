"""What GraphQL answers, as the dialect writes it, and the JSON Schemas of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialect import Data
from gateway.schemas import FLAG, KEY, NULL, TEXT, Schema, list_of, object_of, or_null

LEVELS: Mapping[str, str] = {"READ": "R", "EXECUTE": "X", "WRITE": "W", "ADMIN": "A"}
ROLES: Mapping[str, str] = {level: role for role, level in LEVELS.items()}

_TIME = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00$",
    "examples": ["2026-11-21T13:28:56.123000+00:00"],
}
_KEY_OR_NULL = or_null(KEY)

PROJECT = object_of(
    pk=KEY,
    name=TEXT,
    team=KEY,
    creator=_KEY_OR_NULL,
    creation_time=_TIME,
    deletion_time=or_null(_TIME),
)
TEAM = object_of(
    pk=KEY,
    name=TEXT,
    members=list_of(object_of(pk=KEY, username=TEXT)),
    creator=_KEY_OR_NULL,
    creation_time=_TIME,
    deletion_time=NULL,
)
PERMISSIONS: Schema = {"type": "string", "enum": list(ROLES)}
MEMBERSHIP = object_of(
    user=KEY,
    team=KEY,
    permissions=PERMISSIONS,
    creator=NULL,
    creation_time=_TIME,
    deletion_time=NULL,
)
USER = object_of(
    pk=KEY,
    username=TEXT,
    first_name={"const": ""},
    last_name={"const": ""},
    email=TEXT,
    is_active={"const": True},
    is_staff=FLAG,
    is_superuser=FLAG,
    last_login=NULL,
    date_joined=_TIME,
)
TOKENS = object_of(refresh=TEXT, access=TEXT)
ACCESS = object_of(access=TEXT)
NOTHING = object_of()


def time(stamp: str | None) -> str | None:
    """A time with microseconds and its offset, which GraphQL writes with milliseconds and a Z."""
    return None if stamp is None else f"{stamp.removesuffix('Z')}000+00:00"


def project(row: Data) -> dict[str, Any]:
    """A project."""
    return {
        "pk": row["pk"],
        "name": row["name"],
        "team": row["team"]["pk"],
        "creator": _key(row["creator"]),
        "creation_time": time(row["createdAt"]),
        "deletion_time": time(row["deletedAt"]),
    }


def team(row: Data) -> dict[str, Any]:
    """A team, which is never deleted."""
    return {
        "pk": row["pk"],
        "name": row["name"],
        "members": [
            {"pk": each["user"]["pk"], "username": each["user"]["username"]}
            for each in row["members"]
        ],
        "creator": _key(row["creator"]),
        "creation_time": time(row["createdAt"]),
        "deletion_time": None,
    }


def membership(team_row: Data) -> dict[str, Any]:
    """The membership of a team that was asked for one member. Who made it is not kept, nor one that has ended."""
    member = team_row["member"]
    return {
        "user": member["user"]["pk"],
        "team": team_row["pk"],
        "permissions": LEVELS[member["role"]],
        "creator": None,
        "creation_time": time(member["createdAt"]),
        "deletion_time": None,
    }


def user(row: Data) -> dict[str, Any]:
    """A user, with the names that Django has for it: there are no others than active ones, and no names of people."""
    return {
        "pk": row["pk"],
        "username": row["username"],
        "first_name": "",
        "last_name": "",
        "email": row["email"] or "",
        "is_active": True,
        "is_staff": row["isStaff"],
        "is_superuser": row["isStaff"],
        "last_login": None,
        "date_joined": time(row["createdAt"]),
    }


def _key(row: Data | None) -> int | None:
    return None if row is None else row["pk"]
