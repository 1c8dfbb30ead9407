from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from base.errors import ConnectionFailed, InvalidInput
from base.net import Guard
from connectors.connector import ReadLimits, Selection
from connectors.errors import (
    AddressRefused,
    BadCredentials,
    SourceUnreachable,
)
from connectors.postgres import KIND
from tests import databases
from tests.clients import free_port
from tests.connectors import peers
from tests.connectors.peers import connect


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    with databases.postgres_database() as made:
        yield made


def test_check_tells_the_server_and_its_version(url: str) -> None:
    with closing(connect(KIND, {"url": url})) as source:
        health = source.check()

    name = url.rpartition("/")[2]
    assert health.message == f"Connected to the database {name} as postgres."
    assert (health.server_version or "").startswith("PostgreSQL 1")


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
    return caught.value


SECRET = "s3cret-canary"
FIELDS = {"host": "127.0.0.1", "database": "postgres", "username": "someone", "password": SECRET}


@pytest.mark.parametrize(
    "message",
    [
        'password authentication failed for user "someone"',
        "mot de passe refusé",
        'no pg_hba.conf entry for host "1.2.3.4"',
    ],
)
def test_a_wrong_password_is_no_reason_to_try_again(message: str) -> None:
    with peers.serve(peers.refuse_as_postgres(message)) as port:
        error = failure({**FIELDS, "port": port})

    assert isinstance(error, BadCredentials)
    assert not error.retryable
    assert error.message == "PostgreSQL refused the user someone with this password."
    assert SECRET not in f"{error} {error.hint}"


@pytest.mark.parametrize(
    "message",
    [
        "sorry, too many clients already",
        'too many connections for database "d"',
        "remaining connection slots are reserved for non-replication superuser connections",
    ],
)
def test_a_server_that_is_full_is_tried_again(message: str) -> None:
    with peers.serve(peers.refuse_as_postgres(message)) as port:
        error = failure({**FIELDS, "port": port})

    assert isinstance(error, SourceUnreachable)
    assert error.retryable
    assert (
        error.message
        == "PostgreSQL has no connection left for the user someone: too many are open."
    )


def test_a_server_that_starts_is_tried_again() -> None:
    with peers.serve(peers.refuse_as_postgres("the database system is starting up")) as port:
        error = failure({**FIELDS, "port": port})

    assert error.retryable
    assert error.message == "PostgreSQL takes no connections at the moment."


def test_a_users_own_limit_is_kept_to_with_one_connection_a_source(postgres_url: str) -> None:
    with databases.postgres_database() as url, psycopg.connect(url, autocommit=True) as session:
        user = url.rpartition("/")[2]
        session.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 1".encode())
        session.execute("CREATE TABLE open (id int)")
        session.execute(f"GRANT SELECT ON open TO {user}".encode())
        raw = {**FIELDS, "username": user, "database": user}
        try:
            with closing(connect(KIND, raw)) as source:
                assert source.check()
                assert [table.name for table in source.tables()] == ["open"]
                assert list(source.read(Selection("open")).batches) == []
                error = failure(raw)
        finally:
            session.execute(f"DROP OWNED BY {user}; DROP ROLE {user}".encode())

    assert isinstance(error, SourceUnreachable)
    assert error.retryable
    assert "too many are open" in error.message


def test_a_connection_without_a_user_is_refused_and_none_is_made_up() -> None:
    for raw in ({"url": "postgresql://h/d"}, {"host": "h", "database": "d"}):
        with pytest.raises(InvalidInput) as caught:
            KIND.parse(raw)
        assert (caught.value.field, caught.value.message) == (
            "username",
            "The username is missing.",
        )


def test_a_missing_database_is_named(postgres_url: str) -> None:
    error = failure({"url": postgres_url.rpartition("/")[0] + "/no_such_database"})

    assert error.message == "There is no database no_such_database on this server."
    assert not error.retryable


def test_an_unknown_user_is_refused(postgres_url: str) -> None:
    assert isinstance(
        failure({"url": postgres_url.replace("postgres@", "nobody_like_this@")}), BadCredentials
    )


def test_closed_silent_and_foreign_ports_look_the_same() -> None:
    with peers.serve(peers.answer_in_http) as foreign, peers.serve(peers.say_nothing) as silent:
        ports = [free_port(), foreign, silent]
        errors = [failure({**FIELDS, "port": port}, connect_seconds=2) for port in ports]

    assert [
        error.message.replace(str(port), "PORT") for error, port in zip(errors, ports, strict=True)
    ] == ["No PostgreSQL server answered at 127.0.0.1:PORT."] * 3
    assert all(isinstance(error, SourceUnreachable) and error.retryable for error in errors)


def test_an_unknown_host_is_unreachable_and_a_closed_network_refused() -> None:
    assert isinstance(failure({**FIELDS, "host": "db.invalid"}), SourceUnreachable)
    refused = failure(FIELDS, guard=Guard())
    assert isinstance(refused, AddressRefused)
    assert "HEADWATER_ALLOW_NETWORKS" in (refused.hint or "")


def test_a_server_without_tls_is_not_talked_to_in_the_clear_when_tls_is_asked_for(
    postgres_url: str,
) -> None:
    with psycopg.connect(postgres_url) as connection:
        if connection.execute("SHOW ssl").fetchone() == ("on",):
            pytest.fail("this test needs a server without TLS")

    assert isinstance(failure({"url": postgres_url + "?sslmode=require"}), SourceUnreachable)


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

    with peers.serve(peers.refuse_over_tls_as_postgres(pem)) as port:
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
            "engine": "postgresql",
            "url": "postgres://ann:p%40ss%23@DB.example.com:6543/my%20db?sslmode=verify-full&application_name=x",
        }
    )
    by_fields = KIND.parse({"host": "db.example.com", "port": 6543, "database": "my db", "username": "ann", "password": "p@ss#",
                            "ssl_mode": "VERIFY_FULL", "options": {"application_name": "x"}, "url": None})  # fmt: skip

    assert by_url == by_fields
    assert by_url == (
        {
            "host": "db.example.com",
            "port": 6543,
            "database": "my db",
            "username": "ann",
            "ssl_mode": "verify-full",
            "options": {"application_name": "x"},
        },
        {"password": "p@ss#"},
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"url": f"postgresql://a:{SECRET}@h/d", "host": "h"}, "url"),
    "scheme": ({"url": f"mysql://a:{SECRET}@h/d"}, "url"),
    "many hosts": ({"url": f"postgresql://a:{SECRET}@h1:1,h2:2/d"}, "url"),
    "many hosts, no port": ({"url": f"postgresql://a:{SECRET}@h1,h2/d"}, "host"),
    "no host": ({"url": f"postgresql://a:{SECRET}@/d"}, "host"),
    "socket": ({"url": f"postgresql://a:{SECRET}@%2Fvar%2Frun/d"}, "host"),
    "host parameter": ({"url": f"postgresql://a:{SECRET}@h/d?host=/var/run"}, "url"),
    "hostaddr": ({"url": f"postgresql://a:{SECRET}@h/d?hostaddr=127.0.0.1"}, "url"),
    "control": ({"url": f"postgresql://a:{SECRET}@h/d\n"}, "url"),
    "raw hash": ({"url": f"postgresql://a:{SECRET}#@h/d"}, "url"),
    "two ats": ({"url": f"postgresql://a:{SECRET}@x@h/d"}, "url"),
    "user": ({"url": "postgresql://h/d"}, "username"),
    "database": ({**FIELDS, "database": ""}, "database"),
    "database type": ({**FIELDS, "database": 5}, "database"),
    "port": ({**FIELDS, "port": 70000}, "port"),
    "port type": ({**FIELDS, "port": True}, "port"),
    "host list": ({**FIELDS, "host": "a,b"}, "host"),
    "host path": ({**FIELDS, "host": "/tmp"}, "host"),
    "abstract socket": ({**FIELDS, "host": "@x"}, "host"),
    "long": ({**FIELDS, "username": "x" * 257}, "username"),
    "ssl mode": ({**FIELDS, "ssl_mode": "maybe"}, "ssl_mode"),
    "field": ({**FIELDS, "object_key": "uploads/1"}, "object_key"),
    "options": ({**FIELDS, "options": "service=x"}, "options"),
    "option value": ({**FIELDS, "options": {"connect_timeout": 0}}, "options.connect_timeout"),
    "option type": ({**FIELDS, "options": {"application_name": "x\n"}}, "options.application_name"),
    **{
        name: ({**FIELDS, "options": {name: "x"}}, f"options.{name}")
        for name in ("service", "servicefile", "passfile", "sslkey", "sslcert", "sslrootcert", "hostaddr", "host", "options",
                     "krbsrvname", "replication", "fallback_application_name", "sslpassword", "require_auth", "dbname")
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_settings_are_refused_at_their_field(case: str) -> None:
    raw, field = REFUSED[case]

    with pytest.raises(InvalidInput) as caught:
        KIND.parse(raw)

    assert caught.value.field == field
    assert SECRET not in f"{caught.value} {caught.value.hint}"
