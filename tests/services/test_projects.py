"""Projects: where they are made, how they go and come back, and what goes with them."""

from typing import Any

import pytest

from base.errors import Forbidden, InvalidInput, NotFound
from base.ids import public_id
from models import (
    Dataset,
    DataSource,
    DataSourceStatus,
    Job,
    JobStatus,
    Membership,
    Project,
    Role,
    Snapshot,
    Team,
    Upload,
)
from services import projects
from services.access import Viewer, find
from services.platform import Platform
from tests import factories
from tests.services.places import Place, everything, make_place, put_upload, refused

pytestmark = pytest.mark.usefixtures("database")


async def key_of(pk: int) -> int:
    return pk


async def test_a_project_is_made_with_a_default_dataset(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    pk = await projects.create(platform, place.viewer, " Rivers ", place.team_id, "About water")

    project = await Project.get(id=pk).values()
    assert (project["name"], project["description"], project["team_id"]) == (
        "Rivers", "About water", place.team.id,
    )  # fmt: skip
    assert project["creator_id"] == place.viewer.user_id
    (dataset,) = await Dataset.filter(project_id=pk).values()
    assert (dataset["name"], dataset["is_default"]) == ("Default", True)


async def test_the_only_team_that_one_may_write_in_need_not_be_named(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    user_id = place.viewer.user_id
    await Membership.create(user_id=user_id, team=await factories.make_team(), role=Role.READ)

    pk = await projects.create(platform, place.viewer, "p")

    assert (await Project.get(id=pk).values())["team_id"] == place.team.id


async def test_of_several_teams_one_s_own_need_not_be_named(platform: Platform) -> None:
    theirs, own = await make_place(), await make_place()
    user = await theirs.team.memberships.all().first()  # type: ignore[attr-defined]
    assert user is not None
    await Membership.create(user_id=own.viewer.user_id, team=theirs.team, role=Role.ADMIN)
    viewer = Viewer(
        own.viewer.user_id, "x", is_staff=False, teams={theirs.team.id: Role.ADMIN, own.team.id: Role.ADMIN}
    )  # fmt: skip

    pk = await projects.create(platform, viewer.acting(Role.WRITE), "p")

    assert (await Project.get(id=pk).values())["team_id"] == own.team.id


async def test_without_a_team_of_one_s_own_one_has_to_be_named(platform: Platform) -> None:
    nobody = (await factories.make_viewer(role=None)).acting(Role.WRITE)

    async with refused(InvalidInput, "input.teamId"):
        await projects.create(platform, nobody, "p")


@pytest.mark.parametrize("role", [Role.READ, Role.EXECUTE])
async def test_making_one_takes_the_role_write_in_the_team(platform: Platform, role: Role) -> None:
    place = await make_place()
    low = (await place.member(role)).acting(Role.WRITE)

    async with refused(Forbidden, "input.teamId"):
        await projects.create(platform, low, "p", place.team_id)


async def test_a_foreign_team_is_not_found(platform: Platform) -> None:
    place, stranger = await make_place(), (await make_place()).viewer

    async with refused(NotFound, "input.teamId"):
        await projects.create(platform, stranger, "p", place.team_id)


async def test_a_token_held_to_a_project_makes_none(platform: Platform) -> None:
    place = await make_place()
    held = await place.member(Role.ADMIN, project_id=place.project.id)

    async with refused(Forbidden):
        await projects.create(platform, held.acting(Role.WRITE), "p", place.team_id)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "input.name"),
        ({"name": None}, "input.name"),
        ({"name": "x" * 201}, "input.name"),
        ({"description": "a\x00"}, "input.description"),
        ({"team_id": None}, "input.teamId"),
    ],
)
async def test_bad_changes_are_refused(changes: dict[str, Any], field: str) -> None:
    place = await make_place()

    async with refused(InvalidInput, field):
        await projects.update(place.viewer, place.project_id, changes)


async def test_only_what_is_named_changes() -> None:
    place = await make_place(Role.WRITE)
    await projects.update(place.viewer, place.project_id, {"description": "new"})
    before = await Project.get(id=place.project.id)

    await projects.update(place.viewer, place.project_id, {"name": " Named "})

    after = await Project.get(id=place.project.id)
    assert (after.name, after.description) == ("Named", "new")
    assert after.updated_at > before.updated_at
    await projects.update(place.viewer, place.project_id, {"description": None})
    assert (await Project.get(id=place.project.id)).description is None
    at_rest = await everything()
    await projects.update(place.viewer, place.project_id, {})
    assert await everything() == at_rest


async def in_both(place: Place, here: Role, there: Role) -> tuple[Viewer, Team]:
    target = await factories.make_team()
    user = await factories.make_user()
    await Membership.create(user=user, team=target, role=there)
    viewer = await factories.make_viewer(place.team, here, user=user)
    return viewer.acting(Role.WRITE), target


async def test_an_admin_moves_a_project_to_a_team_to_write_in() -> None:
    place = await make_place()
    viewer, target = await in_both(place, Role.ADMIN, Role.WRITE)

    await projects.update(viewer, place.project_id, {"team_id": public_id("team", target.id)})

    assert (await Project.get(id=place.project.id).values())["team_id"] == target.id


@pytest.mark.parametrize(("here", "there"), [(Role.WRITE, Role.ADMIN), (Role.ADMIN, Role.EXECUTE)])
async def test_others_do_not_move_a_project(here: Role, there: Role) -> None:
    place = await make_place()
    viewer, target = await in_both(place, here, there)

    async with refused(Forbidden, "input.teamId"):
        await projects.update(viewer, place.project_id, {"team_id": public_id("team", target.id)})


async def test_a_project_does_not_move_to_a_foreign_team() -> None:
    place, other = await make_place(), await make_place()

    async with refused(NotFound, "input.teamId"):
        await projects.update(place.viewer, place.project_id, {"team_id": other.team_id})


async def test_a_deleted_project_is_hidden_and_its_syncs_end() -> None:
    place = await make_place(Role.WRITE)
    source = await factories.make_source(place.project, status=DataSourceStatus.SYNCING)
    queued = await factories.make_job(source)
    other = await factories.make_source(place.project)
    running = await factories.make_job(other, status=JobStatus.RUNNING)
    foreign = await factories.make_job()

    assert await projects.delete(place.viewer, place.project_id) == place.project.id

    assert (await Project.get(id=place.project.id)).deleted_at is not None
    with pytest.raises(NotFound):
        await find(place.viewer, DataSource, public_id("datasource", source.id))
    states = {job.id: job.status for job in await Job.all()}
    assert states == {
        queued.id: JobStatus.CANCELLED,
        running.id: JobStatus.CANCELLING,
        foreign.id: JobStatus.QUEUED,
    }


async def test_deleting_and_reinstating_again_change_nothing() -> None:
    place = await make_place()
    await projects.delete(place.viewer, place.project_id)
    deleted = await everything()

    assert await projects.delete(place.viewer, place.project_id) == place.project.id

    assert await everything() == deleted
    for _ in range(2):
        assert await projects.reinstate(place.viewer, place.project_id) == place.project.id
        assert (await Project.get(id=place.project.id)).deleted_at is None
    assert await find(place.viewer, Dataset, public_id("dataset", place.dataset.id))


async def test_a_deleted_project_cannot_be_changed() -> None:
    place = await make_place()
    await projects.delete(place.viewer, place.project_id)

    async with refused(NotFound, "input.id"):
        await projects.update(place.viewer, place.project_id, {"name": "x"})


@pytest.mark.parametrize("verb", [projects.delete, projects.reinstate])
async def test_readers_and_strangers_neither_delete_nor_reinstate(verb: Any) -> None:
    place = await make_place()
    low = (await place.member(Role.EXECUTE)).acting(Role.WRITE)
    stranger = (await make_place()).viewer

    async with refused(Forbidden, "input.id"):
        await verb(low, place.project_id)
    async with refused(NotFound, "input.id"):
        await verb(stranger, place.project_id)


async def test_a_hard_deletion_leaves_no_row_and_no_object(platform: Platform) -> None:
    place, kept = await make_place(), await make_place()
    for each in (place, kept):
        upload = await put_upload(platform, each.project)
        source = await factories.make_source(
            each.project, each.dataset, settings={"object_key": upload.object_key}
        )
        job = await factories.make_job(source)
        await factories.make_snapshot(source, job=job)
        part = f"snapshots/{source.id}/{job.id}-1/0.parquet"
        await platform.store.put(part, _chunks(), bytes_max=10)
    staff = await factories.make_viewer(
        role=None, user=await factories.make_user(is_staff=True), needs=Role.ADMIN
    )

    seen = await projects.hard_delete(platform, staff, place.project_id, last_look=key_of)

    assert seen == place.project.id
    for model in (Project, Dataset, DataSource, Job, Snapshot, Upload):
        assert await model.all().count() == 1, model.__name__
    assert await Project.get(id=kept.project.id)
    keys = [info.key async for info in platform.store.list("")]
    assert len(keys) == 2
    assert not any(f"/{place.project.id}/" in key for key in keys if key.startswith("uploads"))
    with pytest.raises(NotFound):
        await projects.hard_delete(platform, staff, place.project_id, last_look=key_of)


async def _chunks() -> Any:
    yield b"parquet"
