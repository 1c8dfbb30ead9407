"""Web APIs as a source, against a real server: every way of paging, every way in which one goes wrong."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

import connectors
from base.errors import ConnectionFailed, PlatformError, TimedOut
from base.net import Guard, HostRefused
from base.tables import ColumnType
from connectors import web
from connectors.connector import Connection, Connector, Increment, ReadLimits, Selection
from connectors.errors import BadCredentials, ReadAgain, SourceUnreachable, TableMissing
from tests.connectors.peers import LOOPBACK, read_all
from tests.http_server import PAGE_ROWS, ROWS, TOKEN, HttpServer, record

ALL = [record(number) for number in range(ROWS)]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def run() -> str:
    return uuid4().hex


def connection(
    server: HttpServer,
    run: str,
    what: str,
    *,
    limits: ReadLimits | None = None,
    guard: Guard = LOOPBACK,
    auth: Any = None,
    headers: Any = None,
    **resource: Any,
) -> Connection:
    """One resource `items` at `/<what>/<run>`."""
    raw = {
        "base_url": server.url,
        "auth": auth,
        "headers": headers,
        "resources": [{"name": "items", "path": f"/{what}/{run}", **resource}],
    }
    settings, secrets = connectors.parse("rest", raw)
    return Connection("rest", settings, secrets, guard=guard, limits=limits or ReadLimits())


def opened(server: HttpServer, run: str, what: str, **values: Any) -> Connector:
    return connectors.open(connection(server, run, what, **values))


def rows(source: Connector, **selection: Any) -> list[dict[str, Any]]:
    """All rows of `items`, after as many reads as it asks for."""
    wanted = Selection("items", **selection)
    with closing(source):
        for _ in range(3):
            found: list[dict[str, Any]] = []
            try:
                for batch in source.read(wanted).batches:
                    found += batch.data.to_pylist()
            except ReadAgain:
                continue
            return found
    raise AssertionError("asked to be read again and again")


def number_of(found: list[dict[str, Any]]) -> list[int]:
    return [each["id"] for each in found]


def paging(kind: str, **values: Any) -> dict[str, Any]:
    return {"kind": kind, **values}


WAYS: dict[str, dict[str, Any]] = {
    "all": {},
    "page": {"pagination": paging("PAGE", size=PAGE_ROWS)},
    "page-or-404": {"pagination": paging("PAGE"), "records": "$.results[*]"},
    "offset": {"pagination": paging("OFFSET", size=1_000), "records": "$.result.items"},
    "cursor": {"pagination": paging("CURSOR", next="$.meta.next"), "records": "$['data']"},
    "last-id": {"pagination": paging("CURSOR", param="after", next="$.data[-1].id")},
    "next-url": {"pagination": paging("NEXT_URL"), "records": "$.data"},
    "link-header": {"pagination": paging("LINK_HEADER")},
}


@pytest.mark.parametrize("what", WAYS)
def test_every_way_of_paging_gives_every_record_once(
    http_server: HttpServer, run: str, what: str
) -> None:
    source = opened(http_server, run, what, auth={"bearer": TOKEN}, **WAYS[what])

    assert rows(source) == ALL

    requests = http_server.seen(run)
    assert {request["headers"]["authorization"] for request in requests} == {f"Bearer {TOKEN}"}
    assert len(requests) == {"all": 1, "page": 4, "page-or-404": 4, "offset": 4, "last-id": 4}.get(
        what, 3
    )


@pytest.mark.parametrize("what", WAYS)
def test_a_read_goes_on_behind_every_batch(http_server: HttpServer, run: str, what: str) -> None:
    limits = ReadLimits(batch_rows=4)
    source = opened(http_server, run, what, limits=limits, **WAYS[what])
    with closing(source):
        batches = list(source.read(Selection("items")).batches)
    assert [batch.data.num_rows for batch in batches][:3] == [4, 4, 4 if what == "all" else 2]

    seen = 0
    for batch in batches:
        seen += batch.data.num_rows
        again = opened(http_server, run, what, limits=limits, **WAYS[what])
        with closing(again):
            rest = again.read(Selection("items"), batch.position)
            found = [row for each in rest.batches for row in each.data.to_pylist()]
        assert (number_of(found), rest.table.columns) == (
            list(range(seen, ROWS)),
            source_columns(source),
        )


def source_columns(source: Connector) -> Any:
    with closing(source):
        return source.read(Selection("items")).table.columns


def test_pages_start_where_the_params_say(http_server: HttpServer, run: str) -> None:
    source = opened(http_server, run, "page", pagination=paging("PAGE"), params={"page": 2})

    assert number_of(rows(source)) == list(range(10, ROWS))


def test_a_server_that_gives_less_than_asked_for_is_read_to_its_end(
    http_server: HttpServer, run: str
) -> None:
    size = paging("PAGE", size=500, size_param="per_page")
    source = opened(
        http_server, run, "page", pagination=size, params={"kind": ["a", "b"], "odd": True}
    )

    assert number_of(rows(source)) == list(range(ROWS))
    assert http_server.seen(run)[0]["query"] == {
        "kind": "b",
        "odd": "true",
        "per_page": "500",
        "page": "1",
    }


def test_nested_values_stay_nested(http_server: HttpServer, run: str) -> None:
    with closing(
        opened(http_server, run, "all", primary_key=["id"], cursor_column="changed")
    ) as source:
        (listed,) = source.tables()
        table, data = read_all(source, "items")

    assert [(c.name, c.type) for c in table.columns] == [
        ("id", ColumnType.INTEGER),
        ("name", ColumnType.TEXT),
        ("price", ColumnType.FLOAT),
        ("changed", ColumnType.TEXT),
        ("owner", ColumnType.STRUCT),
        ("tags", ColumnType.LIST),
    ]
    assert (table.primary_key, table.cursor_column, table.row_estimate) == (
        ("id",),
        "changed",
        None,
    )
    assert [c.type for c in listed.columns] == [c.type for c in table.columns]
    assert (
        listed.columns[0].inference
        == "integer: all values are whole numbers (in the first 25 records)"
    )
    assert data.schema.field("owner").type == pa.struct(
        [("login", pa.string()), ("admin", pa.bool_())]
    )
    assert data.schema.field("tags").type == pa.list_(pa.string())


def test_a_later_page_widens_the_columns(
    http_server: HttpServer, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.rest.connector.SAMPLE_PAGES", 1)
    source = opened(http_server, run, "widening", pagination=paging("PAGE"))
    with closing(source):
        table, data = read_all(source, "items")

    assert [(c.name, c.type) for c in table.columns] == [
        ("id", ColumnType.INTEGER),
        ("code", ColumnType.JSON),
        ("new", ColumnType.INTEGER),
    ]
    assert data.column("code").to_pylist() == [
        "0",
        "1",
        "2",
        "0",
        "1",
        "2",
        "0",
        '"x7"',
        "2",
        "0",
        "1",
        "2",
    ]
    assert data.column("new").to_pylist() == [None] * 7 + [1] + [None] * 4


def test_the_first_pages_are_looked_at_before_the_columns_are_said(
    http_server: HttpServer, run: str
) -> None:
    with closing(opened(http_server, run, "widening", pagination=paging("PAGE"))) as source:
        reading = source.read(Selection("items"))
        assert reading.table.columns[1].type is ColumnType.JSON
        assert sum(batch.data.num_rows for batch in reading.batches) == 12
    assert len(http_server.seen(run)) == 5


def test_numbers_are_exact(http_server: HttpServer, run: str) -> None:
    found = rows(opened(http_server, run, "numbers"))

    assert found == [
        {
            "id": 1,
            "big": Decimal(18446744073709551616),
            "exact": 9007199254740993,
            "odd": '{"a":1}',
            "many": "12345678901234567.89",
        },
        {"id": 2, "big": Decimal(1), "exact": 1, "odd": "[2]", "many": "1.5"},
    ]


@pytest.mark.parametrize(
    ("what", "records", "expected"),
    [
        ("words", None, [{"value": "one"}, {"value": "two"}]),
        ("one", None, [{"id": 7, "name": "seven"}]),
        ("one", "$", [{"id": 7, "name": "seven"}]),
        ("groups", "$.groups[*].items", ALL[:3]),
        ("groups", "$.groups[*].items[*]", ALL[:3]),
        ("groups", "$..items[?@.id > 1]", ALL[2:3]),
        ("two-lists", "$.right", ALL[1:2]),
        ("by-id", "$.data[*]", ALL[:3]),
        ("by-id", "$.data.*", ALL[:3]),
        ("nothing", None, []),
        ("no-content", None, []),
        ("latin", None, [{"name": "Bodø"}]),
        ("zipped", None, ALL[:1]),
    ],
)
def test_where_records_are(
    http_server: HttpServer, run: str, what: str, records: str | None, expected: list[Any]
) -> None:
    assert rows(opened(http_server, run, what, records=records)) == expected


@pytest.mark.parametrize(
    ("what", "values", "words"),
    [
        ("two-lists", {}, "several lists: left, right"),
        ("two-lists", {"records": "$.middle"}, r"no list at \$\.middle; it has left, right"),
        ("one", {"records": "$.id"}, r"no list at \$\.id"),
        ("html", {}, "a web page or XML, not with JSON"),
        ("truncated", {}, "broken JSON|Broken JSON"),
        ("not-utf8", {}, "is not UTF-8"),
        ("surrogate", {}, "resource 'items': A text holds half of a surrogate pair"),
        ("missing", {}, "404 Not Found"),
        (
            "next-elsewhere",
            {"pagination": paging("NEXT_URL")},
            r"page at http://127\.0\.0\.2:\d+ as its next",
        ),
        ("cursor-loop", {"pagination": paging("CURSOR", next="$.next")}, "goes round in circles"),
        ("url-loop", {"pagination": paging("NEXT_URL")}, "goes round in circles"),
        ("same-page", {"pagination": paging("PAGE")}, "the same page whatever is asked for"),
        ("same-page", {"pagination": paging("OFFSET")}, "the same page whatever is asked for"),
        (
            "same-records",
            {"pagination": paging("PAGE"), "records": "$.data"},
            "the same page whatever is asked for",
        ),
        (
            "cursor",
            {"pagination": paging("CURSOR", next="$.data"), "records": "$.data"},
            "something else than a text",
        ),
    ],
)
def test_an_answer_that_makes_no_sense_is_named(
    http_server: HttpServer, run: str, what: str, values: Any, words: str
) -> None:
    with pytest.raises(ConnectionFailed, match=words) as caught:
        rows(opened(http_server, run, what, auth={"bearer": TOKEN}, **values))

    assert (caught.value.retryable, caught.value.code) == (False, "CONNECTION_FAILED")
    assert caught.value.hint
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("what", ["error-once", "reset-once", "truncated-once"])
def test_what_fails_once_is_asked_again(http_server: HttpServer, run: str, what: str) -> None:
    assert rows(opened(http_server, run, what)) == ALL[:3]
    assert len(http_server.seen(run)) == 2


def test_what_came_before_a_failure_is_kept(
    http_server: HttpServer, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.rest.connector.SAMPLE_PAGES", 1)
    values: dict[str, Any] = {"pagination": paging("PAGE")}
    first = opened(http_server, run, "page-then-error", **values)
    with closing(first):
        batches = first.read(Selection("items")).batches
        kept = [next(batches), next(batches)]
        with pytest.raises(SourceUnreachable, match="500") as caught:
            next(batches)
    assert caught.value.retryable is True

    with closing(opened(http_server, run, "page-then-error", **values)) as second:
        rest = second.read(Selection("items"), kept[-1].position)
        found = [row for each in rest.batches for row in each.data.to_pylist()]

    assert found == ALL[20:]


AUTHS: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "bearer": ({"bearer": TOKEN}, {"authorization": f"Bearer {TOKEN}"}, {}),
    "key": ({"api_key": {"value": TOKEN}}, {"x-api-key": TOKEN}, {}),
    "query": (
        {"api_key": {"name": "api_key", "value": TOKEN, "in": "query"}},
        {},
        {"api_key": TOKEN},
    ),
    "basic": (
        {"basic": {"username": "ada", "password": "pw"}},
        {"authorization": "Basic YWRhOnB3"},
        {},
    ),
}


@pytest.mark.parametrize("how", AUTHS)
def test_credentials_are_sent(http_server: HttpServer, run: str, how: str) -> None:
    auth, headers, query = AUTHS[how]

    assert (
        rows(opened(http_server, run, "locked", auth=auth, headers={"X-Tenant": "t1"})) == ALL[:3]
    )

    (request,) = http_server.seen(run)
    assert headers.items() <= request["headers"].items()
    assert (request["query"], request["headers"]["x-tenant"]) == (query, "t1")


def test_wrong_credentials(http_server: HttpServer, run: str) -> None:
    source = opened(http_server, run, "locked", auth={"bearer": "wrong-canary"})

    with closing(source), pytest.raises(BadCredentials, match="401 Unauthorized") as caught:
        source.check()

    assert caught.value.retryable is False
    assert "credentials" in str(caught.value.hint)
    assert "wrong-canary" not in f"{caught.value.message} {caught.value.hint}"


def test_a_position_holds_no_key(http_server: HttpServer, run: str) -> None:
    """The server writes the whole query into its next link."""
    key = {"api_key": {"name": "api_key", "value": TOKEN, "in": "query"}}
    with closing(
        opened(http_server, run, "next-url", auth=key, pagination=paging("NEXT_URL"))
    ) as source:
        positions = [batch.position for batch in source.read(Selection("items")).batches]

    assert len(positions) == 3
    assert TOKEN not in str(positions)
    assert [request["query"]["api_key"] for request in http_server.seen(run)] == [TOKEN] * 3


def test_what_changed_is_asked_for(http_server: HttpServer, run: str) -> None:
    source = opened(
        http_server,
        run,
        "page",
        pagination=paging("PAGE"),
        cursor_param="since",
        cursor_column="changed",
    )
    since = Increment("changed", "2026-01-20T00:00:00Z")
    with closing(source):
        reading = source.read(Selection("items", increment=since))
        found = [row for batch in reading.batches for row in batch.data.to_pylist()]

    assert (number_of(found), reading.is_since) == ([19, 20, 21, 22, 23, 24], False)
    queries = [request["query"] for request in http_server.seen(run)]
    assert queries[0] == {"page": "1"}  # for the columns
    assert {query.get("since") for query in queries[1:]} == {"2026-01-20T00:00:00Z"}


def test_nothing_changed(http_server: HttpServer, run: str) -> None:
    source = opened(
        http_server,
        run,
        "page",
        pagination=paging("PAGE"),
        cursor_param="since",
        cursor_column="changed",
    )
    with closing(source):
        reading = source.read(Selection("items", increment=Increment("changed", "2027")))
        assert [c.name for c in reading.table.columns] == list(ALL[0])
        assert list(reading.batches) == []


@pytest.mark.parametrize("column", ["id", "changed"])
def test_only_the_column_that_the_api_means_is_sent(
    http_server: HttpServer, run: str, column: str
) -> None:
    known = {"cursor_param": "since", "cursor_column": "changed"} if column == "id" else {}
    source = opened(http_server, run, "page", pagination=paging("PAGE"), **known)

    found = rows(source, increment=Increment(column, "24"))

    assert number_of(found) == list(range(ROWS))
    assert all("since" not in request["query"] for request in http_server.seen(run))


def test_columns_are_chosen(http_server: HttpServer, run: str) -> None:
    assert rows(opened(http_server, run, "cursor", **WAYS["cursor"]), columns=("tags", "id"))[
        1
    ] == {
        "tags": ["a", "t1"],
        "id": 1,
    }
    with pytest.raises(TableMissing, match="no column 'colour'"):
        rows(opened(http_server, run, "all"), columns=("colour",))
    with pytest.raises(TableMissing, match="no column 'key', which is in its primary key"):
        rows(opened(http_server, run, "all", primary_key=["key"]))
    with (
        closing(opened(http_server, run, "all")) as source,
        pytest.raises(TableMissing, match="no resource 'other'"),
    ):
        source.read(Selection("other"))


def test_a_check_reads_one_page(http_server: HttpServer, run: str) -> None:
    with closing(opened(http_server, run, "page", pagination=paging("PAGE"))) as source:
        assert source.check().message == "items: 10 records with 6 columns on the first page."
    assert len(http_server.seen(run)) == 1
    source.close()


def test_an_address_that_is_closed(http_server: HttpServer, run: str) -> None:
    with pytest.raises(HostRefused, match=r"127\.0\.0\.1 is not open") as caught:
        rows(opened(http_server, run, "all", guard=Guard(allow_networks=("10.0.0.0/8",))))
    assert caught.value.retryable is False
    assert http_server.seen(run) == []


@pytest.mark.parametrize("what", ["endless", "bomb"])
def test_a_page_has_a_limit(
    http_server: HttpServer, run: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.rest.connector.PAGE_BYTES_MAX", 1024**2)

    with pytest.raises(PlatformError, match="more than 1,048,576 bytes") as caught:
        rows(opened(http_server, run, what))

    assert caught.value.code == "PAYLOAD_TOO_LARGE"


def test_pages_and_bytes_have_limits(
    http_server: HttpServer, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.rest.paging.PAGES_MAX", 2)
    with pytest.raises(PlatformError, match="more than 2 pages"):
        rows(opened(http_server, run, "page", pagination=paging("PAGE")))
    monkeypatch.undo()
    monkeypatch.setattr("connectors.rest.connector.RESOURCE_BYTES_MAX", 3_000)
    with pytest.raises(PlatformError, match="more than 3,000 bytes"):
        rows(opened(http_server, run, "page", pagination=paging("PAGE")))


def test_a_server_that_drips(http_server: HttpServer, run: str) -> None:
    with pytest.raises(TimedOut, match="limit of 1 seconds"):
        rows(opened(http_server, run, "dripping", limits=ReadLimits(answer_seconds=1)))
