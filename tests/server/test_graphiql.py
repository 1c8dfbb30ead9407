"""GraphiQL in a real browser on a real server: the printed link, the main job, and no request to anywhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from graphql import parse, print_ast, separate_operations, validate
from playwright.sync_api import Browser, Page, Response, sync_playwright

from gateway import DIALECTS
from graph import schema
from tests.clients import Client, ServerProcess

TABS = 16  # the examples
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RUN = ".graphiql-execute-button"
ANSWER = ".result-window"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        reason = f"there is no {CHROMIUM}: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("graphiql") / "data") as process:
        yield process.wait_until_ready()


def _is_answer(response: Response) -> bool:
    body = response.request.post_data or ""
    return response.url.endswith("/graphql") and "query" in body and "Introspection" not in body


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    session = server.client()
    with session.http:
        yield session


class Visit:
    """A page of its own browser profile, and every request that it makes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.problems: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on(
            "console",
            lambda said: self.problems.append(said.text) if said.type == "error" else None,
        )

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector(RUN)

    def choose(self, tab: str) -> None:
        self.page.click(f'.graphiql-tab >> text="{tab}"')
        # A moment later GraphiQL knows the operation's name; until then it would run the one before.
        known = "name => localStorage['graphiql:operationName'] === name"
        self.page.wait_for_function(known, arg=tab)

    def set_variables(self, **variables: Any) -> None:
        self.page.evaluate(
            "text => document.querySelector('[aria-label=\"Variables\"] .CodeMirror').CodeMirror.setValue(text)",
            json.dumps(variables),
        )

    def run(self) -> dict[str, Any]:
        """Press the button; the answer."""
        with self.page.expect_response(_is_answer) as response:
            self.page.click(RUN)
        answer: dict[str, Any] = response.value.json()
        return answer

    def sees(self, text: str) -> None:
        self.page.wait_for_selector(f"{ANSWER} >> text={text}")

    @property
    def hosts(self) -> set[str | None]:
        return {urlsplit(url).hostname for url in self.requests if not url.startswith("data:")}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    yield Visit(context.new_page())
    context.close()


@pytest.mark.e2e
def test_the_printed_link_opens_a_page_that_works(server: ServerProcess, visit: Visit) -> None:
    visit.open(server.link)

    assert "token" not in visit.page.url
    assert visit.page.locator(".graphiql-tab").count() == TABS
    answer = visit.run()
    project = answer["data"]["createProject"]["project"]
    visit.sees("My first project")
    visit.choose("Overview")
    visit.run()
    visit.sees(project["id"])
    visit.page.click("[aria-label='Show Documentation Explorer']")
    visit.page.wait_for_selector("text=Root Types")
    visit.page.click("[aria-label='Show GraphiQL Explorer']")
    visit.page.wait_for_selector("text=serverInfo")
    assert visit.hosts == {"127.0.0.1"}
    assert visit.problems == []


@pytest.mark.e2e
def test_the_token_outlives_a_reload_and_tabs_do_not_multiply(
    server: ServerProcess, visit: Visit
) -> None:
    visit.open(server.link)
    visit.page.wait_for_timeout(1_000)  # GraphiQL keeps its tabs half a second later

    visit.page.reload()
    visit.page.wait_for_selector(RUN)

    assert visit.page.locator(".graphiql-tab").count() == TABS
    assert "errors" not in visit.run()
    token = server.link.partition("#token=")[2]
    kept = visit.page.evaluate("JSON.stringify(Object.values(window.localStorage))")
    assert token not in kept


@pytest.mark.e2e
def test_without_a_token_the_page_says_what_is_missing(server: ServerProcess, visit: Visit) -> None:
    visit.open(f"{server.url}/graphql")

    answer = visit.run()

    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert visit.page.locator("text=PASTE_YOUR_TOKEN_HERE").count() == 1


@pytest.mark.e2e
def test_every_example_is_valid(server: ServerProcess, visit: Visit) -> None:
    visit.open(server.link)
    core = schema.build()._schema
    examples: list[dict[str, str]] = visit.page.evaluate("headwaterExamples")

    for example in examples:
        document = parse(example["query"])
        assert validate(core, document) == [], example["query"]
        names = set(json.loads(example.get("variables", "{}")))
        declared = {
            variable.variable.name.value
            for definition in document.definitions
            for variable in getattr(definition, "variable_definitions", None) or ()
        }
        assert names == declared, example["query"]


@pytest.mark.e2e
def test_the_main_job_ends_in_rows(
    server: ServerProcess, client: Client, visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,name\n" + "".join(f"{n},row {n}\n" for n in range(1, 201)))
    visit.open(server.link)
    project = visit.run()["data"]["createProject"]["project"]["id"]
    upload = client.upload(project, path)

    visit.choose("Connect")
    connection = {"file": {"objectKey": upload["objectKey"]}}
    visit.set_variables(
        input={"projectId": project, "sources": [{"name": "orders", "connection": connection}]}
    )
    connected = visit.run()["data"]["connectDataSources"]
    source = connected["dataSources"][0]["id"]
    job = connected["jobs"][0]["id"]
    visit.choose("Live")
    visit.set_variables(job=job)
    with visit.page.expect_websocket() as socket:
        visit.page.click(RUN)
    visit.sees("SUCCEEDED")
    assert urlsplit(socket.value.url).hostname == "127.0.0.1"
    assert client.wait_for_job(job)["status"] == "SUCCEEDED"
    visit.choose("Rows")
    visit.set_variables(
        source=source,
        where=[{"column": "id", "op": "GT", "value": 100}],
        orderBy=[{"column": "id", "direction": "DESC"}],
    )
    rows = visit.run()["data"]["dataSource"]["table"]["rows"]

    assert rows["rows"][0] == [200, "row 200"]
    assert rows["totalCount"] == 100
    visit.sees("row 200")
    visit.choose("Snapshots")
    visit.set_variables(source=source)
    receipt = visit.run()["data"]["dataSource"]["snapshots"]["nodes"][0]["receipt"]
    assert (receipt["rowsRead"], receipt["balanced"]) == (200, True)
    visit.choose("Presign")
    visit.set_variables(input={"id": source, "format": "ORIGINAL"})
    url = visit.run()["data"]["presignDataSource"]["url"]
    assert httpx.get(url, timeout=120, trust_env=False).content == path.read_bytes()
    assert visit.hosts == {"127.0.0.1"}


@pytest.mark.e2e
def test_the_examples_of_scripts_end_in_a_snapshot_and_a_schedule(
    server: ServerProcess, client: Client, visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,name\n" + "".join(f"{n},row {n}\n" for n in range(200, 0, -1)))
    visit.open(server.link)
    project = visit.run()["data"]["createProject"]["project"]["id"]
    upload = client.upload(project, path)
    connected = client.data(
        "mutation ($i: ConnectDataSourcesInput!) { connectDataSources(input: $i) { dataSources { id } jobs { id } } }",
        i={
            "projectId": project,
            "sources": [
                {"name": "orders", "connection": {"file": {"objectKey": upload["objectKey"]}}}
            ],
        },
    )
    source = connected["connectDataSources"]["dataSources"][0]["id"]
    synced = client.wait_for_job(connected["connectDataSources"]["jobs"][0]["id"])
    assert synced["status"] == "SUCCEEDED"

    def example(operation: str) -> Any:
        """What an operation of a tab answers, with the tab's own variables and the source's id in them."""
        tab: dict[str, str] = visit.page.evaluate(
            "name => headwaterExamples.find(each => each.query.includes(name))", f" {operation}("
        )
        document = parse(tab["query"])
        only = separate_operations(document)[operation]
        variables = json.loads(tab["variables"].replace("datasource-…", source))
        used = ("source",) if only.definitions[0].operation.value == "query" else ("input",)  # type: ignore[attr-defined]
        return client.data(print_ast(only), **{name: variables[name] for name in used})

    assert example("UploadScript")["uploadScript"]["script"]["contract"] == "DATAFRAME"
    assert [each["key"] for each in example("Scripts")["dataSource"]["scripts"]] == [
        "clean/large.py"
    ]
    job = example("RunScripts")["createJob"]["job"]["id"]
    assert client.wait_for_job(job)["status"] == "SUCCEEDED"
    visit.choose("Result")
    visit.set_variables(job=job)
    made = visit.run()["data"]["job"]
    rows = made["snapshot"]["tables"][0]["rows"]["rows"]
    assert (rows[0], len(rows)) == ([100, "row 100"], 20)
    assert "101 of 200 rows are large" in [line["message"] for line in made["logs"]["lines"]]
    visit.sees("SUCCEEDED")
    assert example("Schedule")["createSchedule"]["schedule"]["timeZone"] == "Europe/Berlin"
    (schedule,) = example("Schedules")["dataSource"]["schedules"]["nodes"]
    assert (schedule["name"], schedule["isEnabled"]) == ("Every night", True)


@pytest.mark.e2e
def test_the_documents_of_the_dialects_can_be_read_and_tried(
    server: ServerProcess, visit: Visit
) -> None:
    page, token = visit.page, server.link.partition("#token=")[2]
    page.goto(f"{server.url}/gateway/docs?urls.primaryName=Schema+CMS", wait_until="networkidle")
    page.click('[data-path="/api/v1/datasources"]')
    page.click("button.authorize")
    page.fill("#auth-bearer-value", token)
    page.click(".auth-btn-wrapper button.authorize")
    page.click(".btn-done")
    page.click("text=Try it out")
    page.click("button.execute")
    page.wait_for_selector(".live-responses-table .response-col_status >> text=200")

    assert page.locator("#select option").count() == len(DIALECTS)
    assert visit.hosts == {"127.0.0.1"}
    assert visit.problems == []
