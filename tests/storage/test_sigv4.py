"""Signature Version 4: AWS's own example, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from storage.sigv4 import Credentials, QuerySigner

# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html#query-string-auth-v4-signing-example
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
NOW = datetime(2013, 5, 24, tzinfo=UTC)


def signed(credentials: Credentials, expires_in: int = 86_400) -> str:
    return QuerySigner(credentials, "us-east-1").url(
        "GET", "https://examplebucket.s3.amazonaws.com", "/test.txt", {}, expires_in=expires_in, now=NOW
    )  # fmt: skip


def test_the_example_of_the_documentation() -> None:
    assert signed(Credentials(KEY_ID, SECRET)) == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={SIGNATURE}"
    )


def test_a_session_s_token_is_signed_with_it() -> None:
    query = parse_qs(urlsplit(signed(Credentials(KEY_ID, SECRET, "to/ken=="))).query)

    assert query["X-Amz-Security-Token"] == ["to/ken=="]
    assert query["X-Amz-Signature"] != [SIGNATURE]


def test_no_link_is_good_for_longer_than_s3_allows() -> None:
    query = parse_qs(urlsplit(signed(Credentials(KEY_ID, SECRET), 10**9)).query)

    assert query["X-Amz-Expires"] == ["604800"]


def test_secrets_are_not_shown() -> None:
    shown = repr(QuerySigner(Credentials(KEY_ID, SECRET, "session-canary"), "us-east-1"))

    assert SECRET not in shown
    assert "canary" not in shown
