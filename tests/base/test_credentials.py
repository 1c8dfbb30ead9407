"""Secrets at rest and on their way out."""

from __future__ import annotations

import base64
import json
import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.credentials import MASK, CiphertextInvalid, Keyring, KeyUnknown, generate_key, redact

HERE = "datasource:17:secrets"
SECRETS = {"password": "hunter2 ü", "token": None, "nested": {"a": [1, 2]}}


def test_what_was_encrypted_is_read_again_in_its_place() -> None:
    keyring = Keyring([generate_key()])

    sealed = keyring.encrypt(SECRETS, HERE)

    assert keyring.decrypt(sealed, HERE) == SECRETS
    assert "hunter2" not in sealed
    assert keyring.encrypt(SECRETS, HERE) != sealed


def test_a_ciphertext_moved_to_another_row_is_refused() -> None:
    keyring = Keyring([generate_key()])
    sealed = keyring.encrypt(SECRETS, HERE)

    with pytest.raises(CiphertextInvalid, match="does not belong to datasource:18:secrets"):
        keyring.decrypt(sealed, "datasource:18:secrets")


@pytest.mark.parametrize("place", [12, 20, -3])
def test_a_changed_ciphertext_is_refused(place: int) -> None:
    keyring = Keyring([generate_key()])
    sealed = keyring.encrypt(SECRETS, HERE)
    other = "A" if sealed[place] != "A" else "B"
    changed = sealed[:place] + other + sealed[place:][1:]

    with pytest.raises(CiphertextInvalid):
        keyring.decrypt(changed, HERE)


@pytest.mark.parametrize("junk", ["", "v1", "v1:0:0", "plain text", "v2:00000000:AAAA", "v1::"])
def test_what_is_no_ciphertext_is_said_to_be_none(junk: str) -> None:
    with pytest.raises(CiphertextInvalid, match=f"what is stored for {HERE} is no ciphertext"):
        Keyring([generate_key()]).decrypt(junk, HERE)


def test_a_short_ciphertext_is_refused() -> None:
    keyring = Keyring([generate_key()])
    head = keyring.encrypt(SECRETS, HERE).rpartition(":")[0]

    for body in ("AAAA", base64.urlsafe_b64encode(bytes(12)).decode(), "AAA"):
        with pytest.raises(CiphertextInvalid):
            keyring.decrypt(f"{head}:{body}", HERE)


def test_rotation_reads_with_the_old_key_and_writes_with_the_new() -> None:
    old, new = generate_key(), generate_key()
    sealed = Keyring([old]).encrypt(SECRETS, HERE)
    both = Keyring([new, old])

    again = both.encrypt(both.decrypt(sealed, HERE), HERE)

    assert (both.is_current(sealed), both.is_current(again)) == (False, True)
    assert Keyring([new]).decrypt(again, HERE) == SECRETS
    with pytest.raises(KeyUnknown, match=sealed.split(":")[1]):
        Keyring([new]).decrypt(sealed, HERE)


def test_the_signing_key_comes_from_the_newest_key_and_is_not_it() -> None:
    old, new = generate_key(), generate_key()

    assert Keyring([new, old]).signing_key == Keyring([new]).signing_key
    assert Keyring([old, new]).signing_key != Keyring([new]).signing_key
    assert Keyring([new]).signing_key != base64.urlsafe_b64decode(new)
    assert len(Keyring([new]).signing_key) == 32


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "not base64, clearly!",
        "0123456789abcdef0123456789abcdef0123456789!=",
        base64.urlsafe_b64encode(bytes(32)).decode() + "\n",
        base64.urlsafe_b64encode(bytes(31)).decode(),
        base64.urlsafe_b64encode(bytes(33)).decode(),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="a secret key is 32 bytes in URL-safe base64") as caught:
        Keyring([key])

    assert caught.value.__cause__ is None
    assert not key or key not in "".join(traceback.format_exception_only(caught.value))


def test_a_keyring_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="no secret key"):
        Keyring([])


def test_each_purpose_has_keys_of_its_own_and_all_keys_count_for_it() -> None:
    old, new = generate_key(), generate_key()

    one, two = Keyring([new, old]).keys_for("one"), Keyring([new, old]).keys_for("two")

    assert one == [*Keyring([new]).keys_for("one"), *Keyring([old]).keys_for("one")]
    assert len({*one, *two, Keyring([new]).signing_key, Keyring([old]).signing_key}) == 6
    assert {len(key) for key in (*one, *two)} == {32}


FORMS = {
    "as it is": str,
    "in a path": quote,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a form": quote_plus,
    "in a header": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in a URL-safe header": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "as Python writes it": repr,
    "in JSON": json.dumps,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("secret", ["p@ss/wörd 'n' \"more\" \\ ?>", "tab\tand\nnew line", "pl+in~"])
def test_a_secret_is_masked_in_every_form_that_drivers_print(form: object, secret: str) -> None:
    assert callable(form)

    printed = f"connection to u:{form(secret)}@host failed"

    shown = redact(printed, [secret])
    assert MASK in shown
    assert form(secret).strip("'\"") not in shown
    assert shown.startswith("connection to u:")
    assert shown.endswith("@host failed")


def test_a_secret_that_begins_another_does_not_leave_its_rest() -> None:
    assert redact("login with abcdef", ["abcd", "abcdef"]) == f"login with {MASK}"


def test_what_is_too_short_to_be_a_secret_does_not_destroy_the_text() -> None:
    assert redact("a bad day", ["a", "", "bad"]) == "a bad day"


@given(st.text(min_size=4), st.text(), st.text())
def test_no_text_around_it_keeps_a_secret(secret: str, before: str, after: str) -> None:
    assert secret not in redact(f"{before}{secret}{after}", [secret]).replace(MASK, "\0" * 8)
