"""Who may see and do what: the viewer, and the one door to a row by its public id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from tortoise.models import Model

from base.errors import Forbidden, NotFound, Unauthenticated
from base.ids import key_of
from models import (
    ApiToken,
    Dataset,
    DataSource,
    Job,
    JobLog,
    JobStep,
    Membership,
    PartUpload,
    Project,
    Role,
    Schedule,
    Script,
    Snapshot,
    Team,
    Upload,
    User,
    rows,
)
from models.rows import AnyOf, Condition, Eq, In, IsNull, Order, Within

M = TypeVar("M", bound=Model)

KINDS: Mapping[type[Model], str] = {
    Project: "project",
    Dataset: "dataset",
    DataSource: "datasource",
    Snapshot: "snapshot",
    Job: "job",
    Script: "script",
    Schedule: "schedule",
    Upload: "upload",
    PartUpload: "upload",
    Team: "team",
    User: "user",
    ApiToken: "token",
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `teams` are the memberships; a token caps them by `role_max` and may be held to one project.

    `session_ends_at` is set where not the token itself was sent but a session of it (`services.sessions`).
    `needs` is the role that the running operation declared; without it `find` refuses to work.
    """

    user_id: int
    username: str
    is_staff: bool
    teams: Mapping[int, Role] = field(default_factory=dict)
    token_id: int | None = None
    role_max: Role = Role.ADMIN
    project_id: int | None = None
    session_ends_at: datetime | None = None
    needs: Role | None = None

    def acting(self, needs: Role) -> Viewer:
        """This viewer in an operation that needs this role; raises Forbidden where the token's role is below it."""
        if self.role_max.rank < needs.rank:
            raise Forbidden(
                f"This needs the role {needs.name}; the token has {self.role_max.name}.",
                hint="Use a token with a higher role.",
            )
        return replace(self, needs=needs)

    def role_in(self, team_id: int) -> Role | None:
        """The role in a team: the membership's (staff: ADMIN), no higher than the token's; None for a stranger."""
        role = Role.ADMIN if self.is_staff else self.teams.get(team_id)
        return None if role is None else min(role, self.role_max, key=lambda each: each.rank)


def visible(
    viewer: Viewer, model: type[Model], *, deleted: bool = False, role: Role = Role.READ
) -> list[Condition]:
    """What restricts a list of this model to what the viewer may see with at least this role.

    Soft-deleted rows, and everything below a soft-deleted project, are left out; with `deleted` both are let in.
    """
    return _SCOPES[model](_Ask(viewer, role, deleted))


async def find(
    viewer: Viewer | None,
    model: type[M],
    public_id: str,
    *,
    field: str | None = None,
    deleted: bool = False,
) -> M:
    """The row with this public id or integer key, for an operation that needs `viewer.needs`.

    `field` is the input path of the id.
    Raises Unauthenticated without a viewer; NotFound, always in the same words, for an id that is malformed, of another
    kind, missing or foreign; Forbidden where the viewer may see the row but has too low a role.
    """
    if viewer is None:
        raise Unauthenticated("This needs an API token.", hint="Send `Authorization: Bearer hw_…`.")
    if viewer.needs is None:
        message = "the operation did not declare which role it needs"
        raise RuntimeError(message)
    key = key_of(KINDS[model], public_id)
    missing = NotFound(
        f"There is no such {KINDS[model]}.",
        hint="Check the id, and whose token this is.",
        field=field,
    )
    if key is None:
        raise missing
    here = Eq("id", key)
    allowed = visible(viewer, model, deleted=deleted, role=viewer.needs)
    if not await rows.exists(model, here, *allowed):
        # Asked second: what is removed in between is missing, not forbidden.
        seen = visible(viewer, model, deleted=deleted)
        if viewer.needs is Role.READ or not await rows.exists(model, here, *seen):
            raise missing
        raise Forbidden(
            f"This needs the role {viewer.needs.name} in the team of this {KINDS[model]}.",
            hint="Ask an admin of the team.",
            field=field,
        )
    row = await model.get_or_none(id=key)
    if row is None:  # removed for good a moment ago
        raise missing
    return row


async def default_project(viewer: Viewer) -> int | None:
    """The key of the project that is meant where a request names none; None where there is none.

    The one that the token is held to, else the oldest active one of the viewer's memberships; that staff reach every
    team does not count here.
    """
    conditions = visible(viewer, Project)
    if viewer.project_id is None:
        conditions.append(In("team_id", sorted(viewer.teams)))
    oldest = Order(("created_at", "id"))
    found = await rows.select(Project, ("id",), *conditions, order=oldest, limit=1)
    return found[0].id if found else None


@dataclass(frozen=True, slots=True)
class _Ask:
    viewer: Viewer
    role: Role
    deleted: bool


def _teams(ask: _Ask, column: str) -> list[Condition]:
    """The column is a team in which the viewer has at least this role."""
    viewer, needed = ask.viewer, ask.role.rank
    if viewer.role_max.rank < needed:
        return [AnyOf(())]
    if viewer.is_staff:
        return []
    return [In(column, [team for team, held in viewer.teams.items() if held.rank >= needed])]


def _team_of_project(ask: _Ask, column: str) -> list[Condition]:
    """As `_teams`, but a token held to a project sees that project's team only."""
    conditions = _teams(ask, column)
    if ask.viewer.project_id is not None:
        own = Eq("id", ask.viewer.project_id)
        conditions.append(Within(column, Project, (own,), "team_id"))
    return conditions


def _projects(ask: _Ask) -> list[Condition]:
    conditions = _teams(ask, "team_id")
    if ask.viewer.project_id is not None:
        conditions.append(Eq("id", ask.viewer.project_id))
    return conditions if ask.deleted else [*conditions, IsNull("deleted_at")]


def _below_project(ask: _Ask) -> list[Condition]:
    return [Within("project_id", Project, tuple(_projects(ask)))]


def _deletable(ask: _Ask) -> list[Condition]:
    conditions = _below_project(ask)
    return conditions if ask.deleted else [*conditions, IsNull("deleted_at")]


def _snapshots(ask: _Ask) -> list[Condition]:
    """What retention took, or somebody discarded, nobody sees."""
    return [
        IsNull("removed_at"),
        Within("data_source_id", DataSource, tuple(_deletable(ask))),
    ]


def _scripts(ask: _Ask) -> list[Condition]:
    """Those of one's sources; predefined ones everybody may read, and nobody change."""
    own = Within("data_source_id", DataSource, tuple(_deletable(ask)))
    if ask.role is not Role.READ:
        return [own]
    return [AnyOf((own, IsNull("data_source_id")))]


def _jobs(ask: _Ask) -> list[Condition]:
    """Partitions are their parent's affair: nobody sees or ends one by itself."""
    return [*_below_project(ask), IsNull("parent_id")]


def _schedules(ask: _Ask) -> list[Condition]:
    """Those of a source that is there; they go with it."""
    return [Within("data_source_id", DataSource, tuple(_deletable(ask)))]


def _below_job(ask: _Ask) -> list[Condition]:
    return [Within("job_id", Job, tuple(_jobs(ask)))]


def _team(ask: _Ask) -> list[Condition]:
    return _team_of_project(ask, "id")


def _memberships(ask: _Ask) -> list[Condition]:
    return _team_of_project(ask, "team_id")


def _users(ask: _Ask) -> list[Condition]:
    """Oneself and the members of one's teams."""
    if ask.viewer.is_staff and ask.viewer.project_id is None:
        return []
    colleagues = Within("id", Membership, tuple(_memberships(ask)), "user_id")
    return [AnyOf((Eq("id", ask.viewer.user_id), colleagues))]


def _tokens(ask: _Ask) -> list[Condition]:
    """One's own tokens, whatever one's role; a token held to a project sees those of that project."""
    conditions: list[Condition] = [Eq("user_id", ask.viewer.user_id)]
    if ask.viewer.project_id is not None:
        conditions.append(Eq("project_id", ask.viewer.project_id))
    return conditions


_SCOPES: Mapping[type[Model], Callable[[_Ask], list[Condition]]] = {
    Team: _team,
    Membership: _memberships,
    User: _users,
    ApiToken: _tokens,
    Project: _projects,
    Dataset: _deletable,
    DataSource: _deletable,
    Upload: _below_project,
    PartUpload: _below_project,
    Job: _jobs,
    Schedule: _schedules,
    Script: _scripts,
    Snapshot: _snapshots,
    JobStep: _below_job,
    JobLog: _below_job,
}
