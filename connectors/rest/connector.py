"""An API as a source: its resources are read page by page, each page checked against the types learnt so far."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from base.errors import ConnectionFailed, PayloadTooLarge
from base.tables import Column, TableSchema
from connectors.connector import Batch, Connection, Health, Reading, Selection, Unseen
from connectors.errors import FileInvalid, ReadAgain, TableMissing
from connectors.files import shapes
from connectors.files.batches import sliced
from connectors.files.names import chosen
from connectors.files.shapes import NOTHING
from connectors.rest import documents
from connectors.rest.documents import Known, Places, Read
from connectors.rest.paging import Mark, Pages
from connectors.rest.paths import plain_keys
from connectors.web import Answered, Page, Private, Web, WebLimits

PAGE_BYTES_MAX = 64 * 1024**2
RESOURCE_BYTES_MAX = 64 * 1024**3
SAMPLE_BYTES = 1024**2  # of the first pages, whose records propose the columns
SAMPLE_PAGES = 10
READS_OF_A_PAGE_MAX = 3  # while its JSON is broken


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A page with what followed from it; `next` is only of one that is not the last."""

    mark: Mark
    page: Page
    read: Read
    next: Mark
    is_last: bool


class RestConnector:
    """An open API. Nothing is asked before it is needed."""

    def __init__(self, connection: Connection) -> None:
        settings = connection.settings
        self._limits = connection.limits
        self._base_url: str = settings["base_url"]
        self._resources: Mapping[str, Mapping[str, Any]] = {
            resource["name"]: resource for resource in settings["resources"]
        }
        self._private = _private(settings, connection.secrets)
        self._web = Web(
            connection.guard,
            WebLimits(
                PAGE_BYTES_MAX,
                total_seconds=self._limits.answer_seconds,
                connect_seconds=self._limits.connect_seconds,
                larger_hint="Ask for smaller pages with the pagination's size, or for less with params.",
            ),
        )
        self._learnt: dict[str, Known] = {}  # of resources that were read to their end
        self._places = {
            name: Places(resource["records"]) for name, resource in self._resources.items()
        }

    def check(self) -> Health:
        """Read the first page of the first resource."""
        name = next(iter(self._resources))
        first = self._first(name)
        records = "1 record" if first.read.rows == 1 else f"{first.read.rows:,} records"
        columns = len(first.read.known.columns)
        return Health(f"{name}: {records} with {columns} columns on the first page.")

    def tables(self) -> list[TableSchema]:
        """The resources; what is said of columns holds for the first page."""
        return [self._listed(name) for name in self._resources]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """The records of a resource, page by page.

        Where it has a `cursor_param`, the API is asked for what changed since; whether it left out the rest is not
        known. May ask to be read again: a later page had values that the columns of the first ones cannot hold.
        """
        resource = self._resource(selection)
        name = selection.name
        walk = _Walk(self, resource, self._places[name], _since(resource, selection))
        sample: list[_Fetched] = []
        unseen = None
        if after is not None:
            walk.resume(after)
        elif name in self._learnt:
            walk.known = self._learnt[name].filled(selection, is_part=walk.since is not None)
        else:
            sample = self._sample(walk)
            if walk.known.record is NOTHING and sample[-1].is_last:
                unseen = None if walk.known.rows else Unseen.COLUMNS
                walk.known = walk.known.named([*selection.named, *_names(resource)])
            else:
                walk.known = walk.known.filled(selection, is_part=walk.since is not None)
        known = walk.known
        places = chosen(name, known.names, selection.columns)
        schema = self._schema(name, known, is_whole=True)
        missing = [key for key in resource["primary_key"] if key not in known.names]
        if missing:
            raise TableMissing(
                f"The resource {name!r} has no column {missing[0]!r}, which is in its primary key.",
                hint=f"It has {', '.join(known.names[:20])}.",
            )
        return Reading(
            schema.with_columns(tuple(schema.columns[place] for place in places)),
            self._batches(walk, sample, places),
            unseen=unseen,
        )

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def fetch(self, url: str) -> Page:
        """A page as it is."""
        return self._web.read(url, headers={"accept": "application/json"}, private=self._private)

    def pages(self, resource: Mapping[str, Any], since: str | None) -> Pages:
        """A new walk through a resource."""
        return Pages(self._base_url, resource, since, self._private)

    def _resource(self, selection: Selection) -> Mapping[str, Any]:
        found = self._resources.get(selection.name)
        if found is None or selection.schema is not None:
            listed = ", ".join(map(repr, list(self._resources)[:20]))
            raise TableMissing(
                f"There is no resource {selection.name!r} in the connection.",
                hint=f"It has {listed}.",
            )
        return found

    def _listed(self, name: str) -> TableSchema:
        known = self._first(name).read.known
        if known.record is NOTHING:
            known = known.named(_names(self._resources[name]))
        return self._schema(name, known)

    def _first(self, name: str) -> _Fetched:
        walk = _Walk(self, self._resources[name], self._places[name], None)
        return walk.step(None, is_learning=True)

    def _sample(self, walk: _Walk) -> list[_Fetched]:
        """The first pages, from which the columns are proposed.

        What changed since the last time may be little: then the columns are those of the whole resource's first page.
        """
        if walk.since is not None:
            walk.known = self._first(walk.name).read.known
        sample: list[_Fetched] = []
        size = 0
        mark: Mark = None
        while (len(sample) < SAMPLE_PAGES or not walk.known.rows) and size <= SAMPLE_BYTES:
            sample.append(walk.step(mark, is_learning=True))
            size += len(sample[-1].page.body)
            mark = sample[-1].next
            if sample[-1].is_last:
                break
        return sample

    def _schema(self, name: str, known: Known, *, is_whole: bool = False) -> TableSchema:
        resource = self._resources[name]
        scope = "" if is_whole else f" (in the first {known.rows:,} records)"
        columns = tuple(
            Column(
                unique,
                shapes.column_type(shape),
                "JSON",
                primary_key=unique in resource["primary_key"],
                inference=shapes.words(shape) + scope,
            )
            for unique, shape in zip(known.names, known.columns.values(), strict=True)
        )
        cursor = resource["cursor_column"]
        return TableSchema(name, columns, cursor_column=cursor if cursor in known.names else None)

    def _batches(self, walk: _Walk, sample: list[_Fetched], places: list[int]) -> Iterator[Batch]:
        shape = documents.shape_to_json(walk.known.record)
        size = 0
        mark, skip, is_over = walk.mark, walk.skip, walk.is_over
        while not is_over:
            got = walk.again(sample.pop(0)) if sample else walk.step(mark)
            size += len(got.page.body)
            if size > RESOURCE_BYTES_MAX:
                raise PayloadTooLarge(
                    f"The resource {walk.name!r} has more than {RESOURCE_BYTES_MAX:,} bytes.",
                    hint="Ask for less with params.",
                )
            if got.read.data is None:
                self._learnt[walk.name] = walk.learn(got)
                raise ReadAgain
            data = got.read.data.select(places)
            for part in sliced(data.slice(skip), self._limits):
                skip += part.num_rows
                is_page_end = skip >= data.num_rows
                at = [got.next, 0, got.is_last] if is_page_end else [got.mark, skip, False]
                position = [*at, walk.keys_json(), shape]
                yield Batch(part, position, size, warnings=walk.take_warnings())
            mark, skip, is_over = got.next, 0, got.is_last


class _Walk:
    """One read of one resource: which page is next, and what is known of the records."""

    def __init__(
        self,
        connector: RestConnector,
        resource: Mapping[str, Any],
        places: Places,
        since: str | None,
    ) -> None:
        self._connector = connector
        self._places = places
        self._pages = connector.pages(resource, since)
        self.name: str = resource["name"]
        self.since = since
        self.known = Known()
        self.mark: Mark = None
        self.skip = 0
        self.is_over = False

    def resume(self, position: list[Any]) -> None:
        """Go on behind a batch, with the columns of then."""
        self.mark, self.skip, self.is_over, keys, shape = position
        self._places.settle_at(keys)
        self.known = Known(documents.shape_from_json(shape))

    def take_warnings(self) -> tuple[str, ...]:
        """See `Pages.take_warnings`."""
        return self._pages.take_warnings()

    def keys_json(self) -> Any:
        """Where the records are, as a position keeps it."""
        return self._places.to_json()

    def step(self, mark: Mark, *, is_learning: bool = False) -> _Fetched:
        """Ask for a page. Records that need wider types leave `read.data` empty, unless they may have them."""
        for number in range(1, READS_OF_A_PAGE_MAX + 1):
            try:
                page = self._connector.fetch(self._pages.url(mark))
            except Answered as error:
                if self._pages.ends_at(mark, error.status):
                    return self._end(mark)
                raise
            try:
                found = self._read(page)
                break
            except FileInvalid as error:
                if number == READS_OF_A_PAGE_MAX:
                    raise self._broken(page, error) from error
        counted = self._places.paged(found.document, found.rows)
        if self._pages.is_last_again(page, counted):
            return self._end(mark)
        if is_learning or found.data is not None:
            self.known = found.known
        following, is_last = self._pages.after(mark, page, found.document, counted, found.data)
        return _Fetched(mark, page, found, following, is_last)

    def _end(self, mark: Mark) -> _Fetched:
        """A page that is not there."""
        return _Fetched(mark, _nothing(self._pages.url(mark)), self._empty(), None, is_last=True)

    def again(self, got: _Fetched) -> _Fetched:
        """A page of the sample with the columns that hold all of the sample."""
        try:
            found = self._read(got.page) if got.page.body else self._empty()
        except FileInvalid as error:
            raise self._broken(got.page, error) from error
        return _Fetched(got.mark, got.page, found, got.next, got.is_last)

    def learn(self, got: _Fetched) -> Known:
        """What holds this page and all that follow, too."""
        self.known = got.read.known
        while not got.is_last:
            got = self.step(got.next, is_learning=True)
        return self.known

    def _read(self, page: Page) -> Read:
        if not page.body.strip():
            return self._empty()
        path = self._pages.next_path
        own = self._places.keys
        keys = None if path is None else plain_keys(path)
        with_records = path is not None and (keys is None or own is None or keys[: len(own)] == own)
        return documents.read(self.known, self._places, _utf8(page), with_records=with_records)

    def _empty(self) -> Read:
        arrays = [pa.array([], shapes.stored(shape)) for shape in self.known.columns.values()]
        none = pa.RecordBatch.from_arrays(arrays, names=self.known.names)
        return Read(none, 0, None, self.known)

    def _broken(self, page: Page, error: FileInvalid) -> ConnectionFailed:
        if page.body.lstrip().startswith(b"<"):
            return ConnectionFailed(
                f"The resource {self.name!r} answered with a web page or XML, not with JSON.",
                hint="Check base URL and path: it may be the page of a person's login.",
            )
        hint = error.hint or "Look at what the server answers: it is cut off, or no JSON."
        return ConnectionFailed(f"The resource {self.name!r}: {error.message}", hint=hint)


def _names(resource: Mapping[str, Any]) -> list[str]:
    """The columns that its settings speak of: there are such, though no record may show them."""
    cursor = resource["cursor_column"]
    return [*resource["primary_key"], *([cursor] if cursor else [])]


def _since(resource: Mapping[str, Any], selection: Selection) -> str | None:
    """What the API is sent: only about the column that it is known to mean."""
    increment = selection.increment
    is_meant = increment is not None and increment.column == resource["cursor_column"]
    return increment.since if increment and is_meant and resource["cursor_param"] else None


def _private(settings: Mapping[str, Any], secrets: Mapping[str, str]) -> Private:
    headers = {name: secrets[f"header.{name}"] for name in settings["headers"]}
    auth = settings["auth"]
    if auth is None:
        return Private(headers)
    if auth["kind"] == "bearer":
        return Private({**headers, "Authorization": f"Bearer {secrets['bearer']}"})
    if auth["kind"] == "basic":
        pair = f"{auth['username']}:{secrets['password']}".encode()
        basic = f"Basic {base64.b64encode(pair).decode()}"
        return Private({**headers, "Authorization": basic})
    if auth["in"] == "header":
        return Private({**headers, auth["name"]: secrets["api_key"]})
    return Private(headers, {auth["name"]: secrets["api_key"]})


def _utf8(page: Page) -> bytes:
    """The body in UTF-8, as JSON has to be, or out of what its type says."""
    _, _, rest = page.headers.get("content-type", "").lower().partition("charset=")
    charset = rest.split(";")[0].strip(" \"'")
    body = page.body.removeprefix(b"\xef\xbb\xbf")
    if charset in {"", "utf-8", "utf8", "us-ascii"}:
        return body
    try:
        return body.decode(charset).encode()
    except (LookupError, UnicodeError) as error:
        raise FileInvalid(f"The answer is not in {charset[:40]}, as it says.") from error


def _nothing(url: str) -> Page:
    import httpx

    return Page(200, httpx.Headers(), b"", httpx.URL(url))
