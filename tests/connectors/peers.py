"""Servers that misbehave, and reading a connector to its end."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from base.net import Guard
from base.tables import TableSchema
from connectors.connector import Connection, Connector, Kind, ReadLimits, Selection
from connectors.errors import ReadAgain

LOOPBACK = Guard(allow_networks=("127.0.0.0/8",))
SECONDS_MAX = 120


@contextmanager
def serve(conversation: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server on loopback that holds this conversation with each client."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(SECONDS_MAX)
            with client, suppress(OSError):  # clients leave when they like
                conversation(client)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(SECONDS_MAX)


def answer_in_http(client: socket.socket) -> None:
    """A server of another protocol."""
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def say_nothing(client: socket.socket) -> None:
    """A server that takes connections and waits until they close."""
    while client.recv(1000):
        pass


def refuse_as_postgres(message: str) -> Callable[[socket.socket], None]:
    """A PostgreSQL server that refuses each client with this message."""

    def converse(client: socket.socket) -> None:
        while True:
            length, code = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))
            client.recv(length - 8, socket.MSG_WAITALL)
            if code == 80877103:  # SSLRequest
                client.sendall(b"N")
                continue
            fields = f"SFATAL\0VFATAL\0C28P01\0M{message}\0\0".encode()
            client.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            return

    return converse


def packet(number: int, payload: bytes) -> bytes:
    """A packet of MySQL's protocol."""
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def mysql_greeting(*, has_tls: bool = False, plugin: bytes = b"mysql_native_password") -> bytes:
    """The first packet of a MySQL server."""
    can = 0xFFFF if has_tls else 0xF7FF
    return packet(
        0,
        b"\x0a8.0.99\0" + struct.pack("<I", 1) + b"a" * 8 + b"\0" + struct.pack("<H", can)
        + b"\x2d" + struct.pack("<HH", 2, 0x0008) + b"\x15" + b"\0" * 10 + b"b" * 12 + b"\0"
        + plugin + b"\0",
    )  # fmt: skip


MYSQL_OK = b"\0\0\0\x02\0\0\0"


CACHING_SHA2 = b"caching_sha2_password"
ASK_FOR_THE_PASSWORD = b"\x01\x04"  # of caching_sha2_password: the server has not seen it lately


def _receive(client: socket.socket) -> tuple[int, bytes]:
    """Number and payload of the next packet of MySQL's protocol; nothing once the client is gone."""
    header = client.recv(4, socket.MSG_WAITALL)
    if len(header) < 4:
        return 0, b""
    return header[3], client.recv(int.from_bytes(header[:3], "little"), socket.MSG_WAITALL)


def ask_for_the_password(
    question: bytes,
    received: list[bytes],
    *,
    pem: Path | None = None,
    greeting: bytes = CACHING_SHA2,
) -> Callable[[socket.socket], None]:
    """A MySQL 8 server that answers each login with a question, keeps what it gets, and refuses then."""

    def converse(client: socket.socket) -> None:
        client.sendall(mysql_greeting(has_tls=pem is not None, plugin=greeting))
        if pem is None:
            talk(client)
        else:
            client.recv(36, socket.MSG_WAITALL)
            if secure := _server_side(client, pem):
                with secure:
                    talk(secure)

    def talk(client: socket.socket) -> None:
        number, _ = _receive_slowly(client)
        client.sendall(packet(number + 1, question))
        number, answer = _receive_slowly(client)
        received.append(answer)
        client.sendall(
            packet(number + 1, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied")
        )

    return converse


def _receive_slowly(client: socket.socket) -> tuple[int, bytes]:
    """As `_receive`; TLS cannot wait for all of it at once."""
    if not isinstance(client, ssl.SSLSocket):
        return _receive(client)
    data = client.recv(65_536)
    while len(data) >= 4 and len(data) < 4 + int.from_bytes(data[:3], "little"):
        data += client.recv(65_536)
    return (data[3], data[4:]) if len(data) >= 4 else (0, b"")


def ask_for_a_file(path: str, received: list[bytes]) -> Callable[[socket.socket], None]:
    """A MySQL server that answers each statement with LOAD DATA LOCAL, and keeps all that clients send."""

    def read(client: socket.socket) -> bytes:
        _, data = _receive(client)
        if data:
            received.append(data)
        return data

    def converse(client: socket.socket) -> None:
        client.sendall(mysql_greeting())
        read(client)
        client.sendall(packet(2, MYSQL_OK))
        while read(client):
            client.sendall(packet(1, b"\xfb" + path.encode()))

    return converse


def answer_as_mysql(answers: Mapping[bytes, bytes]) -> Callable[[socket.socket], None]:
    """A MySQL server that answers each command by how it starts, all others with OK."""

    def converse(client: socket.socket) -> None:
        client.sendall(mysql_greeting())
        _receive(client)
        client.sendall(packet(2, MYSQL_OK))
        while command := _receive(client)[1]:
            found = (each for start, each in answers.items() if command.startswith(start))
            client.sendall(next(found, packet(1, MYSQL_OK)))

    return converse


def greet_as_mysql(greeting: bytes, answer: bytes = b"") -> Callable[[socket.socket], None]:
    """A MySQL server that greets so, and answers a login so."""

    def converse(client: socket.socket) -> None:
        client.sendall(greeting)
        if answer and _receive(client)[1]:
            client.sendall(answer)

    return converse


class Pinned(Guard):
    """A guard whose resolver knows one name that no other does."""

    def resolve(self, host: str, port: int, **_: Any) -> tuple[str, ...]:
        assert (host, port > 0) == ("pinned.invalid", True)
        return ("127.0.0.1",)


def connect(
    kind: Kind,
    raw: dict[str, Any],
    *,
    guard: Guard = LOOPBACK,
    limits: ReadLimits | None = None,
) -> Connector:
    """An open connector for what a user wrote."""
    settings, secrets = kind.parse(raw)
    return kind.open(
        Connection(kind.name, settings, secrets, guard=guard, limits=limits or ReadLimits())
    )


def read_all(
    connector: Connector, name: str, schema: str | None = None, *, columns: tuple[str, ...] = ()
) -> tuple[TableSchema, pa.Table]:
    """A whole table, as the engine reads it: again where the connector asks for it, once."""
    selection = Selection(name, schema, columns)
    for _ in range(2):
        reading = connector.read(selection)
        try:
            batches = [batch.data for batch in reading.batches]
        except ReadAgain:
            continue
        return reading.table, pa.Table.from_batches(batches)
    raise AssertionError("asked to read a second time again")


def certificate(name: str) -> str:
    """A self-signed certificate for a host name, with its key, as PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + signed.public_bytes(serialization.Encoding.PEM)).decode()


def _server_side(client: socket.socket, pem: Path) -> ssl.SSLSocket | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    try:
        return context.wrap_socket(client, server_side=True)
    except (ssl.SSLError, OSError):  # the client did not like the certificate
        return None


def refuse_over_tls_as_postgres(pem: Path) -> Callable[[socket.socket], None]:
    """A PostgreSQL server that refuses each client, once TLS stands."""

    def converse(client: socket.socket) -> None:
        client.recv(8, socket.MSG_WAITALL)
        client.sendall(b"S")
        if secure := _server_side(client, pem):
            with secure:
                secure.recv(1000)
                fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
                secure.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)

    return converse


def refuse_as_mysql(code: int, message: str) -> Callable[[socket.socket], None]:
    """A MySQL server that refuses each client with this error instead of a greeting."""

    def converse(client: socket.socket) -> None:
        client.sendall(packet(0, b"\xff" + struct.pack("<H", code) + message.encode()))

    return converse


def refuse_over_tls_as_mysql(pem: Path) -> Callable[[socket.socket], None]:
    """A MySQL server that refuses each client, once TLS stands."""

    def converse(client: socket.socket) -> None:
        client.sendall(mysql_greeting(has_tls=True))
        client.recv(36, socket.MSG_WAITALL)
        if secure := _server_side(client, pem):
            with secure:
                secure.recv(1000)
                secure.sendall(
                    packet(3, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied")
                )

    return converse
