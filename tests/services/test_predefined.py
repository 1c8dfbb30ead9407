"""The scripts that ship: installed once, whoever starts, and brought up to the release."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from models import Job, Role, Script, ScriptContract
from models.database import transaction
from services import scripts
from services.platform import Platform
from services.scripts import TableWanted, shipped
from tests import factories
from tests.services.places import make_place
from tests.services.scripting import step, steps_of, synced

SAME = "def run(df):\n    return df\n"
BATCHES = "def run_batches(batches, context):\n    yield from batches\n"
GLOBAL = "df = df.head()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release's predefined scripts."""
    folder = tmp_path / "predefined"
    folder.mkdir()
    (folder / "same.py").write_text(SAME)
    (folder / "some.py").write_text(GLOBAL)
    (folder / "__init__.py").write_text("no script")
    (folder / "notes.txt").write_text("no script")
    return folder


async def predefined() -> dict[str, tuple[str, ScriptContract]]:
    rows = await Script.filter(data_source_id=None)
    assert all(row.unique_key == f"/{row.key}" for row in rows)
    assert all(row.sha256 == hashlib.sha256(row.body.encode()).hexdigest() for row in rows)
    return {row.key: (row.body, row.contract) for row in rows}


async def test_predefined_scripts_are_installed_once(platform: Platform, folder: Path) -> None:
    assert await scripts.install_predefined(platform, folder) == 2

    installed = await predefined()
    before = await Script.all().order_by("id").values()
    assert installed == {
        "local:same": (SAME, ScriptContract.DATAFRAME),
        "local:some": (GLOBAL, ScriptContract.GLOBAL),
    }
    assert await scripts.install_predefined(platform, folder) == 0
    assert await Script.all().order_by("id").values() == before


async def test_processes_that_start_at_once_install_each_script_once(
    platform: Platform, folder: Path
) -> None:
    await asyncio.gather(*(scripts.install_predefined(platform, folder) for _ in range(4)))

    assert sorted(await predefined()) == ["local:same", "local:some"]


async def test_another_release_changes_what_is_installed(platform: Platform, folder: Path) -> None:
    own = await factories.make_script()
    await scripts.install_predefined(platform, folder)
    kept = (await Script.get(key="local:some")).id
    (folder / "some.py").write_text(BATCHES)
    (folder / "same.py").unlink()

    assert await scripts.install_predefined(platform, folder) == 2

    assert await predefined() == {"local:some": (BATCHES, ScriptContract.BATCHES)}
    assert (await Script.get(key="local:some")).id == kept
    assert await Script.filter(id=own.id).exists()


async def test_one_that_goes_while_a_job_is_made_leaves_the_job_its_text(
    platform: Platform,
) -> None:
    assert platform
    place = await make_place(Role.WRITE)
    source = await synced(place)
    script = await factories.make_predefined("local:same")
    planned = await scripts.plan(source, [step("local:same")], TableWanted())
    is_removed, is_over = asyncio.Event(), asyncio.Event()

    async def remove() -> None:
        async with transaction():
            await Script.filter(id=script.id).delete()
            is_removed.set()
            await is_over.wait()

    async def make() -> Job:
        async with transaction():
            return await scripts.start(planned, place.viewer.user_id, reuse=False)

    remover = asyncio.create_task(remove())
    await is_removed.wait()
    maker = asyncio.create_task(make())
    await asyncio.sleep(0.3)  # by then it waits
    is_over.set()
    await remover

    (pinned,) = await steps_of(await maker)
    assert (pinned.key, pinned.body) == ("local:same", SAME)
    assert pinned.script_id is None  # type: ignore[attr-defined]


async def test_a_predefined_script_that_is_none_is_left_out(
    platform: Platform, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.py").write_text("def run(df:\n")

    assert await scripts.install_predefined(platform, folder) == 2

    assert sorted(await predefined()) == ["local:same", "local:some"]
    assert "local:broken" in caplog.text


async def test_what_ships_can_be_installed(platform: Platform) -> None:
    await scripts.install_predefined(platform)

    files = [file.stem for file in shipped.FOLDER.glob("*.py") if not file.stem.startswith("_")]
    assert set(await predefined()) == {f"local:{stem}" for stem in files}
