from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest
from pymysql.constants import COMMAND

from base.errors import ConnectionFailed, InvalidInput
from base.net import Guard
from connectors.connector import ReadLimits, Selection
from connectors.errors import (
    AddressRefused,
    BadCredentials,
    SourceUnreachable,
)
from connectors.mysql import KIND
from tests import databases
from tests.clients import free_port
from tests.connectors import peers
from tests.connectors.peers import connect, packet
from tests.databases import MysqlServer

Cursor = pymysql.cursors.Cursor


@pytest.fixture(scope="module")
def url(mysql_server: MysqlServer) -> Iterator[str]:
    with databases.mysql_database(mysql_server.url) as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[Cursor]:
    with databases.mysql_session(url) as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+02:00'")
        cursor.execute("SHOW FULL TABLES")
        for name, kind in cursor.fetchall():
            quoted = "`" + name.replace("`", "``") + "`"
            cursor.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted}")
        yield cursor


def test_check_tells_the_server_and_its_version(url: str) -> None:
    with closing(connect(KIND, {"url": url})) as source:
        health = source.check()

    assert health.message == f"Connected to the database {url.rpartition('/')[2]} as root."
    assert (health.server_version or "").startswith(("MariaDB 1", "MySQL "))


SECRET = "s3cret-canary"
FIELDS = {"host": "127.0.0.1", "database": "mysql", "username": "someone", "password": SECRET}


def test_the_checked_address_is_dialled_and_the_name_never_looked_up(url: str) -> None:
    raw = {"url": url.replace("127.0.0.1", "pinned.invalid")}
    with closing(connect(KIND, raw, guard=peers.Pinned())) as source:
        assert source.check().server_version
        assert source.tables() is not None


def failure(
    raw: dict[str, Any], guard: Guard = peers.LOOPBACK, connect_seconds: int = 60
) -> ConnectionFailed:
    limits = ReadLimits(connect_seconds=connect_seconds)
    with (
        closing(connect(KIND, raw, guard=guard, limits=limits)) as source,
        pytest.raises(ConnectionFailed) as caught,
    ):
        source.check()
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    return caught.value


@pytest.fixture
def user(url: str, database: Cursor) -> Iterator[str]:
    """A user with the password `SECRET` who may read the table `open` alone."""
    name = f"reader_{secrets.token_hex(4)}"
    database.execute("CREATE TABLE open (id int)")
    database.execute("CREATE TABLE shut (id int)")
    database.execute(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{SECRET}'")
    database.execute(f"GRANT SELECT ON `{url.rpartition('/')[2]}`.open TO {name}@'127.0.0.1'")
    yield name
    database.execute(f"DROP USER {name}@'127.0.0.1'")


def as_user(url: str, user: str, password: str = SECRET) -> dict[str, Any]:
    """What a user of the database at this address would write."""
    parts = urlsplit(url)
    assert parts.port
    database = parts.path.removeprefix("/")
    return {
        **FIELDS,
        "port": parts.port,
        "database": database,
        "username": user,
        "password": password,
    }


def test_a_user_reads_what_was_granted(url: str, user: str) -> None:
    with closing(connect(KIND, as_user(url, user))) as source:
        assert [table.name for table in source.tables()] == ["open"]


def test_a_wrong_password_is_no_reason_to_try_again(url: str, user: str) -> None:
    error = failure(as_user(url, user, "wrong"))

    assert isinstance(error, BadCredentials)
    assert not error.retryable
    assert error.message == f"MySQL refused the user {user} with this password."


def test_a_database_of_others_is_refused_and_a_missing_one_named(url: str, user: str) -> None:
    assert isinstance(failure({**as_user(url, user), "database": "mysql"}), BadCredentials)
    missing = failure({"url": url.rpartition("/")[0] + "/no_such_database"})
    assert missing.message == "There is no database no_such_database on this server."
    assert not missing.retryable


def test_closed_silent_and_foreign_ports_look_the_same() -> None:
    with peers.serve(peers.answer_in_http) as foreign, peers.serve(peers.say_nothing) as silent:
        ports = [free_port(), foreign, silent]
        errors = [failure({**FIELDS, "port": port}, connect_seconds=2) for port in ports]

    assert [
        error.message.replace(str(port), "PORT") for error, port in zip(errors, ports, strict=True)
    ] == ["No MySQL server answered at 127.0.0.1:PORT."] * 3
    assert all(isinstance(error, SourceUnreachable) and error.retryable for error in errors)


CAN = struct.pack("<H", 0xF7FF)
GREETING = peers.mysql_greeting()
END = packet(3, b"\xfe\0\0\x02\0")
# The definition of the column v: a text.
VERSION = packet(2, b"\3def\0\0\0\1v\0" + struct.pack("<BHIBHBH", 12, 45, 100, 253, 0, 0, 0))


@pytest.mark.parametrize(
    ("greeting", "answer"),
    [
        (packet(0, b""), b""),
        (packet(0, b"\x0a"), b""),
        (packet(0, b"\x0a8.0\0" + bytes(4) + b"a" * 8 + b"\0" + CAN), b""),
        (packet(0, b"\xff"), b""),
        (GREETING, packet(2, b"\xff")),
        (GREETING, packet(2, b"\xfemysql_old_password\0" + b"a" * 8 + b"\0")),
        (GREETING, packet(2, b"\xfe")),
    ],
)  # fmt: skip
def test_a_greeting_that_is_none_is_a_foreign_port(greeting: bytes, answer: bytes) -> None:
    with peers.serve(peers.greet_as_mysql(greeting, answer)) as port:
        error = failure({**FIELDS, "port": port, "ssl_mode": "disable"})

    assert isinstance(error, SourceUnreachable)
    assert error.message == f"No MySQL server answered at 127.0.0.1:{port}."


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (packet(1, b"\xff"), "error"),
        (packet(1, b"\xff\x28\x04"), "IndexError"),
        (packet(1, b"\1") + packet(2, b"\xfb"), "IndexError"),
        (packet(1, b"\1") + packet(2, b"\x05abc"), "AssertionError"),
        (packet(1, b"\1") + VERSION + packet(3, b"no end"), "AssertionError"),
        (packet(1, b"\1") + VERSION + END + packet(4, b"\x09abc") + END, "AssertionError"),
        (packet(1, b"\1") + VERSION + END + packet(4, b"\xfe\0\0\x02\0"), "IndexError"),
        (packet(1, b"\1") + VERSION + END + packet(4, b"\1\xff"), "UnicodeDecodeError"),
        (packet(1, b"\xfb/etc/passwd"), "RuntimeError"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_of_the_source(answer: bytes, error: str) -> None:
    statement = bytes([COMMAND.COM_QUERY]) + b"SELECT version()"
    with peers.serve(peers.answer_as_mysql({statement: answer})) as port:
        found = failure({**FIELDS, "port": port, "ssl_mode": "disable"})

    assert found.message == (
        f"MySQL answered in a way that cannot be read, while the version was ({error})."
    )


def test_an_unknown_host_is_unreachable_and_a_closed_network_refused() -> None:
    assert isinstance(failure({**FIELDS, "host": "db.invalid"}), SourceUnreachable)
    assert isinstance(failure(FIELDS, guard=Guard()), AddressRefused)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_without_tls_is_not_talked_to_in_the_clear_when_tls_is_asked_for(
    mode: str, mariadb_url: str
) -> None:
    url = f"{mariadb_url}mysql?ssl-mode={mode}"
    assert isinstance(failure({"url": url}), SourceUnreachable)


def test_a_server_that_asks_for_a_file_gets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "canary"
    path.write_text(SECRET)
    received: list[bytes] = []

    with peers.serve(peers.ask_for_a_file(str(path), received)) as port:
        failure({**FIELDS, "port": port, "password": None})

    assert len(received) >= 2
    assert not any(SECRET.encode() in data for data in received)
    local_files = 0x80
    assert not int.from_bytes(received[0][:4], "little") & local_files


@pytest.mark.parametrize(
    ("mode", "name", "is_known", "expected"),
    [
        ("verify-full", "pinned.invalid", True, BadCredentials),
        ("verify-full", "other.invalid", True, ConnectionFailed),
        ("verify-full", "pinned.invalid", False, ConnectionFailed),
        ("verify-ca", "other.invalid", True, BadCredentials),
        ("verify-ca", "other.invalid", False, ConnectionFailed),
        ("require", "other.invalid", False, BadCredentials),
    ],
)
def test_tls_verifies_the_name_though_an_address_is_dialled(
    mode: str, name: str, is_known: object, expected: type[ConnectionFailed], tmp_path: Path
) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(peers.certificate(name))
    public = "-----BEGIN CERT" + pem.read_text().partition("-----BEGIN CERT")[2]
    options = {"ssl_ca": public} if is_known else {}

    with peers.serve(peers.refuse_over_tls_as_mysql(pem)) as port:
        raw = {
            **FIELDS,
            "host": "pinned.invalid",
            "port": port,
            "ssl_mode": mode,
            "options": options,
        }
        error = failure(raw, guard=peers.Pinned())

    assert type(error) is expected
    if expected is ConnectionFailed:
        assert error.message == "The TLS certificate of pinned.invalid could not be verified."


def test_an_authority_is_given_as_text_and_never_as_a_path() -> None:
    for value in (
        "/etc/ssl/certs/ca-certificates.crt",
        "",
        peers.certificate("a.example"),
        "-----BEGIN CERTIFICATE-----\nx",
        5,
    ):
        with pytest.raises(InvalidInput) as caught:
            KIND.parse({**FIELDS, "options": {"ssl_ca": value}})
        assert caught.value.field == "options.ssl_ca"


def test_a_url_is_the_same_as_its_fields() -> None:
    by_url = KIND.parse(
        {
            "engine": "mysql",
            "url": "mariadb://ann:p%40ss@DB.example.com/shop?charset=utf8mb4&connect_timeout=3",
        }
    )
    by_fields = KIND.parse({"host": "db.example.com", "database": "shop", "username": "ann", "password": "p@ss",
                            "options": {"charset": "utf8mb4", "connect_timeout": 3}})  # fmt: skip

    assert by_url == by_fields
    assert by_url[0]["port"] == 3306
    assert by_url[1] == {"password": "p@ss"}


@pytest.mark.parametrize(
    "option",
    ["local_infile", "allow_local_infile", "unix_socket", "read_default_file", "ssl_cert", "ssl_key", "init_command", "bind_address",
     "client_flag", "server_public_key", "cursorclass", "conv", "sql_mode", "host", "passwd", "a b", "x.y"],
)  # fmt: skip
def test_other_options_are_refused(option: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        KIND.parse({**FIELDS, "options": {option: "x"}})
    assert caught.value.field == (f"options.{option}" if option.isidentifier() else "options")
    with pytest.raises(InvalidInput) as caught:
        KIND.parse({"url": f"mysql://a:{SECRET}@h/d?{option.replace(' ', '%20')}=x"})
    assert caught.value.field == "url"


def test_another_charset_is_refused() -> None:
    with pytest.raises(InvalidInput, match="The option charset is always utf8mb4"):
        KIND.parse({**FIELDS, "options": {"charset": "latin1"}})


CLEAR = b"\xfemysql_clear_password\0"
DIALOG = b"\xfedialog\0\x05Password: "
SHA256 = b"\xfesha256_password\0" + b"a" * 20 + b"\0"


def test_a_mysql_8_server_gets_the_password_over_tls(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(peers.certificate("pinned.invalid"))
    public = "-----BEGIN CERT" + pem.read_text().partition("-----BEGIN CERT")[2]
    received: list[bytes] = []
    answer = peers.ask_for_the_password(peers.ASK_FOR_THE_PASSWORD, received, pem=pem)

    with peers.serve(answer) as port:
        raw = {**FIELDS, "host": "pinned.invalid", "port": port, "ssl_mode": "verify-full"}
        error = failure({**raw, "options": {"ssl_ca": public}}, guard=peers.Pinned())

    assert received == [SECRET.encode() + b"\0"]
    assert isinstance(error, BadCredentials)
    assert error.message == "MySQL refused the user someone with this password."


@pytest.mark.parametrize(
    ("question", "greeting"),
    [
        (peers.ASK_FOR_THE_PASSWORD, peers.CACHING_SHA2),
        (CLEAR, peers.CACHING_SHA2),
        (DIALOG, b"mysql_native_password"),
        (SHA256, b"mysql_native_password"),
        (b"\x01-----BEGIN PUBLIC KEY-----", b"sha256_password"),
    ],
)
@pytest.mark.parametrize("mode", ["disable", "prefer"])
def test_without_tls_the_password_is_not_sent_nor_encrypted_for_whoever_asks(
    mode: str, question: bytes, greeting: bytes
) -> None:
    received: list[bytes] = []

    with peers.serve(peers.ask_for_the_password(question, received, greeting=greeting)) as port:
        error = failure({**FIELDS, "port": port, "ssl_mode": mode})

    assert isinstance(error, BadCredentials)
    assert not error.retryable
    assert (error.field, error.message) == (
        "ssl_mode",
        "MySQL wants the password of someone itself, which is sent over TLS alone.",
    )
    assert received in ([], [b""])


@pytest.mark.parametrize("code", [1040, 1203, 1226])
def test_a_server_that_is_full_is_tried_again(code: int) -> None:
    with peers.serve(peers.refuse_as_mysql(code, "Too many connections")) as port:
        error = failure({**FIELDS, "port": port})

    assert isinstance(error, SourceUnreachable)
    assert error.retryable
    assert error.message == "MySQL has no connection left for the user someone: too many are open."


def test_a_server_that_wants_tls_says_so() -> None:
    with peers.serve(peers.refuse_as_mysql(3159, "insecure transport")) as port:
        error = failure({**FIELDS, "port": port, "ssl_mode": "disable"})

    assert isinstance(error, BadCredentials)
    assert (error.field, error.retryable) == ("ssl_mode", False)
    assert error.message == "MySQL takes connections over TLS alone."


def test_a_server_that_is_offline_is_tried_again() -> None:
    with peers.serve(peers.refuse_as_mysql(3032, "offline mode")) as port:
        error = failure({**FIELDS, "port": port})

    assert isinstance(error, SourceUnreachable)
    assert error.message == "MySQL takes no connections at the moment."


def test_a_users_own_limit_is_kept_to_with_one_connection_a_source(
    url: str, user: str, database: Cursor
) -> None:
    database.execute(f"ALTER USER {user}@'127.0.0.1' WITH MAX_USER_CONNECTIONS 1")
    raw = as_user(url, user)
    with closing(connect(KIND, raw)) as source:
        assert source.check()
        assert [table.name for table in source.tables()] == ["open"]
        assert list(source.read(Selection("open")).batches) == []
        error = failure(raw)

    assert isinstance(error, SourceUnreachable)
    assert "too many are open" in error.message
