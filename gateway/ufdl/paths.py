"""The fields that lists are filtered and sorted by: dotted paths, and where GraphQL has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Path:
    """A field of projects.

    `place` is where a `ProjectFilter` has the filter of its `kind`, `null` where it has the test for null (None: it is
    never null), `order` the value of `ProjectOrderField`.
    """

    kind: Literal["key", "text", "time"]
    place: tuple[str, ...]
    order: str
    null: tuple[str, ...] | None = None


_PK = Path("key", ("pk",), "PK")
_TEAM = Path("key", ("team", "pk"), "TEAM")
_CREATOR = Path("key", ("creator", "pk"), "CREATOR", ("creator", "isNull"))
_DOTTED: dict[str, Path] = {
    "pk": _PK,
    "id": _PK,
    "name": Path("text", ("name",), "NAME"),
    "team": _TEAM,
    "team.pk": _TEAM,
    "team.id": _TEAM,
    "team.name": Path("text", ("team", "name"), "TEAM_NAME"),
    "creator": _CREATOR,
    "creator.pk": _CREATOR,
    "creator.id": _CREATOR,
    "creator.username": Path(
        "text", ("creator", "username"), "CREATOR_USERNAME", ("creator", "isNull")
    ),
    "creation_time": Path("time", ("createdAt",), "CREATED_AT"),
    "deletion_time": Path("time", ("deletedAt",), "DELETED_AT", ("deletedAt", "isNull")),
}
# Clients of Django also know its own spelling, `team__name`.
PATHS = _DOTTED | {name.replace(".", "__"): path for name, path in _DOTTED.items()}


def nested(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`nested(("team", "pk"), x)` -> `{"team": {"pk": x}}`."""
    for name in reversed(place):
        value = {name: value}
    found: dict[str, Any] = value
    return found
