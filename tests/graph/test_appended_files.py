"""A file that is uploaded again and again, of which the new rows are wanted."""

from __future__ import annotations

import pytest

from tests.graph.asking import Asker
from tests.graph.test_replays import changed, connected
from tests.graph.working import children, work
from tests.services.places import Place, put_upload

__all__ = ["children"]

SEEN = """query ($id: ID!) { dataSource(id: $id) { status error { message }
    snapshot { receipt { rowsRead inserted } }
    table { columns { name type } rows { rows } } } }"""


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("TIMESTAMP", ["2026-01-02 10:00:00", "2026-01-02 11:30:00", "2026-01-02 10:00:00"]),
        ("TIMESTAMP", ["2026-01-02 10:00", "2026-01-02 11:30"]),
        ("TIMESTAMP_TZ", ["2026-01-02 10:00:00Z", "2026-01-02 11:00:00Z"]),
        ("BOOLEAN", ["TRUE", "FALSE", "TRUE"]),
        ("INTEGER", ["8", "-9", "10"]),
        ("DECIMAL", ["1.50", "-2.25"]),
        ("DATE", ["2026-01-02", "2026-01-03"]),
    ],
)
async def test_rows_stay_single_when_an_odd_value_makes_their_column_a_text(
    asker: Asker, place: Place, kind: str, cells: list[str]
) -> None:
    lines = [f"{number},{cell}" for number, cell in enumerate(cells)]

    def file() -> bytes:
        return "\n".join(["id,seen", *lines, ""]).encode()

    async def seen() -> tuple[str, list[str], tuple[int, int]]:
        await work(asker.platform)
        source = (await asker.data(SEEN, id=source_id))["dataSource"]
        assert (source["status"], source["error"]) == ("SYNCED", None)
        table, receipt = source["table"], source["snapshot"]["receipt"]
        shown = [row[1] for row in table["rows"]["rows"]]
        return table["columns"][1]["type"], shown, (receipt["rowsRead"], receipt["inserted"])

    source_id = await connected(asker, place, file=file(), mode="APPEND")
    count = len(cells)
    found, before, books = await seen()
    assert (found, len(before), books) == (kind, count, (count, count))

    for number, odd in enumerate(["soon", "later"], start=1):
        lines.append(f"{len(lines)},{odd}")
        upload = await put_upload(asker.platform, place.project, "codes.csv", file())
        await changed(asker, source_id, connection={"file": {"objectKey": upload.object_key}})

        found, after, books = await seen()

        assert (found, len(after), after[-1]) == ("TEXT", count + number, odd)
        assert books == (count + number, 1)
