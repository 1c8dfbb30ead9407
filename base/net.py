"""The outbound guard: the one place that decides which addresses a source may be at.

A host is resolved once, every answer is judged, and the caller connects to an address that was judged, never to the
name: a name that changes its answer in between gains nothing. What a block of addresses is for comes from `ssrfguard`'s
table of the IANA registries; what no setting may open is listed here.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import ssrfguard

from base.errors import ConnectionFailed

Address = IPv4Address | IPv6Address
Lookup = Callable[..., Iterable[tuple[Any, ...]]]

HOST_CHARACTERS_MAX = 253  # what DNS can carry
PORT_MAX = 65_535
ADDRESSES_MAX = 4  # of one name that are worth a try
UNIX_PATH_BYTES_MAX = 107  # of the address of a unix socket

_NEVER_NAMES = frozenset(
    {
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
_NEVER_NETWORKS = tuple(
    ip_network(text)
    for text in (
        "169.254.169.254/32",  # metadata of AWS, Azure, Google Cloud and most others
        "169.254.170.2/32",  # credentials of AWS ECS tasks
        "169.254.170.23/32",  # credentials of AWS EKS pods
        "100.100.100.200/32",  # Alibaba Cloud
        "192.0.0.192/32",  # Oracle Cloud
        "168.63.129.16/32",  # Azure's host
        "fd00:ec2::254/128",  # AWS over IPv6
        "fd00:ec2::23/128",  # AWS EKS pods over IPv6
        "fd20:ce::254/128",  # Google Cloud over IPv6
        "0.0.0.0/8",  # "this host": connects to loopback
        "::/128",
        "224.0.0.0/4",  # multicast
        "ff00::/8",
        "255.255.255.255/32",
    )
)
_GLOBAL = ip_network("2000::/3")  # all of IPv6 that is given out for the public
_NAT64 = ip_network("64:ff9b::/96")
_V4_COMPATIBLE = ip_network("::/96")
_V4_TRANSLATED = ip_network("::ffff:0:0:0/96")
_LOOPBACK = ip_address("::1")  # has the form of a compatible 0.0.0.1, and is none
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")  # compose names have underscores
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class HostRefused(ConnectionFailed):
    """The host is written in a way that hides an address, or is at one that is not open to sources."""


class HostUnknown(ConnectionFailed):
    """The name has no address now."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses outbound connections may go to. Picklable, so that child processes carry it.

    `allow_networks` are CIDRs opened although they are not public; `deny` are `host:port` pairs of our own services,
    which stay closed whatever is allowed, under each name and address of the machine they are on. Raises ValueError for
    a network that is none.
    """

    allow_networks: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._policy()

    def resolve(
        self, host: str, port: int, *, lookup: Lookup = socket.getaddrinfo
    ) -> tuple[str, ...]:
        """The addresses of a host, all of them checked, in the order to try them; connect to these, not to the host.

        Resolves once. Raises `HostRefused` when the host or any of its addresses is closed, `HostUnknown` when it has
        none. Blocks for as long as the system's resolver does.
        """
        name = normal_host(host)
        if not 1 <= port <= PORT_MAX:
            raise HostRefused(f"{port} is not a port.", field="port")
        if name in _NEVER_NAMES or (name, port) in self._denied_names():
            raise _closed(name)
        addresses = _look_up(name, port, lookup)
        if any(self._is_closed(address) for address in addresses):
            raise _closed(name)
        if self._is_ours(addresses, port, lookup):
            raise _closed(name)
        return tuple(str(address) for address in addresses[:ADDRESSES_MAX])

    def _policy(self) -> ssrfguard.Policy:
        return ssrfguard.Policy(
            allowed_networks=tuple(ip_network(network) for network in self.allow_networks)
        )

    def _is_closed(self, address: Address) -> bool:
        reached = (address, *_carried(address))
        if any(one in network for one in reached for network in _NEVER_NETWORKS):
            return True
        # The table knows what is set apart, but not what was never given out.
        is_v4 = isinstance(address, IPv4Address)
        is_public = is_v4 or address in _GLOBAL or address in _NAT64
        if not is_public and not self._is_allowed(address):
            return True
        try:
            self._policy().check_address(address)
        except ssrfguard.BlockedAddressError:
            return True
        return False

    def _is_allowed(self, address: Address) -> bool:
        return any(address in ip_network(network) for network in self.allow_networks)

    def _denied_names(self) -> set[tuple[str, int]]:
        return set(map(_split, self.deny))

    def _is_ours(self, addresses: Iterable[Address], port: int, lookup: Lookup) -> bool:
        """Whether one of our own services listens there, also under another address of this machine."""
        denied: set[Address] = set()
        for name, denied_port in self._denied_names():
            if denied_port == port:
                with contextlib.suppress(HostUnknown):
                    denied.update(_look_up(name, port, lookup))
        here = any(_is_this_machine(address) for address in denied)
        return any(
            address in denied or (here and _is_this_machine(address))
            for each in addresses
            for address in (each, *_carried(each))
        )


def normal_host(host: str) -> str:
    """A host name or address in its one normal spelling; raises `HostRefused` for any that could be read in two ways.

    Lower case, IDNA-encoded, without trailing dot or brackets. Refused: decimal, octal, hexadecimal and short forms of
    addresses, zone ids, paths of sockets, lists of hosts, user names, control characters.
    """
    if not 0 < len(host) <= HOST_CHARACTERS_MAX:
        raise _malformed()
    text = _ascii(host).lower()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
        if ":" not in text:
            raise _malformed()
    if "%" not in text:  # a zone names an interface of ours
        with contextlib.suppress(ValueError):
            return str(_unmapped(ip_address(text)))
    labels = text.removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        raise _malformed()
    return ".".join(labels)


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise _malformed() from error


def _look_up(name: str, port: int, lookup: Lookup) -> list[Address]:
    try:
        answers = list(lookup(name, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise _unknown(name) from error
    addresses = {_unmapped(ip_address(str(answer[4][0]))): None for answer in answers}
    if not addresses:
        raise _unknown(name)
    return list(addresses)


def _unmapped(address: Address) -> Address:
    """The address itself, or the IPv4 address that an IPv6 spelling of it maps."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _carried(address: Address) -> tuple[Address, ...]:
    """IPv4 addresses that a translator would send packets on to."""
    if isinstance(address, IPv4Address):
        return ()
    carried: list[Address] = list(address.teredo or ())
    if address.sixtofour is not None:
        carried.append(address.sixtofour)
    is_compatible = address in _V4_COMPATIBLE and address != _LOOPBACK
    if is_compatible or address in _NAT64 or address in _V4_TRANSLATED:
        carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(carried)


def _is_this_machine(address: Address) -> bool:
    """Whether a packet to this address stays here: only then can a socket be bound to it."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP versions
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _split(pair: str) -> tuple[str, int]:
    host, _, port = pair.rpartition(":")
    return host.strip("[]").lower().removesuffix("."), int(port)


def _malformed() -> HostRefused:
    return HostRefused(
        "The host is not a plain host name or address.",
        hint="Give one name like db.example.com, or one address like 203.0.113.7 or 2001:db8::7.",
        field="host",
    )


def _unknown(name: str) -> HostUnknown:
    return HostUnknown(f"The host {name} is not known.", hint="Check the spelling.", field="host")


def _closed(name: str) -> HostRefused:
    return HostRefused(
        f"The host {name} is not open to sources.",
        hint="Private networks are opened by HEADWATER_ALLOW_NETWORKS; this server's own services never are.",
        field="host",
    )


@contextlib.contextmanager
def unix_address(path: Path) -> Iterator[str]:
    """An address for a unix socket whose path may be too long for one: by way of its open folder, on Linux."""
    if len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
