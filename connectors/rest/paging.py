"""From one page of a resource to the next, and where that ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import jsonpath
import pyarrow as pa

from base.errors import ConnectionFailed, PayloadTooLarge
from connectors import web
from connectors.rest.links import next_link
from connectors.rest.paths import compiled, plain_keys
from connectors.rest.settings import ApiPaginationKind
from connectors.web import Page, Private

PAGES_MAX = 100_000  # of one read
EMPTY_PAGES_MAX = 1_000  # one after the other that say there are more
SAME_PAGES_MAX = 10  # one after the other with the same records
Mark = str | int | None  # which page: its number, offset, cursor or URL; None for the first


class Pages:
    """How one resource is asked page by page. A new one for each read: it remembers which pages it has seen."""

    def __init__(
        self, base_url: str, resource: Mapping[str, Any], since: str | None, private: Private
    ) -> None:
        self._private = private
        self._resource = resource
        self._paging = resource["pagination"]
        self._kind = ApiPaginationKind(self._paging["kind"])
        path = resource["path"].lstrip("/")
        self._start = web.address(f"{base_url}/{path}" if path else base_url)
        self._query = _query(resource, since)
        next_path = self._paging.get("next")
        self._next = None if next_path is None else compiled(next_path)
        self._seen: set[int] = set()
        self._empty = 0
        self._last_body: int | None = None
        self._last_records: pa.RecordBatch | None = None
        self._rows_max = 0  # of a page
        self._has_moved = False  # to a page with other records
        self._same = 0
        self._warnings: list[str] = []

    @property
    def next_path(self) -> jsonpath.JSONPath | None:
        """Where a page says which is the next one, if it does so in its document."""
        return self._next

    def url(self, mark: Mark) -> str:
        """The URL of a page, without what is private."""
        query = self._query
        if self._is_counted:
            query = query.set(self._paging["param"], str(self._number(mark)))
        elif mark is not None and self._kind is ApiPaginationKind.CURSOR:
            query = query.set(self._paging["param"], str(mark))
        elif mark is not None:
            target = httpx.URL(str(mark))
            self._refuse_elsewhere(target)
            return str(target)
        return str(self._start.copy_merge_params(query))

    def ends_at(self, mark: Mark, status: int) -> bool:
        """Whether that error says that there is no such page any more: some number pages so."""
        is_later = (
            self._number(mark) > self._number(None)
            if self._kind is ApiPaginationKind.PAGE
            else False
        )
        return is_later and status == httpx.codes.NOT_FOUND

    def is_last_again(self, page: Page, rows: int) -> bool:
        """Whether it is the last page, which some give for all that are behind it.

        A page that comes again is the last one only if there are larger ones: an API that does not know the parameter
        gives one page only, and one that goes no further, though it has more records, ends with a full one.
        """
        return self._is_counted and 0 < rows < self._rows_max and self._is_as_before(page)

    def after(
        self, mark: Mark, page: Page, document: Any, rows: int, records: pa.RecordBatch | None
    ) -> tuple[Mark, bool]:
        """The next page, and whether this was the last. `rows` are those that the API counts.

        Raises ConnectionFailed for pages that go round in circles.
        """
        self._refuse_the_same(rows, records)
        following = self._following(mark, page, document, rows)
        self._empty = 0 if rows else self._empty + 1
        if (
            mark is None
            and following is None
            and rows
            and (doubt := self._doubt(page, document, rows))
        ):
            self._warnings.append(f"{self._name} may have more records than were read: {doubt}")
        if following is None:
            return None, True
        if self._is_seen(following):
            if not rows:
                return None, True
            raise ConnectionFailed(
                f"{self._name} goes round in circles: a page named one that was there before as the next.",
                hint=self._circle_hint(mark),
            )
        if self._empty >= EMPTY_PAGES_MAX:
            raise ConnectionFailed(
                f"{self._name} names one more page again and again, and {EMPTY_PAGES_MAX:,} in a row had no records.",
                hint="Check the pagination's next and the records, or ask for less with params.",
            )
        if len(self._seen) > PAGES_MAX:
            raise PayloadTooLarge(
                f"{self._name} has more than {PAGES_MAX:,} pages.",
                hint="Ask for larger ones with the pagination's size, or for less with params.",
            )
        return following, False

    def take_warnings(self) -> tuple[str, ...]:
        """What has come up since the last call that the user should look at."""
        taken = tuple(self._warnings)
        self._warnings.clear()
        return taken

    @property
    def _is_counted(self) -> bool:
        """Whether pages are asked for by number or offset: then there is always a next one to ask for."""
        return self._kind in {ApiPaginationKind.PAGE, ApiPaginationKind.OFFSET}

    def _is_as_before(self, page: Page) -> bool:
        return hash(page.body) == self._last_body

    @property
    def _name(self) -> str:
        return f"The resource {self._resource['name']!r}"

    def _number(self, mark: Mark) -> int:
        """Of PAGE and OFFSET. The params may say where to start."""
        if mark is not None:
            return int(mark)
        first = self._resource["params"].get(self._paging["param"])
        return int(first) if first is not None else int(self._kind is ApiPaginationKind.PAGE)

    def _is_seen(self, mark: Mark) -> bool:
        key = hash(mark)
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def _following(self, mark: Mark, page: Page, document: Any, rows: int) -> Mark:
        if self._is_counted:
            if not rows:
                return None
            if self._is_as_before(page):
                raise self._unmoved()
            self._last_body = hash(page.body)
            self._rows_max = max(self._rows_max, rows)
            return self._number(mark) + (1 if self._kind is ApiPaginationKind.PAGE else rows)
        if self._kind is ApiPaginationKind.CURSOR:
            return self._said(document)
        if self._kind is ApiPaginationKind.NEXT_URL:
            return self._link(page, self._said(document))
        if self._kind is ApiPaginationKind.LINK_HEADER:
            return self._link(page, next_link(page.headers.get("link", "")))
        return None

    def _refuse_the_same(self, rows: int, records: pa.RecordBatch | None) -> None:
        """Pages that differ only in what surrounds their records, such as the time: a few may be so by chance."""
        if not rows or not self._is_counted:
            return
        is_same = bool(records is not None and len(records) and records == self._last_records)
        self._has_moved |= self._last_records is not None and not is_same
        self._last_records, self._same = records, self._same + 1 if is_same else 0
        if self._same >= SAME_PAGES_MAX:
            raise self._unmoved()

    def _unmoved(self) -> ConnectionFailed:
        if self._has_moved:
            return ConnectionFailed(
                f"{self._name} gives the same page again and again: whether that is its last one cannot be told.",
                hint="Page by CURSOR, NEXT_URL or LINK_HEADER, if the API can; or set another size, so that the last"
                " page is not full, or the kind NONE and a size in params that all records fit into.",
            )
        return ConnectionFailed(
            f"{self._name} gives the same page whatever is asked for.",
            hint=f"Does it know the parameter {self._paging['param']!r}? Check the pagination, and that records"
            " names the list: an answer without one is a record itself. If one page has all, take the kind NONE.",
        )

    def _circle_hint(self, mark: Mark) -> str:
        """What to set; a cursor 0 may be as good as any other, so that only the user can say what it means."""
        keys = None if self._next is None else plain_keys(self._next)
        if self._kind is not ApiPaginationKind.CURSOR or mark != "0" or not keys:
            return "Check the pagination's next and param."
        *parents, last = keys
        parent = "".join(f"[{key!r}]" for key in parents)
        path = f"${parent}[?# == {last!r} && @ != 0 && @ != '0']"
        return f"If a cursor of 0 says that there are no more, have the pagination's next leave it out: {path}"

    def _doubt(self, page: Page, document: Any, rows: int) -> str | None:
        """Why a first page may not be the only one, though it names no other. None where it is not full."""
        if rows < self._paging.get("size", 0):
            return None
        if self._kind is ApiPaginationKind.LINK_HEADER and "link" not in page.headers:
            return "its first page came without a Link header. Check the pagination's kind, LINK_HEADER."
        if self._next is not None and "size" in self._paging and not self._found(document):
            return (
                f"its first page is full, and has nothing at {self._paging['next']}. "
                "Check the pagination's next."
            )
        return None

    def _found(self, document: Any) -> list[Any]:
        """What is where the next page is said; nothing, not even a null, where the place itself is missing."""
        assert self._next is not None
        return self._next.findall(document) if isinstance(document, dict | list) else []

    def _said(self, document: Any) -> str | None:
        found = self._found(document)
        value = found[0] if found else None
        if value is None or value is False or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ConnectionFailed(
                f"{self._name} has something else than a text at {self._paging['next']}.",
                hint="Check the pagination's next.",
            )
        return str(value)

    def _link(self, page: Page, link: str | None) -> str | None:
        """A link as a URL of the API's own origin: what is private would go along."""
        if not link:
            return None
        try:
            target = web.address(page.url.join(link))
        except (httpx.InvalidURL, ValueError) as error:
            raise ConnectionFailed(
                f"{self._name} names what is no URL as its next page."
            ) from error
        self._refuse_elsewhere(target)
        return str(web.without(target, self._private.query))  # it is kept with what was read

    def _refuse_elsewhere(self, target: httpx.URL) -> None:
        if not web.is_same_origin(target, self._start):
            where = f"{target.scheme}://{target.host}{f':{target.port}' if target.port else ''}"
            raise ConnectionFailed(
                f"{self._name} names a page at {where} as its next, which is not followed: "
                "it is not the origin of the base URL.",
                hint=f"If that is right, connect the API with a base URL at {where}.",
            )


def _query(resource: Mapping[str, Any], since: str | None) -> httpx.QueryParams:
    query = httpx.QueryParams(resource["params"])
    paging = resource["pagination"]
    if "size" in paging:
        query = query.set(paging["size_param"], paging["size"])
    if since is not None:
        query = query.set(resource["cursor_param"], since)
    return query
