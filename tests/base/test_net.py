from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest

from base.errors import ConnectionFailed
from base.net import ADDRESSES_MAX, Guard, HostRefused, HostUnknown, normal_host

PUBLIC = "93.184.216.34"
PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "::1/128",
    "fc00::/7",
    "169.254.0.0/16",
    "100.64.0.0/10",
)
EVERYTHING = ("0.0.0.0/0", "::/0")


def answering(*rounds: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """A resolver that gives one list of addresses after the other, the last for ever; numbers resolve to themselves."""
    left = list(rounds)

    def lookup(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        if host.replace(".", "").isdigit() or ":" in host:
            addresses = [host]
        else:
            addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in addresses
        ]

    return lookup


MALFORMED = [
    "",
    " ",
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "0X7f.0.0.0x1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.0x1",
    "127.0.0.1.",
    "127.0.0.1..",
    "1.2.3.4.5",
    "256.256.256.256",
    "example.com.1",
    "example.0x7f",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "[fe80::1%eth0]",
    "[127.0.0.1]",
    "[::1",
    "::1]",
    "user@example.com",
    "user:password@127.0.0.1",
    "example.com:5432",
    "example.com/x",
    "example.com?x",
    "example.com#x",
    "example.com\\x",
    "http://example.com",
    "/var/run/postgresql",
    "@abstract",
    "./socket",
    "a.example,b.example",
    "a.example b.example",
    "a.example;b.example",
    "exam\nple.com",
    "exam\tple.com",
    "example.com\0.evil",
    "example..com",
    ".example.com",
    "-example.com",
    "example-.com",
    "%31%32%37.0.0.1",
    "$(hostname)",
    "*.example.com",
    "a" * 64 + ".com",
    ".".join(["a" * 60] * 5),
    "é" * 64 + ".com",
]  # fmt: skip


@pytest.mark.parametrize("host", MALFORMED)
def test_a_host_that_can_be_read_in_two_ways_is_refused(host: str) -> None:
    def never(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise AssertionError("was looked up")

    with pytest.raises(HostRefused) as caught:
        Guard(EVERYTHING).resolve(host, 5432, lookup=never)

    assert caught.value.field == "host"
    assert caught.value.code == "CONNECTION_FAILED"


CLOSED = [
    "127.0.0.1",
    "127.255.255.254",
    "①②⑦.⓪.⓪.①",
    "\uff11\uff12\uff17.0.0.1",
    "127。0。0。1",
    "10.0.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::FFFF:10.0.0.1",
    "[::ffff:192.168.0.1]",
    "::127.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:0:7f00:1::",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "100::1",
    "5f00::1",
    "::ffff:0:7f00:1",
    "4000::1",
    "fe00::1",
]  # fmt: skip
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd00:0ec2:0:0:0:0:0:254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "0.0.0.0",
    "0.0.0.1",
    "::",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "ff02::1",
]  # fmt: skip
NAMES = [
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.goog",
    "metadata",
    "instance-data",
]  # fmt: skip


@pytest.mark.parametrize("host", [*CLOSED, *NEVER, *NAMES])
def test_addresses_that_are_not_public_are_closed(host: str) -> None:
    with pytest.raises(HostRefused) as caught:
        Guard().resolve(host, 5432, lookup=answering([PUBLIC]))

    assert "HEADWATER_ALLOW_NETWORKS" in (caught.value.hint or "")


@pytest.mark.parametrize("host", [*NEVER, *NAMES])
@pytest.mark.parametrize("networks", [PRIVATE, EVERYTHING])
def test_metadata_and_multicast_stay_closed_whatever_is_allowed(
    host: str, networks: tuple[str, ...]
) -> None:
    with pytest.raises(HostRefused):
        Guard(networks).resolve(host, 80, lookup=answering([PUBLIC]))


@pytest.mark.parametrize(
    "address", [each.strip("[]") for each in [*CLOSED, *NEVER] if each.isascii()]
)
def test_a_name_at_a_closed_address_is_closed_and_the_address_not_told(address: str) -> None:
    with pytest.raises(HostRefused) as caught:
        Guard().resolve("db.example.com", 5432, lookup=answering([address]))

    assert caught.value.message == "The host db.example.com is not open to sources."
    assert address not in f"{caught.value} {caught.value.hint}"


def test_one_closed_answer_among_public_ones_closes_the_name() -> None:
    with pytest.raises(HostRefused):
        Guard().resolve(
            "db.example.com", 5432, lookup=answering([PUBLIC, "10.0.0.1", "2606:2800::1"])
        )


def test_public_addresses_are_open_in_the_resolvers_order_and_only_a_few() -> None:
    many = [f"93.184.216.{n}" for n in range(20, 40)]

    found = Guard().resolve(
        "db.example.com", 5432, lookup=answering(["2606:2800::1", *many, "2606:2800::1"])
    )

    assert found == ("2606:2800::1", *many[: ADDRESSES_MAX - 1])


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("::1", "::1/128"),
        ("192.0.2.1", "0.0.0.0/0"),
        ("4000::1", "4000::/16"),
    ],
)
def test_allowed_networks_are_open_and_no_others(host: str, network: str) -> None:
    assert Guard((network,)).resolve(host, 5432) == (host.removeprefix("::ffff:"),)
    with pytest.raises(HostRefused):
        Guard(("192.168.0.0/16",)).resolve(host, 5432)


def test_a_translated_address_is_not_opened_by_the_network_it_hides() -> None:
    with pytest.raises(HostRefused):
        Guard(("127.0.0.0/8",)).resolve("2002:7f00:1::", 5432)
    with pytest.raises(ValueError, match="64:ff9b"):
        Guard(("64:ff9b::/96",))


def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_given() -> None:
    lookup = answering([PUBLIC], ["127.0.0.1"])

    assert Guard().resolve("rebind.example.com", 5432, lookup=lookup) == (PUBLIC,)
    with pytest.raises(HostRefused):
        Guard().resolve("rebind.example.com", 5432, lookup=lookup)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "localhost", "db.example.com", "[::1]"],
)
@pytest.mark.parametrize(
    "denied", ["127.0.0.1:5432", "localhost:5432", "0.0.0.0:5432", "[::1]:5432"]
)
def test_our_own_services_are_closed_under_every_name_of_this_machine(
    host: str, denied: str
) -> None:
    def lookup(name: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        known = {"localhost": ["127.0.0.1"], "db.example.com": ["127.0.0.1"]}
        return answering(known.get(name, [name]))(name, port)

    guard = Guard(EVERYTHING, deny=(denied,))

    with pytest.raises(HostRefused):
        guard.resolve(host, 5432, lookup=lookup)
    assert guard.resolve(host, 5433, lookup=lookup)


def test_our_own_services_are_closed_by_name_and_by_address_on_other_machines() -> None:
    def lookup(name: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return answering(["10.0.0.5"] if name in {"redis", "alias"} else ["10.0.0.6"])(name, port)

    guard = Guard(PRIVATE, deny=("Redis.:6379",))

    for host in ("redis", "REDIS.", "alias", "10.0.0.5", "::ffff:10.0.0.5"):
        with pytest.raises(HostRefused):
            guard.resolve(host, 6379, lookup=lookup)
    assert guard.resolve("other", 6379, lookup=lookup) == ("10.0.0.6",)
    assert guard.resolve("redis", 5432, lookup=lookup) == ("10.0.0.5",)


def test_a_denied_name_that_does_not_resolve_closes_nothing_else() -> None:
    guard = Guard(PRIVATE, deny=("gone.invalid:5432",))

    assert guard.resolve("127.0.0.1", 5432) == ("127.0.0.1",)
    with pytest.raises(HostRefused):
        guard.resolve("gone.invalid", 5432)


def test_an_unknown_name_may_be_known_later() -> None:
    def lookup(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for resolver in (lookup, answering([])):
        with pytest.raises(
            HostUnknown, match=r"The host db\.example\.com is not known\."
        ) as caught:
            Guard().resolve("db.example.com", 5432, lookup=resolver)
        assert caught.value.retryable


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_that_are_none_are_refused(port: int) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        Guard().resolve(PUBLIC, port)
    assert caught.value.field == "port"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("DB.Example.COM.", "db.example.com"),
        ("my_database", "my_database"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("[2606:2800:0::1]", "2606:2800::1"),
        ("::FFFF:93.184.216.34", PUBLIC),
        ("1password.com", "1password.com"),
        ("123.example", "123.example"),
    ],
)
def test_a_host_has_one_normal_spelling(written: str, normal: str) -> None:
    assert normal_host(written) == normal
    assert normal_host(normal) == normal


def test_a_guard_crosses_to_a_child_process() -> None:
    guard = Guard(PRIVATE, deny=("127.0.0.1:6379",))

    assert pickle.loads(pickle.dumps(guard)) == guard


def test_a_network_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="10"):
        Guard(("10.0.0.1/8",))
