"""Accounts of MariaDB and MySQL, and how their passwords travel."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pymysql
import pytest

from base.errors import ConnectionFailed
from connectors.connector import Selection
from connectors.errors import BadCredentials, SourceUnreachable
from connectors.mysql import KIND
from tests import databases
from tests.connectors.peers import connect
from tests.databases import MysqlServer

Cursor = pymysql.cursors.Cursor
SECRET = "s3cret-canary"


@pytest.fixture(scope="module")
def url(mysql_server: MysqlServer) -> Iterator[str]:
    with databases.mysql_database(mysql_server.url) as made:
        with databases.mysql_session(made) as cursor:
            for table in ("open", "shut"):
                cursor.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, hidden int)")
                cursor.execute(f"INSERT INTO {table} VALUES (1, 2)")
        yield made


@pytest.fixture
def admin(url: str) -> Iterator[Cursor]:
    with databases.mysql_session(url) as cursor:
        yield cursor


Make = Callable[..., dict[str, Any]]


@pytest.fixture
def account(url: str, admin: Cursor) -> Iterator[Make]:
    """Makes a user who may read the table `open`; answers what such a user would write."""
    made: list[str] = []
    parts = urlsplit(url)

    def make(how: str = f"IDENTIFIED BY '{SECRET}'", grant: str = "SELECT") -> dict[str, Any]:
        name = f"reader_{secrets.token_hex(4)}"
        admin.execute(f"CREATE USER {name}@'127.0.0.1' {how}")
        made.append(name)
        if grant:
            admin.execute(f"GRANT {grant} ON open TO {name}@'127.0.0.1'")
        return {
            "host": "127.0.0.1", "port": parts.port, "database": parts.path.removeprefix("/"),
            "username": name, "password": SECRET,
        }  # fmt: skip

    yield make
    for name in made:
        admin.execute(f"DROP USER {name}@'127.0.0.1'")


def rows(raw: dict[str, Any]) -> list[dict[str, Any]]:
    with closing(connect(KIND, raw)) as source:
        return [row for b in source.read(Selection("open")).batches for row in b.data.to_pylist()]


def refusal(raw: dict[str, Any]) -> ConnectionFailed:
    with closing(connect(KIND, raw)) as source, pytest.raises(ConnectionFailed) as caught:
        source.check()
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    return caught.value


ROWS = [{"id": 1, "hidden": 2}]
PLUGINS = {
    "mariadb": ["mysql_native_password"],
    "mysql": ["caching_sha2_password", "sha256_password"],
}


def test_every_way_to_prove_a_password_reads(mysql_server: MysqlServer, account: Make) -> None:
    plugins = PLUGINS["mariadb" if mysql_server.is_mariadb else "mysql"]
    if (8, 0) <= mysql_server.version < (8, 4):
        plugins = [*plugins, "mysql_native_password"]
    for plugin in plugins:
        by = "USING password" if mysql_server.is_mariadb else "BY "
        how = f"IDENTIFIED WITH {plugin} {by}"
        how += f"('{SECRET}')" if mysql_server.is_mariadb else f"'{SECRET}'"
        raw = account(how)
        assert rows(raw) == ROWS, plugin
        assert refusal({**raw, "password": "wrong"}).message == (
            f"MySQL refused the user {raw['username']} with this password."
        )


def test_a_password_that_the_server_has_not_seen_goes_over_tls_alone(
    mysql_server: MysqlServer, account: Make
) -> None:
    raw = account()
    in_the_clear = {**raw, "ssl_mode": "disable"}
    if not mysql_server.is_mariadb:  # whose challenge tells nobody the password
        error = refusal(in_the_clear)
        assert (type(error), error.retryable, error.field, error.message) == (
            BadCredentials, False, "ssl_mode",
            f"MySQL wants the password of {raw['username']} itself, which is sent over TLS alone.",
        )  # fmt: skip

        assert rows({**raw, "ssl_mode": "require"}) == ROWS

    assert rows(in_the_clear) == ROWS  # by a challenge: the server has seen it now


def test_no_password_needs_no_tls(account: Make) -> None:
    raw = {**account(""), "password": None, "ssl_mode": "disable"}
    assert rows(raw) == ROWS
    assert type(refusal({**raw, "password": "wrong"})) is BadCredentials


def authority(url: str) -> str:
    """What signed the certificate of the server at this address, as PEM: the server sends it as well."""
    driver: Any = databases.mysql_connection(url)
    with closing(driver):
        chain = driver._sock._sslobj.get_unverified_chain()  # which Python 3.13 makes public
        text: str = chain[-1].public_bytes(1)
        return text


MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"]
REFUSED = "The TLS certificate of 127.0.0.1 could not be verified."


@pytest.mark.parametrize("mode", MODES)
def test_each_tls_mode_does_what_it_says(
    mode: str, url: str, mysql_server: MysqlServer, admin: Cursor, account: Make
) -> None:
    raw = {**account(), "ssl_mode": mode}
    if mysql_server.is_mariadb:  # without TLS
        if mode in {"disable", "prefer"}:
            assert rows(raw) == ROWS
        else:
            assert type(refusal(raw)) is SourceUnreachable
        return
    if mode == "disable":
        assert refusal(raw).field == "ssl_mode"
        return
    if mode.startswith("verify"):
        assert refusal(raw).message == REFUSED
        raw["options"] = {"ssl_ca": authority(url)}
    if mode == "verify-full":  # the certificate that a server makes for itself names no host
        assert refusal(raw).message == REFUSED
        return
    with closing(connect(KIND, raw)) as source:
        assert source.check()
        admin.execute(
            "SELECT connection_type FROM performance_schema.threads WHERE processlist_user = %s",
            [raw["username"]],
        )
        assert admin.fetchall() == (("SSL/TLS",),)


EVERYWHERE, MYSQL = {True, False}, {False}  # whether it is MariaDB
BY = f"IDENTIFIED BY '{SECRET}'"
STATES: dict[str, tuple[set[bool], str, str]] = {
    "expired": (EVERYWHERE, f"{BY} PASSWORD EXPIRE", "The password of the user {} has expired."),
    "locked": (EVERYWHERE, f"{BY} ACCOUNT LOCK", "The account of the user {} is locked."),
    "blocked": (
        MYSQL,
        f"{BY} FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1",
        "The account of the user {} is locked.",
    ),
    "certified": (
        MYSQL,
        f"{BY} REQUIRE X509",
        "MySQL refused the user {} with this password.",
    ),
}
PLACES = [
    pytest.param(server, state, id=f"{server.name}-{state}")
    for server in databases.MYSQL_SERVERS
    for state, (products, _, _) in STATES.items()
    if server.is_mariadb in products
]


@pytest.mark.parametrize(("mysql_server", "state"), PLACES, indirect=["mysql_server"])
def test_an_account_that_is_not_let_in_is_told_why_and_not_tried_again(
    mysql_server: MysqlServer, state: str, account: Make
) -> None:
    assert mysql_server
    _, how, message = STATES[state]
    raw = account(how)
    if state == "blocked":
        refusal({**raw, "password": "wrong"})
    error = refusal(raw)

    assert type(error) is BadCredentials
    assert (error.message, error.retryable) == (message.format(raw["username"]), False)


@pytest.fixture
def role(admin: Cursor) -> Iterator[str]:
    """A role that may read the table `open`."""
    name = f"readers_{secrets.token_hex(4)}"
    admin.execute(f"CREATE ROLE {name}")
    admin.execute(f"GRANT SELECT ON open TO {name}")
    yield name
    admin.execute(f"DROP ROLE {name}")


def test_what_a_default_role_may_read_is_read(
    mysql_server: MysqlServer, admin: Cursor, role: str, account: Make
) -> None:
    raw = account(grant="")
    user = f"{raw['username']}@'127.0.0.1'"
    admin.execute(f"GRANT {role} TO {user}")
    word = "FOR" if mysql_server.is_mariadb else "TO"
    admin.execute(f"SET DEFAULT ROLE {role} {word} {user}")

    assert rows(raw) == ROWS
    with closing(connect(KIND, raw)) as source:
        assert [table.name for table in source.tables()] == ["open"]


def test_columns_that_were_granted_come_alone(account: Make) -> None:
    raw = account(grant="SELECT (hidden)")

    with closing(connect(KIND, raw)) as source:
        (table,) = source.tables()
    assert [column.name for column in table.columns] == ["hidden"]
    assert rows(raw) == [{"hidden": 2}]


@pytest.mark.parametrize("password", ["pä§sword", "пароль€😀", "it's \\ \" %s", "x" * 255])
def test_a_password_of_any_characters_is_taken(password: str, account: Make) -> None:
    quoted = password.replace("\\", "\\\\").replace("'", "''")
    raw = account(f"IDENTIFIED BY '{quoted}'")

    assert rows({**raw, "password": password}) == ROWS
