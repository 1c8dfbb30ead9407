"""A first page that names no other although it is full: the user is told, as rows may be missing."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest

from connectors.connector import ReadLimits, Selection
from tests.connectors.test_rest import WAYS, opened, paging
from tests.http_server import PAGE_ROWS, HttpServer

DOUBT = "The resource 'items' may have more records than were read: its first page "


@pytest.mark.parametrize(
    ("what", "kind", "values", "expected"),
    [
        (
            "cursor", "CURSOR", {"next": "$.meta.nxt", "size": PAGE_ROWS},
            [f"{DOUBT}is full, and has nothing at $.meta.nxt. Check the pagination's next."],
        ),
        ("cursor", "CURSOR", {"next": "$.meta.nxt", "size": PAGE_ROWS + 1}, []),
        ("cursor", "CURSOR", {"next": "$.meta.nxt"}, []),
        ("cursor", "CURSOR", {"next": "$.meta.next", "size": PAGE_ROWS}, []),
        (
            "next-url", "NEXT_URL", {"next": "$.nxt", "size": PAGE_ROWS},
            [f"{DOUBT}is full, and has nothing at $.nxt. Check the pagination's next."],
        ),
        (
            "page", "LINK_HEADER", {},
            [f"{DOUBT}came without a Link header. Check the pagination's kind, LINK_HEADER."],
        ),
        ("page", "LINK_HEADER", {"size": PAGE_ROWS + 1}, []),
    ],
)  # fmt: skip
def test_a_full_first_page_that_names_no_other_is_doubted_once(
    http_server: HttpServer,
    what: str,
    kind: str,
    values: dict[str, Any],
    expected: list[str],
) -> None:
    found = {"pagination": paging(kind, **values), "records": "$.data"}
    limits = ReadLimits(batch_rows=4)
    with closing(opened(http_server, uuid4().hex, what, limits=limits, **found)) as source:
        batches = list(source.read(Selection("items")).batches)

    assert [text for batch in batches for text in batch.warnings] == expected


def test_a_link_header_without_a_next_page_is_no_reason_to_doubt(
    http_server: HttpServer,
) -> None:
    with closing(opened(http_server, uuid4().hex, "link-header", **WAYS["link-header"])) as source:
        batches = list(source.read(Selection("items")).batches)

    assert [batch.warnings for batch in batches] == [()] * 3
