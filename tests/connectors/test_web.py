"""The guarded HTTP client, against a real server: where it connects, what it sends where, what it puts up with."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from base.errors import ConnectionFailed, PayloadTooLarge, TimedOut
from base.net import Guard, HostRefused, HostUnknown
from connectors import sockets, web
from connectors.errors import BadCredentials, SourceUnreachable
from connectors.web import Answered, Private, Web, WebLimits
from tests.clients import free_port
from tests.connectors.peers import LOOPBACK, certificate
from tests.http_server import TOKEN, HttpServer, serving

ONLY_ONE = Guard(allow_networks=("127.0.0.1/32",))
SECRETS = Private({"Authorization": f"Bearer {TOKEN}", "X-Mine": "mine"}, {"api_key": TOKEN})


@pytest.fixture
def run() -> str:
    """A name of the test's own, by which the server remembers its requests."""
    return uuid4().hex


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Where `client` notes its waits."""
    return []


@pytest.fixture
def client(waits: list[float]) -> Iterator[Web]:
    """A client that does not really wait."""
    made = Web(LOOPBACK, WebLimits(1024**2), sleep=waits.append)
    yield made
    made.close()


def lookup_of(*addresses: str) -> Any:
    """A resolver whose answers are these, one after the other; the last is given again and again."""
    left = list(addresses)

    def lookup(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    return lookup


def limited(**values: Any) -> Web:
    limits: dict[str, Any] = {"body_bytes_max": 1024**2} | values
    return Web(LOOPBACK, WebLimits(**limits))


def test_an_answer_comes_whole(client: Web, http_server: HttpServer, run: str) -> None:
    page = client.read(f"{http_server.url}/one/{run}", headers={"accept": "application/json"})

    assert (page.status, page.body) == (200, b'{"id": 7, "name": "seven"}')
    (request,) = http_server.seen(run)
    assert request["headers"]["accept"] == "application/json"
    assert request["headers"]["host"] == f"127.0.0.1:{http_server.port}"


def test_a_name_that_changes_its_answer_gains_nothing(http_server: HttpServer, run: str) -> None:
    lookup = lookup_of("127.0.0.1", "127.0.0.2")
    client = Web(ONLY_ONE, WebLimits(1000), lookup=lookup)
    url = f"http://rebinding.example.com:{http_server.port}/one/{run}"

    assert client.read(url).status == 200  # the checked address is the one that is connected to
    client.close()
    with pytest.raises(HostRefused, match=r"rebinding\.example\.com is not open"):
        Web(ONLY_ONE, WebLimits(1000), lookup=lookup).read(url)
    assert len(http_server.seen(run)) == 1


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.2:{port}/all/{run}",
        "http://[::ffff:127.0.0.2]:{port}/all/{run}",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706434:{port}/all/{run}",
        "//127.0.0.2:{port}/all/{run}",
    ],
)
def test_a_redirect_is_judged_like_a_url(http_server: HttpServer, run: str, to: str) -> None:
    client = Web(ONLY_ONE, WebLimits(1000))
    target = to.format(port=http_server.port, run=run)

    with pytest.raises(HostRefused):
        client.read(f"{http_server.url}/redirect/{run}?to={target}")

    assert len(http_server.seen(run)) == 1
    client.close()


@pytest.mark.parametrize("to", ["file:///etc/passwd", "data:text/csv,a", "gopher://127.0.0.1/"])
def test_a_redirect_stays_on_the_web(
    client: Web, http_server: HttpServer, run: str, to: str
) -> None:
    with pytest.raises(ConnectionFailed, match=r"redirects to"):
        client.read(f"{http_server.url}/redirect/{run}?to={to}")


def test_redirects_are_followed_three_times(client: Web, http_server: HttpServer, run: str) -> None:
    assert client.read(f"{http_server.url}/redirects/{run}?left=3").status == 200
    with pytest.raises(ConnectionFailed, match="redirects more than 3 times") as caught:
        client.read(f"{http_server.url}/redirects/{run}?left=4")
    assert caught.value.retryable is False


def test_what_is_private_stays_with_its_origin(
    client: Web, http_server: HttpServer, run: str
) -> None:
    with serving() as other:
        back = f"{http_server.url}/all/{run}?end=1"
        away = f"{other.url}/redirect/{run}?" + urlencode({"to": back, "api_key": TOKEN})
        start = f"{http_server.url}/redirect/{run}?" + urlencode({"to": away, "status": 307})
        client.read(start, private=SECRETS)
        (elsewhere,) = other.seen(run)
    first, last = http_server.seen(run)

    assert (first["headers"]["authorization"], first["headers"]["x-mine"]) == (
        f"Bearer {TOKEN}",
        "mine",
    )
    assert first["query"]["api_key"] == TOKEN
    for request in (elsewhere, last):  # not even where it would belong again
        assert not {"authorization", "x-mine", "cookie"} & set(request["headers"])
        assert "api_key" not in request["query"]
    assert last["query"] == {"end": "1"}


def test_within_its_origin_what_is_private_is_sent_again(
    client: Web, http_server: HttpServer, run: str
) -> None:
    page = client.read(f"{http_server.url}/redirect/{run}?to=/locked/{run}", private=SECRETS)

    assert page.status == 200
    again = http_server.seen(run)[1]
    assert (again["headers"]["authorization"], again["query"]) == (
        f"Bearer {TOKEN}",
        {"api_key": TOKEN},
    )
    assert "cookie" not in again["headers"]
    assert TOKEN not in str(page.url)


def test_proxies_of_the_environment_are_not_used(
    client: Web, http_server: HttpServer, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    assert client.read(f"{http_server.url}/one/{run}").status == 200


def test_tls_is_checked_against_the_name(
    tmp_path: Path, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(certificate("data.example.com"))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    sockets.trusted_certificates.cache_clear()
    with serving(pem) as server:
        client = Web(LOOPBACK, WebLimits(1000), lookup=lookup_of("127.0.0.1"))
        assert client.read(f"https://data.example.com:{server.port}/one/{run}").status == 200
        with pytest.raises(ConnectionFailed, match="another host's") as caught:
            client.read(f"https://other.example.com:{server.port}/one/{run}")
        assert caught.value.retryable is False
        plain = f"http://data.example.com:{server.port}/one/{run}"
        with pytest.raises(ConnectionFailed, match="from https to http"):
            client.read(f"https://data.example.com:{server.port}/redirect/{run}?to={plain}")
        client.close()
    sockets.trusted_certificates.cache_clear()


def test_an_unknown_certificate_is_refused(tmp_path: Path, run: str) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(certificate("data.example.com"))
    with serving(pem) as server:
        client = Web(LOOPBACK, WebLimits(1000), lookup=lookup_of("127.0.0.1"))
        with pytest.raises(ConnectionFailed, match="not trusted"):
            client.read(f"https://data.example.com:{server.port}/one/{run}")
        client.close()


@pytest.mark.parametrize("what", ["error-once", "reset-once"])
def test_what_fails_once_is_tried_again(
    client: Web, waits: list[float], http_server: HttpServer, run: str, what: str
) -> None:
    page = client.read(f"{http_server.url}/{what}/{run}")

    assert page.body.count(b'"id"') == 3
    assert len(http_server.seen(run)) == 2
    (wait,) = waits
    assert 0.25 <= wait <= 0.5


@pytest.mark.parametrize(
    ("what", "words"),
    [("errors", "answered 502 Bad Gateway"), ("resets", "broke the connection off")],
)
def test_tries_end_and_waits_grow(
    client: Web, waits: list[float], http_server: HttpServer, run: str, what: str, words: str
) -> None:
    with pytest.raises(SourceUnreachable, match=words) as caught:
        client.read(f"{http_server.url}/{what}/{run}?token={TOKEN}")

    assert (caught.value.retryable, len(http_server.seen(run))) == (True, 5)
    for wait, longest in zip(waits, (0.5, 1, 2, 4), strict=True):
        assert longest / 2 <= wait <= longest
    assert TOKEN not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize(
    ("what", "least", "most"),
    [
        ("throttle-seconds", 7, 7),
        ("throttle-date", 19, 21),
        ("throttle-long", 60, 60),
        ("throttle-forbidden", 7, 7),
    ],
)
def test_a_server_says_when_to_come_again(
    client: Web,
    waits: list[float],
    http_server: HttpServer,
    run: str,
    what: str,
    least: int,
    most: int,
) -> None:
    started = time.monotonic()
    assert client.read(f"{http_server.url}/{what}/{run}").status == 200
    passed = time.monotonic() - started

    (wait,) = waits
    assert least - passed <= wait <= most


@pytest.mark.parametrize(
    "what",
    ["throttle-absurd", "used-up", "error-once?status=520", "error-once?status=529"],
)
def test_what_may_pass_is_tried_again_whatever_it_says(
    client: Web, waits: list[float], http_server: HttpServer, run: str, what: str
) -> None:
    route, _, query = what.partition("?")
    assert client.read(f"{http_server.url}/{route}/{run}?{query}").status == 200

    (wait,) = waits
    assert 0.25 <= wait <= 0.5


def test_what_a_server_does_not_have_is_not_tried_again(
    client: Web, http_server: HttpServer, run: str
) -> None:
    with pytest.raises(Answered, match="501 Not Implemented"):
        client.read(f"{http_server.url}/error-once/{run}?status=501")

    assert len(http_server.seen(run)) == 1


def test_a_wait_past_the_time_there_is_ends_at_once(http_server: HttpServer, run: str) -> None:
    client = limited(total_seconds=50)

    with pytest.raises(SourceUnreachable, match="429 Too Many Requests"):
        client.read(f"{http_server.url}/throttle-long/{run}")

    assert len(http_server.seen(run)) == 1
    client.close()


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("locked", BadCredentials, "401 Unauthorized"),
        ("forbidden", BadCredentials, "403 Forbidden"),
        ("missing", Answered, "404 Not Found"),
    ],
)
def test_a_refusal_is_not_tried_again(
    client: Web,
    http_server: HttpServer,
    run: str,
    what: str,
    kind: type[ConnectionFailed],
    words: str,
) -> None:
    with pytest.raises(kind, match=words) as caught:
        client.read(f"{http_server.url}/{what}/{run}")

    assert caught.value.retryable is False
    assert caught.value.hint
    assert len(http_server.seen(run)) == 1


@pytest.mark.parametrize("what", ["endless", "bomb"])
def test_a_body_is_cut_at_the_limit(http_server: HttpServer, run: str, what: str) -> None:
    client = limited()

    with pytest.raises(PayloadTooLarge, match="more than 1,048,576 bytes"):
        client.read(f"{http_server.url}/{what}/{run}")
    with (
        closing(client.open(f"{http_server.url}/{what}/{run}")) as answer,
        pytest.raises(PayloadTooLarge),
    ):
        assert max(map(len, answer.chunks())) <= 1024**2

    client.close()


@pytest.mark.parametrize("what", ["dripping", "slow-head"])
def test_a_server_that_drips_is_left_in_time(http_server: HttpServer, run: str, what: str) -> None:
    client = limited(total_seconds=0.5)

    with pytest.raises(TimedOut, match=r"limit of 0\.5 seconds"):
        client.read(f"{http_server.url}/{what}/{run}")

    client.close()


@pytest.mark.parametrize("what", ["dripping", "endless", "throttle-long"])
def test_another_thread_may_break_it_off(http_server: HttpServer, run: str, what: str) -> None:
    client = limited(body_bytes_max=10**15)
    broken = threading.Timer(0.2, client.abort)
    broken.start()

    with pytest.raises((ConnectionFailed, TimedOut)):
        deque(client.open(f"{http_server.url}/{what}/{run}").chunks(), maxlen=0)

    broken.join()
    with pytest.raises(TimedOut):
        client.read(f"{http_server.url}/one/{run}")
    client.close()


def test_a_body_in_members_of_gzip_is_read_to_its_end(
    client: Web, http_server: HttpServer, run: str
) -> None:
    assert client.read(f"{http_server.url}/zipped/{run}").body.endswith(b'"tags": ["a", "t0"]}]')


def test_a_compressed_body_that_is_cut_off_is_no_answer(
    client: Web, http_server: HttpServer, run: str
) -> None:
    with pytest.raises(SourceUnreachable, match="broke its answer off"):
        client.read(f"{http_server.url}/zipped-short/{run}")
    assert len(http_server.seen(run)) == 5


def test_an_encoding_that_nobody_asked_for_is_refused(
    client: Web, http_server: HttpServer, run: str
) -> None:
    with pytest.raises(ConnectionFailed, match="encoding 'br'"):
        client.read(f"{http_server.url}/brotli/{run}")


def test_nobody_at_home(client: Web, waits: list[float]) -> None:
    with pytest.raises(SourceUnreachable, match="cannot be reached, or is silent"):
        client.read(f"http://127.0.0.1:{free_port()}/x?key={TOKEN}")
    assert len(waits) == 1


def test_a_name_without_address(client: Web) -> None:
    with pytest.raises(HostUnknown):
        client.read("http://nowhere.invalid/")


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/a", "file:///etc/passwd", "data:,a", "//x/y", "http://", "http://[x/"]
)
def test_only_the_web_is_asked(client: Web, url: str) -> None:
    with pytest.raises(ConnectionFailed):
        client.read(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"https://ada:{TOKEN}@h.example/a/b?sig={TOKEN}#{TOKEN}", "https://h.example/a/b"),
        ("http://h.example:8080", "http://h.example:8080/"),
        ("http://[2001:db8::7]:81/x", "http://[2001:db8::7]:81/x"),
        (f"http://h:{TOKEN}", "the URL"),
    ],
)
def test_what_is_shown_of_a_url(url: str, expected: str) -> None:
    assert web.shown(url) == expected
