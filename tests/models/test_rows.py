"""Reading without model instances: the same rows on both databases, and no text of ours in the SQL."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from models import Dataset, DataSource, DataSourceStatus, Job, Project, User, rows
from models.database import Database
from models.rows import (
    AllOf,
    AnyOf,
    Beyond,
    Compare,
    Contains,
    Eq,
    Has,
    In,
    IsNull,
    Key,
    KeyIs,
    Not,
    Order,
    Pick,
    Within,
)
from tests import factories

pytestmark = pytest.mark.usefixtures("database")


async def test_a_row_has_the_selected_columns_with_natural_values_and_nothing_else() -> None:
    user = await factories.make_user("ada", is_staff=True)
    source = await factories.make_source(name="s", settings={"a": [1, None]}, creator=user)

    row = await rows.first(
        DataSource, ("name", "status", "settings", "created_at", "secrets"), Eq("id", source.id)
    )
    staff = await rows.first(User, ("is_staff",), Eq("id", user.id))

    assert row is not None
    assert (row.name, row.settings, row.secrets) == ("s", {"a": [1, None]}, None)
    assert row.status is DataSourceStatus.PENDING
    assert row.created_at == source.created_at
    assert row.created_at.utcoffset() == timedelta(0)
    assert staff is not None
    assert staff.is_staff is True
    assert not hasattr(row, "kind")
    with pytest.raises(AttributeError):
        row.name = "other"  # type: ignore[attr-defined]


async def test_a_pick_renames_and_converts_but_never_sees_null() -> None:
    source = await factories.make_source(name="s")

    row = await rows.first(
        DataSource,
        (Pick("pk", "id"), Pick("shout", "name", str.upper), Pick("never", "secrets", str.upper)),
    )

    assert row is not None
    assert tuple(row) == (source.id, "S", None)
    assert (row.pk, row.shout, row.never) == (source.id, "S", None)


async def test_names_that_a_model_does_not_have_never_become_sql() -> None:
    for columns, conditions in (
        (('id" FROM users; --',), ()),
        (("id",), (Eq("name = name OR name", 1),)),
    ):
        with pytest.raises(KeyError):
            await rows.select(Project, columns, *conditions)
    with pytest.raises(KeyError):
        await rows.select(Project, ("id",), Compare("id", "OR 1=1", 1))


async def test_values_are_never_sql() -> None:
    hostile = "'; DROP TABLE projects; --"
    project = await factories.make_project(name=hostile)
    await factories.make_project(name="other")

    for condition in (Eq("name", hostile), In("name", [hostile]), Contains("name", hostile)):
        found = await rows.select(Project, ("id",), condition)
        assert [row.id for row in found] == [project.id]


async def test_contains_takes_the_signs_of_patterns_literally_and_ignores_case() -> None:
    for name in ("100% Sure", "100 Sure", "a_b!", "axb!"):
        await factories.make_project(name=name)

    async def names(text: str) -> list[str]:
        order = Order(("id",))
        return [
            row.name
            for row in await rows.select(Project, ("name",), Contains("name", text), order=order)
        ]

    assert await names("100%") == ["100% Sure"]
    assert await names("sURE") == ["100% Sure", "100 Sure"]
    assert await names("a_b!") == ["a_b!"]


async def test_a_key_of_a_json_column_is_compared_as_text() -> None:
    for settings in ({"a": "x"}, {"a": "y", "b": "x"}, {"a": None}, {"a": ["x"]}, {}):
        await factories.make_source(name=str(settings), settings=settings)

    async def names(key: str, text: str) -> list[str]:
        found = await rows.select(DataSource, ("name",), KeyIs("settings", key, text))
        return [row.name for row in found]

    assert await names("a", "x") == ["{'a': 'x'}"]
    assert await names("b", "x") == ["{'a': 'y', 'b': 'x'}"]
    assert await names("a'", "x'; --") == []


async def test_rows_are_told_by_what_refers_to_them_also_within_one_table() -> None:
    source = await factories.make_source()
    parent, childless = [
        await factories.make_job(source, active_key=None, attempts=n) for n in (1, 2)
    ]
    await factories.make_job(source, active_key=None, attempts=3, parent=parent)

    async def attempts(*conditions: rows.Condition) -> list[int]:
        order = Order(("id",))
        return [
            row.attempts for row in await rows.select(Job, ("attempts",), *conditions, order=order)
        ]

    assert childless.id > parent.id
    assert await attempts(Has(Job, "parent_id")) == [1]
    assert await attempts(Has(Job, "parent_id", has=False)) == [2, 3]
    assert await attempts(Has(Job, "parent_id", (Eq("attempts", 3),))) == [1]
    assert await attempts(Has(Job, "parent_id", (Eq("attempts", 1),))) == []
    assert await attempts(Eq("attempts", 1), Has(Job, "parent_id"), IsNull("parent_id")) == [1]


async def test_lists_of_any_length_are_one_parameter() -> None:
    projects = [await factories.make_project() for _ in range(3)]
    many = [project.id for project in projects[:2]] + list(range(100_000, 102_000))

    assert await rows.count(Project, In("id", many)) == 2
    assert await rows.count(Project, In("id", [])) == 0


async def test_conditions_combine() -> None:
    first = await factories.make_project(name="a", description="x")
    second = await factories.make_project(name="b")
    third = await factories.make_project(name="c", deleted_at=datetime.now(UTC))

    async def ids(*conditions: rows.Condition) -> list[int]:
        found = await rows.select(Project, ("id",), *conditions, order=Order(("id",)))
        return [row.id for row in found]

    assert await ids(IsNull("deleted_at")) == [first.id, second.id]
    assert await ids(IsNull("deleted_at", null=False)) == [third.id]
    assert await ids(AnyOf((Eq("name", "a"), Eq("name", "c")))) == [first.id, third.id]
    assert await ids(AnyOf(())) == []
    assert await ids(AllOf(())) == [first.id, second.id, third.id]
    assert await ids(AllOf((Eq("name", "a"), Eq("description", "x")))) == [first.id]
    assert await ids(Not(Eq("description", "x"))) == [second.id, third.id]
    assert await ids(Not(Not(Compare("description", "!=", "x")))) == []
    assert await ids(Compare("id", ">", first.id), Compare("name", "!=", "c")) == [second.id]
    assert await ids(Compare("created_at", ">=", second.created_at)) == [second.id, third.id]
    assert await ids(Compare("created_at", "<", second.created_at)) == [first.id]


async def test_within_follows_a_relation() -> None:
    wanted = await factories.make_source()
    await factories.make_source()
    dataset = await Dataset.get(id=wanted.dataset_id)  # type: ignore[attr-defined]
    team = Within("project_id", Project, (Eq("id", wanted.project_id),))  # type: ignore[attr-defined]

    found = await rows.select(
        DataSource, ("id",), Within("dataset_id", Dataset, (Eq("name", dataset.name), team))
    )

    assert [row.id for row in found] == [wanted.id]


@pytest.mark.parametrize("descending", [False, True])
async def test_beyond_goes_on_after_ties_and_microseconds(*, descending: bool) -> None:
    moments = [
        datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
        for us in (0, 0, 1, 1000, 1000)
    ]
    for moment in moments:
        project = await factories.make_project()
        await Project.filter(id=project.id).update(created_at=moment)
    order = Order(("created_at", "id"), descending)
    whole = await rows.select(Project, ("id", "created_at"), order=order)

    seen = [
        [
            row.id
            for row in await rows.select(
                Project, ("id",), Beyond(order, (each.created_at, each.id)), order=order
            )
        ]
        for each in whole
    ]

    ids = [row.id for row in whole]
    assert ids == sorted(ids, reverse=descending)
    assert seen == [ids[index + 1 :] for index in range(5)]


async def test_beyond_goes_on_after_nulls_wherever_they_are_and_in_mixed_directions() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for index in range(7):
        deleted = moment + timedelta(seconds=index % 2) if index % 3 else None
        await factories.make_project(name=f"{index % 2}", deleted_at=deleted)

    for first, mixed, whole in itertools.product((None, False, True), (False, True), (False, True)):
        keys = (Key("deleted_at", mixed, first), Key("name", not mixed), "id")
        order = Order(keys, descending=whole)
        found = await rows.select(Project, ("id", "deleted_at", "name"), order=order)
        nulls = [row.deleted_at is None for row in found]
        assert nulls == sorted(nulls, reverse=(mixed if first is None else first) is not whole)
        for index, row in enumerate(found):
            beyond = Beyond(order, (row.deleted_at, row.name, row.id))
            after = await rows.select(Project, ("id",), beyond, order=order)
            assert [each.id for each in after] == [each.id for each in found[index + 1 :]]


async def test_a_column_of_the_row_that_is_referred_to_is_read_sorted_and_gone_on_from() -> None:
    user = await factories.make_user("ada")
    for name, creator in (("b", None), ("a", user), ("c", None)):
        team = await factories.make_team(name)
        await factories.make_project(team, name="same", creator=creator)
    order = Order(("team.name", "name", "id"))
    columns = (
        Pick("team", "team.name"),
        Pick("made", "team.created_at"),
        "name",
        Pick("by", "creator.username"),
    )

    found = await rows.select(Project, columns, order=order)
    after = await rows.select(Project, columns, Beyond(order, ("a", "same", 0)), order=order)

    assert [(row.team, row.name, row.by) for row in found] == [
        ("a", "same", "ada"), ("b", "same", None), ("c", "same", None),
    ]  # fmt: skip
    assert [row.team for row in after] == ["a", "b", "c"]
    assert all(row.made.utcoffset() == timedelta(0) for row in found)
    with pytest.raises(KeyError):
        await rows.select(Project, ("team.nonsense",))


async def test_top_columns_gives_the_first_rows_below_each_parent_in_order() -> None:
    parents = [await factories.make_project() for _ in range(3)]
    for parent, number in zip(parents, (4, 1, 0), strict=True):
        for index in range(number):
            await factories.make_dataset(parent, name=f"{index}")
    await factories.make_dataset(name="foreign")

    found = await rows.top_columns(
        Dataset,
        ("project_id", "name"),
        Compare("name", "!=", "3"),
        parent="project_id",
        parents=[parent.id for parent in parents],
        order=Order(("name", "id"), descending=True),
        limit=2,
    )

    first, second, _ = (parent.id for parent in parents)
    assert list(zip(*found, strict=True)) == [(first, "2"), (first, "1"), (second, "0")]


async def test_no_rows_are_empty_columns() -> None:
    assert await rows.select_columns(Project, ("id", "name")) == [[], []]
    assert await rows.select(Project, ("id",)) == []
    assert await rows.first(Project, ("id",)) is None
    assert not await rows.exists(Project)


async def test_tally_counts_each_combination() -> None:
    project = await factories.make_project()
    dataset = await factories.make_dataset(project)
    for status in ("failed", "failed", "synced"):
        await factories.make_source(project, dataset, status=status)

    counted = await rows.tally(DataSource, ("dataset_id", "status"), Eq("project_id", project.id))

    assert counted == {(dataset.id, "failed"): 2, (dataset.id, "synced"): 1}


async def test_a_deep_page_is_read_from_the_index(database: Database) -> None:
    project = await factories.make_project()
    moment = datetime.now(UTC)
    statement = rows.Statement(database.dialect)
    order = Order(("created_at", "id"))
    beyond = Beyond(order, (moment, 1)).render(Job, statement)
    scope = Eq("project_id", project.id).render(Job, statement)
    text = (
        f'SELECT "id" FROM "jobs" WHERE {scope} AND {beyond} ORDER BY "created_at", "id" LIMIT 20'
    )
    if database.dialect == "sqlite":
        plan = await database.connection.execute_query_dict(
            f"EXPLAIN QUERY PLAN {text}", statement.values
        )
        assert len(plan) == 1, plan
        assert "SEARCH" in plan[0]["detail"]
        assert "created_at>?" in plan[0]["detail"]
    else:
        await database.connection.execute_query("SET enable_seqscan = off")
        plan = await database.connection.execute_query_dict(f"EXPLAIN {text}", statement.values)
        assert "Sort" not in str(plan)


async def test_many_readers_at_once_get_their_own_rows() -> None:
    projects = [await factories.make_project() for _ in range(5)]

    found = await asyncio.gather(
        *(rows.first(Project, ("id",), Eq("id", project.id)) for project in projects * 10)
    )

    assert [row.id for row in found if row] == [project.id for project in projects] * 10
