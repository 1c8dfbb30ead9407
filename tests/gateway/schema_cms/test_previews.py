"""The preview file holds what pandas says of the same CSV file."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pandas as pd
import pytest

from gateway.schema_cms.previews import preview
from tests.gateway.places import Place, one_server
from tests.gateway.schema_cms.clients import SOURCES, connected, draft

DESCRIBED = ("count", "unique", "top", "freq", "mean", "std", "min", "50%", "max")
HEAD = "id,name,score,is_open,day,nothing,code,half,other name\n"
ROWS = [
    f"{at},{name},{score},{is_open},2026-01-{1 + at % 3:02},,k{at:02},{half},{'x;y' if at % 2 else 'é'}\n"
    for at, (name, score, is_open, half) in enumerate(
        [
            ("Bob", "1.25", "true", "1"),
            ("Ann", "-2.5", "false", ""),
            ("Ann", "", "true", "3"),
            ("", "1000.5", "true", "4"),
            ("Bob", "0.1", "false", "-5"),
            ("Zoë", "0.2", "true", ""),
            ("Cid", "0.3", "true", "7"),
            ("Ann", "0.4", "false", "8"),
            ("Bob", "0.5", "true", "9"),
            ("Eve", "0.6", "true", "9"),
            ("Eve", "0.7", "false", "9"),
            ("Dan", "0.8", "true", "12"),
        ]
    )
]
FILES = {
    "many rows": HEAD + "".join(ROWS),
    "one row": HEAD + ROWS[0],
    "no row": HEAD,
    "another delimiter": "a;b\n1;x\n2;y\n2;y\n",
}


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, int | float):
        return found == pytest.approx(wanted, rel=1e-9)
    return bool(found == wanted)


@one_server
@pytest.mark.parametrize("csv", FILES.values(), ids=FILES)
def test_a_preview_is_what_pandas_describes(alice: httpx.Client, server: Place, csv: str) -> None:
    frame = pd.read_csv(io.StringIO(csv), sep=None, engine="python")
    described = json.loads(
        frame.describe(include="all", percentiles=[0.5]).to_json(double_precision=15)
    )

    found = alice.get(connected(alice, server.project(), csv)["meta_data"]["preview"]).json()

    assert found["data"] == json.loads(frame.head(5).to_json(orient="records"))
    assert list(found["fields"]) == list(frame.columns)
    differences = [
        (column, name, field[name], described[column].get(name))
        for column, field in found["fields"].items()
        for name in DESCRIBED
        if not _same(field[name], described[column].get(name))
    ]
    assert differences == []
    for column, field in found["fields"].items():
        kind = str(frame[column].dtype)
        assert field["dtype"] == ("string" if kind in {"object", "str"} else kind)
        assert field["number_of_nans"] == frame[column].isna().sum()
        assert field["unique_values"] == frame[column].nunique()
        values = frame[column].dropna().tolist()
        assert field["sample"] in values or (field["sample"], values) == (None, [])


def test_a_preview_of_a_data_source_tells_its_name(alice: httpx.Client, scores: int) -> None:
    made = alice.get(f"{SOURCES}/{scores}").json()

    file = alice.get(made["meta_data"]["preview"]).json()
    named = alice.get(f"{SOURCES}/{made['id']}/preview").json()

    assert named == {**file, "data_source": {"name": "Scores"}}


def test_a_draft_has_no_preview_and_cannot_be_processed(alice: httpx.Client, server: Place) -> None:
    pk = draft(alice, server.project())

    shown = alice.get(f"{SOURCES}/{pk}/preview")
    processed = alice.post(f"{SOURCES}/{pk}/process")
    file = alice.get(f"{SOURCES}/{pk}/file")

    assert (shown.status_code, shown.json()) == (404, {"detail": "Not found."})
    assert (processed.status_code, processed.content) == (422, b"")
    assert file.status_code == httpx.codes.CONFLICT
    assert "has no file yet" in file.json()["detail"]


def test_numbers_that_json_has_not_are_null() -> None:
    profile = {
        "column": "n",
        "count": 3,
        "nulls": 0,
        "distinct": 3,
        "min": "-Infinity",
        "max": "12.50",
        "mean": 12.5,
        "stddev": None,
        "median": 12.5,
        "top": [],
    }
    rows = {
        "columns": [{"name": "n", "type": "DECIMAL"}],
        "rows": [["12.50"], ["NaN"], ["-Infinity"]],
    }

    made = preview({"rowCount": 3, "rows": rows, "profile": [profile]})

    assert made["data"] == [{"n": 12.5}, {"n": None}, {"n": None}]
    assert (made["fields"]["n"]["min"], made["fields"]["n"]["max"]) == (None, 12.5)
