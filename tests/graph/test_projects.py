"""Projects over the API: names of their own on request, requests that are safe to repeat, and what is read when deleted."""

from typing import Any

from base.ids import public_id
from models import Project
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.services.places import Place

TAKEN = ("CONFLICT", "input.name")


async def test_a_name_of_its_own_is_kept_to_by_what_asks_for_it(asker: Asker, place: Place) -> None:
    async def do_for_pk(mutation: str, **values: Any) -> int:
        pk: int = (await do(asker, mutation, "project { pk }", **values))["project"]["pk"]
        return pk

    first = await do_for_pk("createProject", name="Rivers", uniqueName=True)
    second = await do_for_pk("createProject", name="Rivers")
    own = {"id": public_id("project", second)}

    assert await refusal(asker, "createProject", name="Rivers", uniqueName=True) == TAKEN
    assert await refusal(asker, "updateProject", **own, name="Rivers", uniqueName=True) == TAKEN
    assert await do_for_pk("updateProject", **own, name="Rivers", uniqueName=None) == second
    await do_for_pk("deleteProject", **own)
    assert await refusal(asker, "reinstateProject", **own, uniqueName=True) == TAKEN
    assert await do_for_pk("reinstateProject", **own) == second
    assert await Project.filter(name="Rivers", deleted_at=None).count() == 2
    assert first != second


async def test_a_project_is_made_once_for_a_key(asker: Asker, place: Place) -> None:
    given = {"name": "Rivers", "teamId": place.team_id, "idempotencyKey": "k"}

    first = await do(asker, "createProject", "project { pk name }", **given, uniqueName=True)
    again = await do(asker, "createProject", "project { pk name }", **given, uniqueName=True)

    assert first == again
    conflict = ("CONFLICT", "input.idempotencyKey")
    assert await refusal(asker, "createProject", **given) == conflict
    assert await refusal(asker, "createProject", **given | {"name": "Lakes"}) == conflict
    assert await Project.filter(name="Rivers").count() == 1


DELETED = """query ($pk: BigInt) { projects(filter: {pk: {eq: $pk}, deleted: null}) { totalCount nodes {
  id pk name description createdAt updatedAt deletedAt team { pk name } creator { pk username }
  datasets { totalCount } } } }"""


async def test_a_soft_deleted_project_is_read_by_its_key(platform: Platform) -> None:
    user = await factories.make_user("ada")
    team = await factories.make_team("North")
    project = await factories.make_project(team, "Rivers", description="wet", creator=user)
    await factories.make_dataset(project)
    asker = Asker(platform, await factories.make_viewer(team, user=user))
    active = (await asker.data(DELETED, pk=project.id))["projects"]["nodes"][0]

    await do(asker, "deleteProject", "project { pk }", id=public_id("project", project.id))
    (deleted,) = (await asker.data(DELETED, pk=project.id))["projects"]["nodes"]

    assert active["deletedAt"] is None
    assert deleted == active | {
        "deletedAt": deleted["deletedAt"],
        "datasets": {"totalCount": 0},
    }
    assert (deleted["id"], deleted["pk"]) == (public_id("project", project.id), project.id)
    assert (deleted["name"], deleted["description"]) == ("Rivers", "wet")
    assert deleted["deletedAt"] > deleted["createdAt"]
    assert deleted["team"] == {"pk": team.id, "name": "North"}
    assert deleted["creator"] == {"pk": user.id, "username": "ada"}
    stranger = Asker(platform, await factories.make_viewer())
    assert (await stranger.data(DELETED, pk=project.id))["projects"]["totalCount"] == 0
