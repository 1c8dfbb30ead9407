"""The document's own examples, as they stand: its Python is run, its cURL commands are sent.

Only what is a parameter is replaced: where the server is, the token, the places of the sources, and ids.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.places import Place
from tests.gateway.prometheux.conftest import Database
from tests.http_server import HttpServer

EXAMPLES = Path(__file__).parents[1] / "dialects/prometheux/examples.txt"
USER = "prometheux-examples"
_BLOCK = re.compile(
    r"^## (?P<title>[^\n]+)$|^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_CURL = re.compile(r"""curl -X (?P<method>\w+) "(?P<url>[^"]+)"(?P<rest>.*)""", re.DOTALL)


def blocks(kind: str) -> dict[str, str]:
    """The blocks of a kind by the titles of their sections."""
    found, title = {}, ""
    for match in _BLOCK.finditer(EXAMPLES.read_text(encoding="utf-8")):
        title = match["title"] or title
        if match["kind"] == kind:
            found[title] = match["text"]
    return found


def filled(text: str, database: Database, api: HttpServer, ids: list[str]) -> str:
    """An example with places and ids that there are."""
    replaced = {
        '"host": "db.example.com"': f'"host": "{database.host}"',
        '"port": 5432': f'"port": {database.port}',
        '"database": "customers"': f'"database": "{database.name}"',
        '"username": "user"': f'"username": "{database.username}"',
        "https://api.sales.com": f"{api.url}/all/sales",
    }
    replaced |= {
        f'"{name}"': f'"{id_}"'
        for name, id_ in zip(("source_123", "source_456"), ids, strict=False)
    }
    replaced |= {f"={name}&": f"={id_}&" for name, id_ in zip(("source_123",), ids, strict=False)}
    if (
        database.kind != "postgresql"
    ):  # which is what a database is that says no more; and it takes any password here
        replaced['"password": "password"'] = f'"type": "{database.kind}"'
    for theirs, ours in replaced.items():
        text = text.replace(theirs, ours)
    return text


def test_the_python_examples_run_as_they_stand(
    server: Place, database: Database, api: HttpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.enrol(USER)
    space: dict[str, Any] = {
        "base_url": f"{server.url}/jarvispy/my-org/my-user/api/v1",
        "token": server.tokens[USER],
    }
    ids: list[str] = []
    printed: dict[str, str] = {}
    order = ("Connect", "List", "Test", "Sync", "Get", "Cleanup")
    examples = blocks("python")
    for verb in order:
        (title,) = (each for each in examples if each.startswith(verb))
        exec(filled(examples[title], database, api, ids), space)
        printed[verb] = capsys.readouterr().out.strip()
        if verb == "Connect":
            ids = [each["id"] for each in space["result"]["data"]["connected_sources"]]

    assert printed["Connect"] == "Connected 2 data sources"
    assert printed["List"].splitlines() == [
        "Data source: customer_db (Type: database)",
        "Data source: sales_api (Type: api)",
    ]
    assert printed["Test"] == "Connection test successful!"
    assert printed["Sync"] == "Synced 5 records"
    assert "Table: customers\n  - id (integer)\n  - name (text)" in printed["Get"]
    assert printed["Cleanup"] == "Removed 0 data sources"  # both are named the first time
    assert (
        space["list_data_sources"](space["base_url"], space["token"], "workspace_id")["data"] == []
    )


def test_the_curl_examples_are_answered(server: Place, database: Database, api: HttpServer) -> None:
    server.enrol(USER)
    rest = server.rest(USER)
    ids: list[str] = []
    examples = blocks("bash")
    answers: dict[str, Any] = {}
    for verb in ("Test", "Connect", "Connect", "List", "Sync", "Get", "Cleanup"):
        (title,) = (each for each in examples if each.startswith(verb))
        match = _CURL.search(filled(examples[title], database, api, ids))
        assert match, title
        path = match["url"].removeprefix("https://platform.prometheux.ai")
        data = re.search(r"-d '(.*)'", match["rest"], re.DOTALL)
        body = {"json": json.loads(data[1])} if data else {}
        response = rest.request(match["method"], path, **body)
        assert (response.status_code, response.json()["status"]) == (200, "success"), response.text
        answers[verb] = response.json()
        if verb == "Connect":
            ids.append(answers[verb]["data"]["connected_sources"][0]["id"])

    assert answers["Connect"]["data"]["sources"][0]["metadata"] == {
        "description": "Customer database connection"
    }
    assert [row["id"] for row in answers["List"]["data"]] == ids
    assert answers["Sync"]["data"]["records_processed"] == 2 * 5
    assert answers["Cleanup"]["data"] == {"deleted_count": 2}
