"""Signed links: each field counts, and time ends them."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

import pytest

from storage.signing import LinkExpired, LinkInvalid, Signer

PATH = "/files/uploads/1/a"
SIGNER = Signer(b"k" * 32)


def signed(**fields: str) -> list[tuple[str, str]]:
    return parse_qsl(SIGNER.query("GET", PATH, fields, expires_in=60), keep_blank_values=True)


def test_a_signed_link_gives_its_fields_back() -> None:
    before = int(time.time())
    fields = SIGNER.verify("GET", PATH, signed(name="ü &=?\r\n.csv", empty=""))

    assert fields["name"] == "ü &=?\r\n.csv"
    assert fields["empty"] == ""
    assert fields["version"] == "1"
    assert before + 60 <= int(fields["expires"]) <= int(time.time()) + 60


@pytest.mark.parametrize("field", ["name", "bytes_max", "version", "key", "expires", "signature"])
def test_each_changed_field_refuses_the_link(field: str) -> None:
    query = signed(name="a.csv", bytes_max="100")
    changed = [(k, v[:-1] + ("0" if v[-1] != "0" else "1") if k == field else v) for k, v in query]
    dropped = [(k, v) for k, v in query if k != field]
    repeated = [*query, (field, dict(query)[field])]
    overridden = [(field, "1"), *query]

    assert changed != query
    for tampered in (changed, dropped, repeated, overridden):
        with pytest.raises(LinkInvalid):
            SIGNER.verify("GET", PATH, tampered)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", PATH), ("get", PATH), ("GET", PATH + "b"), ("GET", PATH[1:]), ("GET", "")],
)
def test_another_method_or_path_refuses_the_link(method: str, path: str) -> None:
    with pytest.raises(LinkInvalid):
        SIGNER.verify(method, path, signed(name="a"))


def test_an_added_field_refuses_the_link() -> None:
    with pytest.raises(LinkInvalid):
        SIGNER.verify("GET", PATH, [*signed(), ("bytes_max", "9")])


@pytest.mark.parametrize(
    "query", [[], [("signature", "")], [("signature", "é")], [("signature", "0" * 64)]]
)
def test_no_real_signature_refuses_the_link(query: list[tuple[str, str]]) -> None:
    with pytest.raises(LinkInvalid):
        SIGNER.verify("GET", PATH, query)


def test_fields_cannot_flow_into_each_other() -> None:
    one = dict(signed(a='x"],["b', b="y"))
    other = dict(signed(a="x", b='"],["y'))

    assert one["signature"] != other["signature"]


def test_a_key_of_somebody_else_refuses_the_link() -> None:
    with pytest.raises(LinkInvalid):
        Signer(b"j" * 32).verify("GET", PATH, signed())


def test_time_ends_a_link_to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    query = signed()

    now += 59.9
    SIGNER.verify("GET", PATH, query)
    now += 0.1
    with pytest.raises(LinkExpired):
        SIGNER.verify("GET", PATH, query)
