"""Filters of projects, made up at random and nested, let in just what a few lines of Python say they do."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from models import Project
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker

AT = datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC)
QUERY = "query ($filter: ProjectFilter) { projects(first: 200, filter: $filter) { nodes { pk } totalCount } }"
TRIES = 150
TEXTS = ("", "a", "A", "ab", "aB", "b_", "%", "_", "!", "Zoë", "zoë", "日本", "😀")
Row = dict[str, Any]
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip


def holds(by: dict[str, Any], row: Row, *, nested: bool = False) -> bool:
    """Whether a `ProjectFilter` lets a row in."""
    parts = [
        _one(row[name], test)
        for name, test in by.items()
        if name in {"pk", "name", "createdAt", "deletedAt"}
    ]
    if "team" in by:
        parts += [_one(row["team"][name], test) for name, test in by["team"].items()]
    for name, test in by.get("creator", {}).items():
        if name == "isNull":
            parts.append((row["creator"] is None) is test)
        else:
            parts.append(row["creator"] is not None and _one(row["creator"][name], test))
    deleted = by.get("deleted", None if nested else False)
    if deleted is not None:
        parts.append((row["deletedAt"] is not None) is deleted)
    if "and" in by:
        parts.append(all(holds(each, row, nested=True) for each in by["and"]))
    if "or" in by:
        parts.append(any(holds(each, row, nested=True) for each in by["or"]))
    if "not" in by:
        parts.append(not holds(by["not"], row, nested=True))
    return all(parts)


def _one(value: Any, test: dict[str, Any]) -> bool:
    """Whether a value passes a filter of texts, keys or times."""
    ignores = test.get("ignoreCase")
    for name, given in test.items():
        if name == "ignoreCase":
            continue
        if name == "isNull":
            passes = (value is None) is given
        elif value is None:
            passes = False
        else:
            folds = name == "contains" if ignores is None else ignores
            passes = _compare(name, *(_folded(each, folds=folds) for each in (value, given)))
        if not passes:
            return False
    return True


def _folded(value: Any, *, folds: bool) -> Any:
    if isinstance(value, list):
        return [_folded(each, folds=folds) for each in value]
    if isinstance(value, str):
        return value.lower() if folds else value
    return value


def _compare(name: str, value: Any, given: Any) -> bool:
    if isinstance(value, datetime):
        given = datetime.fromisoformat(given)
    if name == "in":
        return value in given
    if name in {"contains", "startsWith"}:
        found: bool = given in value if name == "contains" else value.startswith(given)
        return found
    return _COMPARISONS[name](value, given)


class Maker:
    """Makes up filters about some rows."""

    def __init__(self, rows: list[Row], seed: int) -> None:
        self._chance = random.Random(seed)
        self._rows = rows

    def make(self, levels: int = 3) -> dict[str, Any]:
        """A filter with up to three parts, which holds others up to so many levels deep."""
        parts: dict[str, Callable[[], Any]] = {
            "pk": lambda: self._test([row["pk"] for row in self._rows], "eq in lt lte gt gte"),
            "name": self._text,
            "createdAt": self._time,
            "deletedAt": self._time,
            "team": lambda: self._chance.choice(
                [{"name": self._text()}, {"createdAt": self._time()}, {}]
            ),
            "creator": lambda: self._chance.choice([{"username": self._text()}, {"isNull": True}]),
            "deleted": lambda: self._chance.choice([None, True, False]),
        }
        if levels:
            parts["and"] = parts["or"] = lambda: [
                self.make(levels - 1) for _ in range(self._chance.randint(0, 3))
            ]
            parts["not"] = lambda: self.make(levels - 1)
        names = self._chance.sample(sorted(parts), self._chance.randint(0, 3))
        return {name: parts[name]() for name in names}

    def _text(self) -> dict[str, Any]:
        test = self._test(TEXTS, "eq in contains startsWith lt lte gt gte isNull")
        ignore = self._chance.choice([None, True, False])
        return test if ignore is None else {**test, "ignoreCase": ignore}

    def _time(self) -> dict[str, Any]:
        moments = [(AT + timedelta(milliseconds=n)).isoformat() for n in range(-1, 5)]
        return self._test(moments, "eq lt lte gt gte isNull")

    def _test(self, values: Any, names: str) -> dict[str, Any]:
        name = self._chance.choice(names.split())
        if name == "isNull":
            return {name: self._chance.choice([True, False])}
        if name == "in":
            return {name: self._chance.sample(sorted(values), self._chance.randint(0, 3))}
        return {name: self._chance.choice(values)}


async def test_filters_let_in_what_they_say(platform: Platform) -> None:
    reader = await factories.make_user("reader")
    teams = [await factories.make_team(name) for name in ("ab", "AB")]
    users = [None, await factories.make_user("Zoë"), await factories.make_user("aB")]
    for team in teams:
        viewer = await factories.make_viewer(team, user=reader)
    rows: list[Row] = []
    for index, name in enumerate(TEXTS[1:] * 2):
        team, user = teams[index % 2], users[index % 3]
        at = AT + timedelta(milliseconds=index % 4)
        deleted = at if index % 5 > 2 else None
        project = await factories.make_project(team, name, creator=user, deleted_at=deleted)
        await Project.filter(id=project.id).update(created_at=at)
        rows.append({
            "pk": project.id, "name": name, "createdAt": at, "deletedAt": deleted,
            "team": {"name": team.name, "createdAt": team.created_at},
            "creator": user and {"username": user.username},
        })  # fmt: skip
    asker, maker = Asker(platform, viewer), Maker(rows, seed=7)
    sizes = set()

    for _ in range(TRIES):
        by = maker.make()
        found = (await asker.data(QUERY, filter=by))["projects"]
        expected = [row["pk"] for row in rows if holds(by, row)]
        assert sorted(node["pk"] for node in found["nodes"]) == expected, by
        assert found["totalCount"] == len(expected)
        sizes.add(len(expected))

    assert len(sizes) > 10  # they tell the rows apart, and not only all from none
