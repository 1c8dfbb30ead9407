"""Secrets that would be recognised anywhere are sent every way there is; then everything written is searched for them."""

import base64
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest

from base.tracing import JsonLines
from models import Role, User
from models.database import Database
from services import rates
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.services.places import MODELS, Place, make_place

PASSWORD = "cänary pass/word-0123456789"  # quoting, percent-encoding and escapes all change it
URL_PASSWORD = "canary-in-url-0123456789"
CONNECT = """mutation ($input: ConnectDataSourcesInput!) { connectDataSources(input: $input) {
  dataSources { id name metadata connection { kind settings hasSecret } } jobs { id error { message } } } }"""
UPDATE = """mutation ($input: UpdateDataSourceInput!) { updateDataSource(input: $input) {
  dataSource { id connection { settings hasSecret } } } }"""
TEST = """mutation ($input: TestConnectionInput!) { testConnection(input: $input) {
  ok message serverVersion error { code message hint } } }"""
INTROSPECT = """mutation ($input: IntrospectDataSourceInput!) { introspectDataSource(input: $input) {
  dataSource { id } } }"""
TOKEN = """mutation ($input: CreateApiTokenInput!) { createApiToken(input: $input) {
  token { id name prefix } secret } }"""
TOKENS = "{ viewer { tokens { id name prefix } } }"
READ = """query ($id: ID!) { dataSource(id: $id) { id name metadata connection { kind settings hasSecret }
  jobs { nodes { error { message hint } logs { lines { message } } } } } }"""


class Everything:
    """What a test has got to see: answers, and what went into the log."""

    def __init__(self, asker: Asker, log: pytest.LogCaptureFixture) -> None:
        self._asker = asker
        self._log = log
        self.answers: list[str] = []

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = await self._asker.answer(query, **variables)
        self.answers.append(json.dumps(answer, ensure_ascii=False))
        return answer

    async def written(self, platform: Platform) -> str:
        """Every row, every object, every answer and every line of the log."""
        lines = JsonLines()
        texts = [*self.answers, *(lines.format(record) for record in self._log.records)]
        texts += [f"{record.args!r}" for record in self._log.records]
        for model in MODELS:
            texts += [str(row) for row in await model.all().values()]
        async for info in platform.store.list(""):
            chunks = [chunk async for chunk in platform.store.open(info.key)]
            texts += [info.key, b"".join(chunks).decode("utf-8", "replace")]
        return "\n".join(texts)


def forms(secret: str) -> set[str]:
    """How a secret may be written."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        secret.encode().hex(),
    }


@pytest.fixture
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rates.forget()


def connection(**values: Any) -> dict[str, Any]:
    settings = {"engine": "MYSQL", "host": "127.0.0.1", "port": 3306, "username": "nobody-here"}
    return {"database": settings | {"database": "test", "password": PASSWORD} | values}


def by_url(url: str) -> dict[str, Any]:
    return {"database": {"engine": "POSTGRESQL", "url": url}}


def api(base_url: str = "http://127.0.0.1:9", **values: Any) -> dict[str, Any]:
    headers = {"X-Tenant": URL_PASSWORD}
    auth = {"apiKey": {"name": "key", "value": URL_PASSWORD, "in": "QUERY"}}
    return {"api": {"baseUrl": base_url, "auth": auth, "headers": headers} | values}


def at_url(url: str, **values: Any) -> dict[str, Any]:
    return {"file": {"url": url} | values}


async def send_everywhere(see: Everything, place: Place) -> None:
    """Connections that work on paper and fail on the wire, and inputs that do not even parse."""
    project = place.project_id
    tested = await see.ask(TEST, input={"projectId": project, "connection": connection()})
    assert tested["data"]["testConnection"]["ok"] is False
    closed = by_url(f"postgresql://u:{URL_PASSWORD}@127.0.0.1:9/x")
    await see.ask(TEST, input={"projectId": project, "connection": closed})
    presigned = at_url(f"http://u:{URL_PASSWORD}@127.0.0.1:9/a.csv?sig={URL_PASSWORD}")
    for each in (api(), presigned):
        await see.ask(TEST, input={"projectId": project, "connection": each})
    sources = [
        {"name": "one", "connection": connection()},
        {"name": "two", "connection": closed},
        {"name": "three", "connection": api()},
        {"name": "four", "connection": presigned},
    ]
    made = await see.ask(
        CONNECT, input={"projectId": project, "sources": sources, "idempotencyKey": "key"}
    )
    ids = [each["id"] for each in made["data"]["connectDataSources"]["dataSources"]]
    assert len(ids) == 4
    for source_id in ids:
        await see.ask(READ, id=source_id)
        refused = await see.ask(INTROSPECT, input={"id": source_id})
        assert refused["errors"][0]["extensions"]["code"] == "CONNECTION_FAILED"
    await see.ask(UPDATE, input={"id": ids[0], "connection": connection(host="127.0.0.2")})
    for bad in (
        connection(port="not a number"),
        connection(port=99_999),
        connection(passwort=PASSWORD),
        connection(engine=PASSWORD),
        connection(options=PASSWORD),
        connection(options={PASSWORD[:8]: PASSWORD}),
        connection() | {"file": {"objectKey": PASSWORD}},
        {"database": PASSWORD},
        by_url(f"postgresql://u:{URL_PASSWORD}@[broken/x"),
        by_url(f"postgresql://u:{URL_PASSWORD}127.0.0.1/x"),
        by_url(f"mysql://u:{URL_PASSWORD}@127.0.0.1/x"),
        by_url(f"postgresql://u:{URL_PASSWORD}@127.0.0.1/x?odd={URL_PASSWORD}"),
        api(f"http://u:{URL_PASSWORD}@127.0.0.1/"),
        api(f"http://127.0.0.1/?key={URL_PASSWORD}"),
        api(auth={"bearer": f"{URL_PASSWORD}\n"}),
        api(headers={"Host": URL_PASSWORD}),
        api(headers=URL_PASSWORD),
        api(resources=[{"name": "a", "path": "/", "params": {"token": URL_PASSWORD}}]),
        at_url(f"ftp://u:{URL_PASSWORD}@127.0.0.1/a.csv"),
        at_url(f"http://u:{URL_PASSWORD}@127.0.0.1:x/a.csv"),
        at_url(f"http://127.0.0.1/a.csv?{URL_PASSWORD}", objectKey="x"),
        at_url(f"http://127.0.0.1/shop.db?{URL_PASSWORD}"),
    ):
        source = {"name": "bad", "connection": bad}
        answer = await see.ask(CONNECT, input={"projectId": project, "sources": [source]})
        assert "errors" in answer, bad
    literal = CONNECT.split("(", 1)[0] + (
        f'{{ connectDataSources(input: {{ sources: [{{ connection: {{ database: {{ password: "{PASSWORD}" }} }} }}] }})'
        " { jobs { id } } }"
    )
    assert "errors" in await see.ask(literal)
    assert "errors" in await see.ask(literal[:-1])


@pytest.mark.usefixtures("_log_everything", "mariadb_url")
async def test_no_secret_of_a_connection_is_ever_written(
    platform: Platform, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    place = await make_place()
    see = Everything(Asker(platform, place.viewer), caplog)

    await send_everywhere(see, place)

    written = await see.written(platform)
    assert "127.0.0.1" in written
    found = [
        form for secret in (PASSWORD, URL_PASSWORD) for form in forms(secret) if form in written
    ]
    assert found == []
    secrets = await database.connection.execute_query_dict("SELECT secrets FROM data_sources")
    assert [row["secrets"][:3] for row in secrets] == ["v1:"] * 4


@pytest.mark.usefixtures("_log_everything")
async def test_a_token_s_secret_is_shown_once_and_written_nowhere(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    user = await factories.make_user()
    viewer = await factories.make_viewer(role=Role.ADMIN, user=await User.get(id=user.id))
    see = Everything(Asker(platform, viewer), caplog)

    made = await see.ask(TOKEN, input={"name": "robot", "role": "ADMIN"})
    secret = made["data"]["createApiToken"]["secret"]
    see.answers.clear()
    listed = await see.ask(TOKENS)

    assert [each["name"] for each in listed["data"]["viewer"]["tokens"]] == ["robot"]
    written = await see.written(platform)
    assert [form for form in forms(secret) if form in written] == []
    assert secret[:9] in written
