"""HTTP for sources: one blocking client whose every connection goes through the outbound guard.

A host is resolved once, all its answers are checked, and the socket goes to a checked address while TLS is checked
against the name. Redirects are followed by hand, each through the guard again. What is private goes to the origin it
was entered for and nowhere else; cookies are never kept, and proxies of the environment are not used.
"""

from __future__ import annotations

import random
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from threading import Event
from typing import TypeVar

import httpx

from base.errors import ConnectionFailed, PayloadTooLarge
from base.net import Guard, HostRefused, HostUnknown, Lookup
from connectors.errors import BadCredentials, SourceUnreachable
from connectors.sockets import Backend, Clock, Transport

REDIRECTS_MAX = 3
TRIES_MAX = 5
CONNECT_TRIES_MAX = 2  # to one that does not even take the connection
BACKOFF_SECONDS = 0.5  # before the second try; doubled for each that follows
BACKOFF_SECONDS_MAX = 30.0
_PIECE_BYTES = 1024**2  # that one step of decompression may give
_AGENT = "Headwater"
_ENCODINGS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset(
    {408, 425, 429}
)  # statuses that may be others in a minute, and all of 5xx but these
_LASTING = frozenset({501, 505, 506, 510, 511})
_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
_PORTS = {"http": 80, "https": 443}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds of one request with its redirects and further tries. `body_bytes_max` counts decoded bytes.

    `larger_hint` says what to do about an answer with more.
    """

    body_bytes_max: int
    total_seconds: float = 300
    connect_seconds: float = 10
    idle_seconds: float = 60  # without a byte
    wait_seconds_max: float = 60  # however long a server asks to wait
    larger_hint: str = "Ask for less of it."


@dataclass(frozen=True, slots=True)
class Private:
    """What only the origin of the request's own URL is sent: header and query values by their names."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer. `url` is where it came from in the end, without private values."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: httpx.URL


class Answer:
    """An answer whose body has not been read yet."""

    def __init__(self, response: httpx.Response, web: Web, url: httpx.URL) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.url = url
        self._response = response
        self._web = web

    def chunks(self) -> Iterator[bytes]:
        """The decoded body. Raises PayloadTooLarge, TimedOut and `connectors.errors`."""
        try:
            yield from self.decoded()
        except _Again as again:
            raise again.error from again

    def close(self) -> None:
        """Leave what was not read, and the connection with it."""
        self._response.close()

    def decoded(self) -> Iterator[bytes]:
        """As `chunks`, for `Web`, which may try again."""
        most = self._web.limits.body_bytes_max
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:  # of the encoded body, which is smaller
            raise _too_large(self.url, most, self._web.limits.larger_hint)
        size = 0
        with self._web.failures(self.url):
            for piece in _decode(self._response.iter_raw(), self.headers, self.url):
                size += len(piece)
                if size > most:
                    raise _too_large(self.url, most, self._web.limits.larger_hint)
                self._web.clock.check()
                yield piece
        self._web.clock.check()  # what was broken off may look like the end


class Web:
    """The client; for one thread, but `abort`, which others may call."""

    def __init__(
        self,
        guard: Guard,
        limits: WebLimits,
        *,
        lookup: Lookup = socket.getaddrinfo,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.limits = limits
        self.clock = Clock(limits.total_seconds)
        self._aborted = Event()
        self._sleep = sleep or self._aborted.wait
        self._backend = Backend(guard, self.clock, lookup)
        self._transport = Transport(self._backend)

    def read(
        self, url: str, *, headers: Mapping[str, str] | None = None, private: Private | None = None
    ) -> Page:
        """GET a whole answer, trying again where that may help. Raises as `open`, PayloadTooLarge, TimedOut."""

        def once() -> Page:
            answer = self._open(url, headers or {}, private or Private())
            with closing(answer):
                body = b"".join(answer.decoded())
            return Page(answer.status, answer.headers, body, answer.url)

        return self._tried(url, once)

    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, private: Private | None = None
    ) -> Answer:
        """GET with the body left to stream, and the answer to close; only what fails before it is tried again.

        Raises SourceUnreachable, BadCredentials, HostRefused and HostUnknown, ConnectionFailed for any other answer
        than one of success or `304 Not Modified`, TimedOut.
        """
        return self._tried(url, lambda: self._open(url, headers or {}, private or Private()))

    def abort(self) -> None:
        """Break off whatever another thread is in the middle of. Nothing is asked from then on."""
        self.clock.stop()
        self._aborted.set()
        self._backend.abort()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._transport.close()

    @contextmanager
    def failures(self, url: httpx.URL) -> Iterator[None]:
        """Failures of the connection, as what they mean to users."""
        try:
            yield
        except httpx.TimeoutException as error:
            self.clock.check()
            told = f"{shown(url)} cannot be reached, or is silent."
            is_connect = isinstance(error, httpx.ConnectTimeout)
            raise _Again(SourceUnreachable(told), is_connect=is_connect) from error
        except httpx.ConnectError as error:
            raise _unconnected(url, error) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            told = f"{shown(url)} broke the connection off."
            raise _Again(SourceUnreachable(told)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionFailed(
                f"{shown(url)} cannot be asked: the request is not valid."
            ) from error
        except ValueError as error:  # a name that is none in IDNA
            raise ConnectionFailed(
                f"{shown(url)} cannot be asked: the URL is not valid."
            ) from error
        except (HostRefused, HostUnknown) as error:
            error.field = None
            raise

    def _tried(self, url: str, once: Callable[[], T]) -> T:
        self.clock.start(shown(url))
        number = 0
        while True:
            number += 1
            try:
                return once()
            except _Again as again:
                most = CONNECT_TRIES_MAX if again.is_connect else TRIES_MAX
                wait = again.wait if again.wait is not None else _backoff(number)
                wait = min(max(wait, 0.0), self.limits.wait_seconds_max)
                if number >= most or wait >= self.clock.left():
                    raise again.error from again
                self._sleep(wait)

    def _open(self, url: str, headers: Mapping[str, str], private: Private) -> Answer:
        """One try: the answer at the end of the redirects."""
        target = address(url)
        home: httpx.URL | None = target
        for _ in range(REDIRECTS_MAX + 1):
            is_home = home is not None and is_same_origin(target, home)
            if not is_home:  # never again, not even back where it belongs
                home = None
            target = without(target, private.query)
            sent = {**headers, **private.headers} if is_home else dict(headers)
            query = private.query if is_home else {}
            response = self._send(target, sent, query)
            try:
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    _refuse(response, target, has_private=bool(private.headers or private.query))
                    return Answer(response, self, target)
                target = _redirected(target, response.headers["location"])
            except BaseException:
                response.close()
                raise
            response.close()
        raise ConnectionFailed(
            f"{shown(url)} redirects more than {REDIRECTS_MAX} times.",
            hint="Give the URL that it leads to.",
        )

    def _send(
        self, url: httpx.URL, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> httpx.Response:
        limits = self.limits
        fixed = {"user-agent": _AGENT, "accept-encoding": "gzip, deflate"}
        timeouts = dict.fromkeys(("read", "write", "pool"), limits.idle_seconds)
        with self.failures(url):
            request = httpx.Request(
                "GET",
                url.copy_merge_params(dict(query)) if query else url,
                headers={**fixed, **{name.lower(): value for name, value in headers.items()}},
                extensions={"timeout": {**timeouts, "connect": limits.connect_seconds}},
            )
            response = self._transport.handle_request(request)
            response.request = request
            return response


class _Again(Exception):
    """A try that failed in a way that may pass. `wait` in seconds, where the server said how long."""

    def __init__(
        self, error: ConnectionFailed, wait: float | None = None, *, is_connect: bool = False
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait
        self.is_connect = is_connect


def address(url: str | httpx.URL) -> httpx.URL:
    """A URL that may be asked: http or https, with a host, no user name and no fragment. Raises ConnectionFailed."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConnectionFailed("The URL is not valid.", hint="Give https://host/path.") from error
    if parsed.scheme not in _PORTS or not parsed.host:
        raise ConnectionFailed(
            "Only http:// and https:// URLs are read.", hint="Give https://host/path."
        )
    return parsed.copy_with(userinfo=b"", fragment=None)


def shown(url: str | httpx.URL) -> str:
    """A URL as people may see it: without user, password, query and fragment, any of which may be secret."""
    try:
        parsed = httpx.URL(url)
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    except (httpx.InvalidURL, ValueError):
        return "the URL"
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{host}{port}{parsed.path}"[:500]


def is_same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether scheme, host and port are the same."""
    return _origin(one) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower().removesuffix("."), url.port or _PORTS.get(url.scheme)


def without(url: httpx.URL, query: Mapping[str, str]) -> httpx.URL:
    """The URL without private query values, which a server may have written into it."""
    names = {name for name, value in query.items() if value in url.params.get_list(name)}
    for name in names:
        url = url.copy_remove_param(name)
    return url


def _redirected(url: httpx.URL, location: str) -> httpx.URL:
    try:
        target = url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConnectionFailed(f"{shown(url)} redirects to what is no URL.") from error
    if target.scheme not in _PORTS or not target.host:
        raise ConnectionFailed(f"{shown(url)} redirects to another kind of address than http(s).")
    if url.scheme == "https" and target.scheme == "http":
        raise ConnectionFailed(
            f"{shown(url)} redirects from https to http, which is not followed.",
            hint="Give an https URL that stays one.",
        )
    return address(target)


def _refuse(response: httpx.Response, url: httpx.URL, *, has_private: bool) -> None:
    """Raise for an answer that is neither a success nor, where it was asked for, `304`."""
    status = response.status_code
    is_asked = not _CONDITIONS.isdisjoint(response.request.headers)
    is_known = status == HTTPStatus.NOT_MODIFIED and is_asked
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or is_known:
        return
    what = f"{shown(url)} answered {status}{_phrase(status)}."
    if _may_pass(response):
        wait = _retry_after(response.headers.get("retry-after"))
        raise _Again(SourceUnreachable(what, hint="It may work later."), wait)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        hint = (
            "Check the credentials of the connection, and what they are allowed to read."
            if has_private
            else "It wants credentials: give the connection some."
        )
        raise BadCredentials(what, hint=hint)
    raise Answered(what, hint="Check the URL.", status=status)


def _may_pass(response: httpx.Response) -> bool:
    """Whether a refusal may be none in a minute: some say 403 where they mean too many requests."""
    status, headers = response.status_code, response.headers
    is_limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return (
        status in _PASSING
        or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LASTING)
        or (status == HTTPStatus.FORBIDDEN and is_limited)
    )


class Answered(ConnectionFailed):
    """The server answered with a status that is an error, and will be one again."""

    def __init__(
        self, message: str, *, hint: str | None = None, field: str | None = None, status: int = 0
    ) -> None:
        super().__init__(message, hint=hint, field=field)
        self.status = status


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from a number of them or from a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text.strip()[:12])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    seconds: float = (until - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0)


def _backoff(number: int) -> float:
    """Seconds before the next try: doubled each time, and never the same for all that were refused together."""
    longest: float = min(BACKOFF_SECONDS * 2 ** (number - 1), BACKOFF_SECONDS_MAX)
    return longest * random.uniform(0.5, 1)  # noqa: S311 - not a secret


def _unconnected(url: httpx.URL, error: httpx.ConnectError) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionFailed(
                f"The certificate of {shown(url)} is not trusted, or is another host's.",
                hint="Give the name that the certificate was made for; private authorities go into the system's store.",
            )
        cause = cause.__cause__ or cause.__context__
    told = SourceUnreachable(
        f"{shown(url)} cannot be reached, or is silent.", hint="Check host and port."
    )
    return _Again(told, is_connect=True)


def _too_large(url: httpx.URL, most: int, hint: str) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{shown(url)} answered with more than {most:,} bytes, the limit.", hint=hint
    )


def _decode(raw: Iterator[bytes], headers: httpx.Headers, url: httpx.URL) -> Iterator[bytes]:
    """The body without its encoding, in pieces of bounded size however well it was compressed."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        yield from raw
        return
    if encoding not in _ENCODINGS:
        raise ConnectionFailed(
            f"{shown(url)} answered in the encoding {encoding[:40]!r}, which was not asked for."
        )
    bits = _ENCODINGS[encoding]
    inflater, is_begun = zlib.decompressobj(bits), False
    try:
        for chunk in raw:
            data, is_full = chunk, False
            while data or is_full:  # a full piece may have more behind it without further input
                if inflater.eof and data:  # gzip may be several members, one behind the other
                    inflater = zlib.decompressobj(bits)
                is_begun = True
                piece = inflater.decompress(data, _PIECE_BYTES)
                is_full = len(piece) == _PIECE_BYTES and not inflater.eof
                yield piece
                data = inflater.unconsumed_tail or inflater.unused_data
    except zlib.error as error:
        raise ConnectionFailed(f"{shown(url)} answered with broken {encoding}.") from error
    if is_begun and not inflater.eof:
        raise _Again(SourceUnreachable(f"{shown(url)} broke its answer off."))
