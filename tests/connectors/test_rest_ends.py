"""Where the pages of an API end that never says so: at the last page again, at cursor 0; or in an error that says what to set."""

from __future__ import annotations

from contextlib import closing

import pytest

from base.errors import ConnectionFailed
from connectors.connector import ReadLimits, Selection
from tests.connectors.test_rest import ALL, opened, paging, rows, run
from tests.http_server import HttpServer

__all__ = ["run"]


@pytest.mark.parametrize("kind", ["PAGE", "OFFSET"])
def test_a_last_page_that_comes_again_ends_a_read(
    http_server: HttpServer, run: str, kind: str
) -> None:
    """It has fewer records than others: there are none behind it."""
    values = {"pagination": paging(kind), "records": "$.data"}

    assert rows(opened(http_server, run, "clamped", **values)) == ALL

    asked = {"PAGE": ["1", "2", "3", "4"], "OFFSET": ["0", "10", "20", "25"]}[kind]
    assert [request["query"][kind.lower()] for request in http_server.seen(run)] == asked


@pytest.mark.parametrize("kind", ["PAGE", "OFFSET"])
def test_a_full_page_that_comes_again_may_have_more_behind_it(
    http_server: HttpServer, run: str, kind: str
) -> None:
    values = {"pagination": paging(kind, size=5, size_param="per_page"), "records": "$.data"}

    with pytest.raises(ConnectionFailed, match="cannot be told") as caught:
        rows(opened(http_server, run, "clamped", **values))
    assert caught.value.hint is not None
    assert "another size" in caught.value.hint


def test_a_first_page_that_comes_again_may_be_one_of_many(
    http_server: HttpServer, run: str
) -> None:
    values = {"pagination": paging("PAGE", size=50), "records": "$.data"}

    with pytest.raises(ConnectionFailed, match="the same page whatever is asked for") as caught:
        rows(opened(http_server, run, "clamped", **values))
    assert caught.value.hint is not None
    assert "take the kind NONE" in caught.value.hint


@pytest.mark.parametrize("place", range(1, 6))
def test_a_read_that_goes_on_doubles_no_last_page(
    http_server: HttpServer, run: str, place: int
) -> None:
    """Where too little was seen since to tell, it is refused."""
    values = {"pagination": paging("PAGE"), "records": "$.data"}
    limits = ReadLimits(batch_rows=6)
    with closing(opened(http_server, run, "clamped", limits=limits, **values)) as source:
        first = list(source.read(Selection("items")).batches)[:place]
    seen = [row for batch in first for row in batch.data.to_pylist()]
    again = opened(http_server, run, "clamped", limits=limits, **values)
    rest = again.read(Selection("items"), first[-1].position)

    with closing(again):
        if place < 4:
            more = [row for batch in rest.batches for row in batch.data.to_pylist()]
            assert [*seen, *more] == ALL
        else:
            with pytest.raises(ConnectionFailed, match="the same page"):
                list(rest.batches)


def test_a_cursor_of_0_that_is_the_first_page_again_is_told_with_what_to_set(
    http_server: HttpServer, run: str
) -> None:
    """It may be as good a cursor as any other, so that it is not taken for the end."""
    values = {"pagination": paging("CURSOR", next="$.meta.next"), "records": "$.data"}

    with pytest.raises(ConnectionFailed, match="goes round in circles") as caught:
        rows(opened(http_server, run, "zero-cursor", **values))

    assert caught.value.hint is not None
    _, _, path = caught.value.hint.rpartition("leave it out: ")
    values = {"pagination": paging("CURSOR", next=path.rstrip(".")), "records": "$.data"}
    assert rows(opened(http_server, run, "zero-cursor", **values)) == ALL


@pytest.mark.parametrize("said", ["null", "false", '""', "none at all"])
def test_a_cursor_that_is_none_ends_a_read(http_server: HttpServer, run: str, said: str) -> None:
    params = {} if said == "none at all" else {"end": said}
    values = {"pagination": paging("CURSOR", next="$.next"), "params": params}

    assert rows(opened(http_server, run, "said-end", **values, records="$.data")) == ALL[:20]
