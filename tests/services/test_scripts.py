"""Scripts: parsed in a child and never run, kept under keys that are what they look like."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from base import process
from base.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    SandboxUnavailable,
)
from base.ids import public_id
from models import DataSource, JobStep, Role, Script, ScriptContract
from services import rates, scripts
from services.platform import Platform
from services.scripts import storing
from tests import factories
from tests.services.places import Place, make_place, refused

SAME = "def run(df):\n    return df\n"
BATCHES = "def run_batches(batches, context):\n    yield from batches\n"
GLOBAL = "df = df.head()\n"


@pytest.fixture(autouse=True)
def _start_counting_anew() -> None:
    rates.forget()


@pytest.fixture
async def place(platform: Platform) -> Place:
    assert platform
    return await make_place(Role.WRITE)


@pytest.fixture
async def source(place: Place) -> DataSource:
    return await factories.make_source(place.project, place.dataset)


def id_of(source: DataSource) -> str:
    return public_id("datasource", source.id)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def put(
    platform: Platform, place: Place, source: DataSource, key: str = "a.py", body: str = SAME
) -> int:
    return await scripts.upload(platform, place.viewer, id_of(source), key, body=body)


async def test_a_text_is_kept_with_its_contract_and_hash(
    platform: Platform, place: Place, source: DataSource
) -> None:
    pk = await put(platform, place, source, "clean/trim.py")

    row = await Script.get(id=pk).values()
    assert row | {"created_at": None, "updated_at": None} == {
        "id": pk,
        "data_source_id": source.id,
        "creator_id": place.viewer.user_id,
        "key": "clean/trim.py",
        "unique_key": f"{source.id}/clean/trim.py",
        "contract": ScriptContract.DATAFRAME,
        "sha256": hashlib.sha256(SAME.encode()).hexdigest(),
        "created_at": None,
        "updated_at": None,
        "body": SAME,
    }


@pytest.mark.parametrize(
    ("body", "contract"),
    [
        (SAME, ScriptContract.DATAFRAME),
        (BATCHES, ScriptContract.BATCHES),
        (GLOBAL, ScriptContract.GLOBAL),
    ],
)
async def test_the_contract_is_told_by_the_text(
    platform: Platform, place: Place, source: DataSource, body: str, contract: ScriptContract
) -> None:
    pk = await put(platform, place, source, body=body)

    assert (await Script.get(id=pk)).contract is contract


async def test_the_same_key_replaces_the_text_and_keeps_the_script(
    platform: Platform, place: Place, source: DataSource
) -> None:
    first = await put(platform, place, source)
    before = await Script.get(id=first)
    colleague = await place.member(Role.WRITE)

    again = await scripts.upload(
        platform, colleague.acting(Role.WRITE), id_of(source), "a.py", body=GLOBAL
    )

    after = await Script.get(id=first)
    assert again == first
    assert await Script.all().count() == 1
    assert (after.body, after.contract) == (GLOBAL, ScriptContract.GLOBAL)
    assert after.sha256 == hashlib.sha256(GLOBAL.encode()).hexdigest()
    assert after.creator_id == place.viewer.user_id  # type: ignore[attr-defined]
    assert (after.created_at, after.updated_at > before.updated_at) == (before.created_at, True)


async def test_the_same_text_again_changes_nothing(
    platform: Platform, place: Place, source: DataSource
) -> None:
    pk = await put(platform, place, source)
    before = await Script.get(id=pk).values()

    assert await put(platform, place, source) == pk
    assert await Script.get(id=pk).values() == before


async def test_two_sources_have_scripts_of_the_same_key(
    platform: Platform, place: Place, source: DataSource
) -> None:
    other = await factories.make_source(place.project, place.dataset)

    assert await put(platform, place, source) != await put(platform, place, other)


async def test_many_uploads_of_one_key_at_once_make_one_script(
    platform: Platform, place: Place, source: DataSource
) -> None:
    bodies = [f"x = {number}\n{GLOBAL}" for number in range(8)]

    made = await asyncio.gather(*(put(platform, place, source, body=body) for body in bodies))

    assert len(set(made)) == 1
    (row,) = await Script.all()
    assert row.body in bodies
    assert row.sha256 == hashlib.sha256(row.body.encode()).hexdigest()


async def test_a_file_is_read_as_utf_8_with_or_without_its_mark(
    platform: Platform, place: Place, source: DataSource
) -> None:
    text = "# ü\n" + SAME
    content = "\ufeff".encode() + text.encode()

    pk = await scripts.upload(
        platform,
        place.viewer,
        id_of(source),
        "a.py",
        chunks=pieces(content[:4], content[4:]),
    )

    assert (await Script.get(id=pk)).body == text


async def test_one_of_text_and_file_is_needed(
    platform: Platform, place: Place, source: DataSource
) -> None:
    async with refused(InvalidInput, "input"):
        await scripts.upload(platform, place.viewer, id_of(source), "a.py")
    async with refused(InvalidInput, "input"):
        await scripts.upload(
            platform, place.viewer, id_of(source), "a.py", body=SAME, chunks=pieces(b"df")
        )


async def test_a_file_that_is_not_utf_8_is_refused(
    platform: Platform, place: Place, source: DataSource
) -> None:
    async with refused(InvalidInput, "input.file") as caught:
        await scripts.upload(
            platform, place.viewer, id_of(source), "a.py", chunks=pieces(b"df # \xe9\n")
        )

    assert "byte 5" in caught.value.message


@pytest.mark.parametrize("sign", ["x", "é"])
async def test_a_huge_text_is_refused_and_the_largest_is_not(
    platform: Platform, place: Place, source: DataSource, sign: str
) -> None:
    width = len(sign.encode())
    room = (scripts.BODY_BYTES_MAX - len(GLOBAL) - 1) // width
    largest = GLOBAL + "#" + sign * room

    async with refused(PayloadTooLarge, "input.body"):
        await put(platform, place, source, body=largest + sign)
    async with refused(PayloadTooLarge, "input.file"):
        endless = (b"#" * 65_536 for _ in range(1_000))
        await scripts.upload(platform, place.viewer, id_of(source), "a.py", chunks=pieces(*endless))
    assert (await Script.get(id=await put(platform, place, source, body=largest))).body == largest


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("df = 1\ndf = df +\n", "Line 2:"),
        ("async def run(df):\n    return df\n", "Line 1:"),
        ("\n\ndef run():\n    return 1\n", "Line 3:"),
    ],
)
async def test_what_is_wrong_is_said_with_its_line(
    platform: Platform, place: Place, source: DataSource, body: str, said: str
) -> None:
    async with refused(InvalidInput, "input.body") as caught:
        await put(platform, place, source, body=body)

    assert caught.value.message.startswith(said)


@pytest.mark.parametrize("body", ["", "x = 1\n", "df\x00", "df = '\ud800'"])
async def test_what_is_no_script_is_refused(
    platform: Platform, place: Place, source: DataSource, body: str
) -> None:
    async with refused(InvalidInput, "input.body"):
        await put(platform, place, source, body=body)


@pytest.mark.parametrize(
    "body",
    [
        "df = " + "(" * 100_000 + ")" * 100_000,
        "df = " + "-" * 200_000 + "1",
        "df = " + "+".join(["1"] * 300_000),
        "df" + ".a" * 300_000,
    ],
    ids=["parentheses", "signs", "sums", "attributes"],
)
async def test_a_text_made_to_break_a_parser_breaks_nothing(
    platform: Platform, place: Place, source: DataSource, body: str
) -> None:
    """Whether such a text is one: somebody answers, and the next upload goes well."""
    field: str | None = "input.body"
    try:
        await put(platform, place, source, "deep.py", body)
    except InvalidInput as error:
        field = error.field

    assert field == "input.body"
    assert await put(platform, place, source) > 0


async def test_nothing_of_a_text_is_run(
    platform: Platform, place: Place, source: DataSource, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    touch = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    body = f"{touch}\n@({touch} or (lambda f: f))\ndef run(df, context={touch}):\n    return df\n"

    await put(platform, place, source, body=body)

    assert not marker.exists()


@pytest.fixture
def no_landlock() -> Iterator[None]:
    """Children of a kernel that knows no Landlock."""
    process.start(["tests.workers.without_landlock"])
    yield
    process.start([])


@pytest.mark.usefixtures("no_landlock")
async def test_a_text_is_not_even_parsed_where_that_cannot_be_isolated(
    platform: Platform, place: Place, source: DataSource
) -> None:
    async with refused(SandboxUnavailable):
        await put(platform, place, source)
    assert await scripts.install_predefined(platform) == 0


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("a.py", "a.py"),
        ("  a.py ", "a.py"),
        ("clean/columns of text/trim.py", "clean/columns of text/trim.py"),
        ("Größe.py", "Größe.py"),
        ("Gro\u0308\u00dfe.py", "Größe.py"),
        (".hidden", ".hidden"),
        ("a..b", "a..b"),
        ("x" * 300, "x" * 300),
    ],
)
async def test_keys_are_paths(
    platform: Platform, place: Place, source: DataSource, key: str, kept: str
) -> None:
    pk = await put(platform, place, source, key)

    assert (await Script.get(id=pk)).key == kept


@pytest.mark.parametrize(
    "key",
    [
        "",
        "   ",
        "/",
        "/etc/passwd",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "a/.",
        "a\\..\\b",
        "a /b",
        "a/ b",
        "a\nb",
        "a\x00b",
        "a\x7fb",
        "a\u202eyp.b",
        "a\u200bb",
        "a\u2028b",
        "a\ud800b",
        "x" * 301,
        "local:trim",
        "local:",
        "LOCAL:trim",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff1atrim",
        " local:trim",
    ],
)
async def test_keys_that_play_tricks_are_refused(
    platform: Platform, place: Place, source: DataSource, key: str
) -> None:
    async with refused(InvalidInput, "input.key"):
        await put(platform, place, source, key)


async def test_scripts_are_brought_to_ones_own_sources(
    platform: Platform, place: Place, source: DataSource
) -> None:
    other = await make_place()
    reader = (await place.member(Role.EXECUTE)).acting(Role.WRITE)

    async with refused(NotFound, "input.dataSourceId"):
        await put(platform, other, source)
    async with refused(Forbidden, "input.dataSourceId"):
        await scripts.upload(platform, reader, id_of(source), "a.py", body=SAME)


async def test_a_source_that_goes_meanwhile_gets_no_script(
    platform: Platform, place: Place, source: DataSource
) -> None:
    async def slow_file() -> AsyncIterator[bytes]:
        yield SAME.encode()
        await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))

    with pytest.raises(NotFound):
        await scripts.upload(platform, place.viewer, id_of(source), "a.py", chunks=slow_file())

    assert await Script.all().count() == 0


async def test_a_source_has_so_many_scripts_and_no_more(
    platform: Platform, place: Place, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "SCRIPTS_MAX", 2)
    for key in ("a.py", "b.py"):
        await put(platform, place, source, key)

    async with refused(Conflict, "input.key"):
        await put(platform, place, source, "c.py")
    assert await put(platform, place, source, "b.py", GLOBAL) > 0


async def test_uploads_are_counted_by_the_minute(
    platform: Platform, place: Place, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "SCRIPTS_PER_MINUTE_MAX", 2)
    for key in ("a.py", "b.py"):
        await put(platform, place, source, key)

    async with refused(RateLimited):
        await put(platform, place, source, "c.py")


async def test_a_deleted_script_is_gone_and_its_steps_stay(
    platform: Platform, place: Place, source: DataSource
) -> None:
    pk = await put(platform, place, source)
    job = await factories.make_script_job(source)
    await JobStep.filter(job_id=job.id).update(script_id=pk)
    public = public_id("script", pk)

    assert await scripts.delete(place.viewer, public) == pk

    assert await Script.all().count() == 0
    (step,) = await JobStep.filter(job_id=job.id)
    assert (step.script_id, step.body) == (None, SAME)  # type: ignore[attr-defined]
    async with refused(NotFound, "input.id"):
        await scripts.delete(place.viewer, public)


async def test_only_who_may_write_deletes(
    platform: Platform, place: Place, source: DataSource
) -> None:
    public = public_id("script", await put(platform, place, source))
    other = await make_place()
    executor = (await place.member(Role.EXECUTE)).acting(Role.WRITE)

    async with refused(NotFound, "input.id"):
        await scripts.delete(other.viewer, public)
    async with refused(Forbidden, "input.id"):
        await scripts.delete(executor, public)


async def test_a_predefined_script_is_nobodys_to_delete(platform: Platform) -> None:
    script = await factories.make_predefined()
    staff = await factories.make_viewer(
        role=None, user=await factories.make_user(is_staff=True), needs=Role.WRITE
    )

    for viewer in (staff, (await make_place()).viewer):
        async with refused(Forbidden, "input.id") as caught:
            await scripts.delete(viewer, public_id("script", script.id))
        assert "ships" in caught.value.message
