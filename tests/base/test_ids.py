"""Public ids: reversible, stable for ever, and nothing else parses; where the kind is known, integer keys too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.ids import ID_LENGTH_MAX, PK_MAX, key_of, parse_id, public_id

KINDS = ["project", "dataset", "datasource", "snapshot", "job", "upload", "team", "user", "token"]


@given(st.sampled_from(KINDS), st.integers(0, PK_MAX))
def test_an_id_leads_back_to_its_row(kind: str, pk: int) -> None:
    made = public_id(kind, pk)

    assert parse_id(made) == (kind, pk)
    assert len(made) <= ID_LENGTH_MAX


def test_ids_that_clients_have_stored_stay_what_they_are() -> None:
    assert [public_id("project", pk) for pk in (1, 2, 12_345, PK_MAX)] == [
        "project-Vz7jsrfgZH",
        "project-TKUmdGw9FD",
        "project-X7MADaIxl0",
        "project-Xor8BCaxz1mc",
    ]


def test_ids_of_neighbours_do_not_look_alike() -> None:
    codes = [public_id("job", pk).partition("-")[2] for pk in range(1000)]

    assert len(set(codes)) == 1000
    assert {len(code) for code in codes} == {10}
    assert len({code[:4] for code in codes}) > 900


codes = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", max_size=40)


@given(st.text(max_size=100) | codes.map("project-{}".format))
def test_whatever_parses_is_what_public_id_makes(value: str) -> None:
    parsed = parse_id(value)

    assert parsed is None or public_id(*parsed) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "project",
        "project-",
        "project-1",
        "-",
        "project-" + "a" * 10_000_000,
        "project-Uk9Lx3sT2!",
        public_id("project", 1) + " ",
        public_id("project", 1).upper(),
        "project-" + public_id("project", PK_MAX).partition("-")[2][:-1],
        "project-" + "z" * 30,
    ],
    ids=lambda value: value[:20],
)
def test_junk_is_no_id(value: str) -> None:
    assert parse_id(value) is None


def test_an_id_is_not_read_in_another_spelling() -> None:
    code = public_id("project", 1).partition("-")[2]

    assert parse_id(f"project-{code}{code}") is None
    assert parse_id(f"project--{code}") is None


@given(st.sampled_from(KINDS), st.integers(1, PK_MAX))
def test_where_the_kind_is_known_the_integer_key_does_as_well(kind: str, pk: int) -> None:
    assert key_of(kind, public_id(kind, pk)) == pk
    assert key_of(kind, str(pk)) == pk


@pytest.mark.parametrize(
    "value",
    [
        *["", "0", "01", "+1", "-1", " 1", "1 ", "1\n", "1.0", "1e3", "0x1", "1_000", "٣", "²"],
        str(PK_MAX + 1),
        "9" * 10_000,
        public_id("dataset", 1),
        public_id("project", 1) + "1",
    ],
    ids=lambda value: repr(value[:20]),
)
def test_no_other_spelling_names_a_key(value: str) -> None:
    assert key_of("project", value) is None
