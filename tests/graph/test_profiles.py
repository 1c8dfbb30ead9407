"""Profiles of tables through the API: what the sync stored, read once, and nothing before the first sync."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from base.ids import public_id
from base.tables import ColumnType, TableSchema
from models import DataSource, Project
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredFile, StoredTable
from storage.snapshots.profile import profile
from tests import factories
from tests.graph.asking import Asker
from tests.storage import tables

TABLE = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])
QUERY = """query ($id: ID!) { dataSource(id: $id) { table { profile {
  column count nulls distinct distinctIsExact min max mean stddev median method
  top { value count } histogram { lower upper count } } } } }"""


async def ask(platform: Platform, source: DataSource) -> dict[str, Any]:
    project = await Project.get(id=source.project_id).prefetch_related("team")  # type: ignore[attr-defined]
    asker = Asker(platform, await factories.make_viewer(project.team))
    return await asker.answer(QUERY, id=public_id("datasource", source.id))


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def stored(platform: Platform, folder: Path, key: str | None) -> DataSource:
    """A source with a snapshot of the table above, with the profile that a sync would have stored."""
    parts = tables.write(folder, pa.table({"n": [2**60, 1, None], "t": ["a", "b", "a"]}))
    text = json.dumps(profile(parts, TABLE, folder, memory_bytes=2**26)).encode()
    file = None
    if key is not None:
        await platform.store.put(key, once(text), bytes_max=len(text))
        file = StoredFile(key, 2, len(text), hashlib.sha256(text).hexdigest())
    source = await factories.make_source()
    manifest = Manifest((StoredTable(TABLE, (), profile=file),)).to_json()
    snapshot = await factories.make_snapshot(source, manifest=manifest)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    return source


async def test_statistics_arrive_as_they_were_stored(platform: Platform, tmp_path: Path) -> None:
    source = await stored(platform, tmp_path / "t", "snapshots/1/1-1/profile-0.json")

    numbers, texts = (await ask(platform, source))["data"]["dataSource"]["table"]["profile"]

    assert numbers | {"histogram": len(numbers["histogram"])} == {
        "column": "n",
        "count": 2,
        "nulls": 1,
        "distinct": 2,
        "distinctIsExact": True,
        "min": 1,
        "max": str(2**60),
        "mean": 576460752303423488.0,
        "stddev": pytest.approx(2**59.5, rel=1e-15),
        "median": 576460752303423488.0,
        "top": [{"value": 1, "count": 1}, {"value": str(2**60), "count": 1}],
        "histogram": 20,
        "method": "Everything is exact, over every row.",
    }
    assert numbers["histogram"][0] == {"lower": 1, "upper": "57646075230342350", "count": 1}
    assert texts | {"method": None} == {
        "column": "t",
        "count": 3,
        "nulls": 0,
        "distinct": 2,
        "distinctIsExact": True,
        "min": "a",
        "max": "b",
        "mean": None,
        "stddev": None,
        "median": None,
        "top": [{"value": "a", "count": 2}, {"value": "b", "count": 1}],
        "histogram": [],
        "method": None,
    }


async def test_a_profile_is_read_once(platform: Platform, tmp_path: Path) -> None:
    key = "snapshots/1/1-1/profile-1.json"
    source = await stored(platform, tmp_path / "t", key)
    first = await ask(platform, source)

    await platform.store.delete(key)

    assert "errors" not in first
    assert await ask(platform, source) == first


async def test_a_table_without_a_profile_has_none(platform: Platform, tmp_path: Path) -> None:
    synced = await stored(platform, tmp_path / "t", None)
    found = await factories.make_source(tables=[TableSchema("t", TABLE.columns).to_json()])

    for source in (synced, found):
        answer = await ask(platform, source)
        assert answer["data"]["dataSource"]["table"] == {"profile": []}
