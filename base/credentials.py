"""Secrets at rest and on their way out: encryption bound to its place, and redaction."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ENVELOPE = re.compile(rf"{_VERSION}:(?P<key>[0-9a-f]{{8}}):(?P<body>[A-Za-z0-9_=-]+)")
_REDACTED_LENGTH_MIN = 4
MASK = "•••"


class KeyUnknown(Exception):
    """A ciphertext was made with a key that is not configured; without it the secret cannot be read."""


class CiphertextInvalid(Exception):
    """A ciphertext was changed, or moved away from the row it belongs to."""


def generate_key() -> str:
    """A new 256-bit key in the form that `HEADWATER_SECRET_KEYS` takes."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


class Keyring:
    """Encrypts with the first key, decrypts with any. AES-256-GCM; the context is authenticated with the text.

    Envelope: `v1:<key id>:<base64 of nonce + ciphertext>`; the key id is the start of the key's SHA-256.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        raw = [_key(text) for text in keys]
        if not raw:
            raise ValueError("there is no secret key")
        self._ciphers = {_key_id(key): AESGCM(key) for key in raw}
        self._newest = _key_id(raw[0])
        self._signing = [hashlib.sha256(b"headwater signing" + key).digest() for key in raw]

    @property
    def signing_key(self) -> bytes:
        """A key for HMAC signatures, derived from the newest key."""
        return self._signing[0]

    def keys_for(self, purpose: str) -> list[bytes]:
        """Keys for HMAC that serve this purpose only: sign with the first, the newest; verify with any."""
        return [
            HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(key)
            for key in self._signing
        ]

    def encrypt(self, value: Mapping[str, Any], context: str) -> str:
        """Encrypt a JSON object for one place (`context`, for example `datasource:17:secrets`)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(
            nonce, json.dumps(value).encode(), context.encode()
        )
        return f"{_VERSION}:{self._newest}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, envelope: str, context: str) -> dict[str, Any]:
        """The inverse of `encrypt`; raises `KeyUnknown` or `CiphertextInvalid`."""
        match = _ENVELOPE.fullmatch(envelope)
        if match is None:
            raise CiphertextInvalid(f"what is stored for {context} is no ciphertext")
        cipher = self._ciphers.get(match["key"])
        if cipher is None:
            raise KeyUnknown(f"no configured key has the id {match['key']}")
        try:
            sealed = base64.b64decode(match["body"], altchars=b"-_", validate=True)
            plain = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise CiphertextInvalid(f"the ciphertext does not belong to {context}") from error
        value: dict[str, Any] = json.loads(plain)
        return value

    def is_current(self, envelope: str) -> bool:
        """Whether the newest key made this envelope; what rotation re-encrypts."""
        return envelope.startswith(f"{_VERSION}:{self._newest}:")


def _key(text: str) -> bytes:
    problem = "a secret key is 32 bytes in URL-safe base64"
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)  # a typo is no key
    except ValueError:
        raise ValueError(problem) from None  # without the key in the traceback
    if len(key) != _KEY_BYTES:
        raise ValueError(problem)
    return key


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def redact(text: str, known_secrets: Iterable[str]) -> str:
    """Remove known secrets from a text that others wrote (a driver's message), in the forms drivers print them."""
    # A secret under four characters stays: masking every "a" would destroy the text and hide nothing.
    forms = {
        form
        for secret in known_secrets
        if len(secret) >= _REDACTED_LENGTH_MIN
        for form in _printed_forms(secret)
    }
    for form in sorted(forms, key=len, reverse=True):  # the longer first, or the rest of it stays
        text = text.replace(form, MASK)
    return text


def _printed_forms(secret: str) -> Iterable[str]:
    raw = secret.encode(errors="surrogatepass")
    yield secret
    yield quote(raw)
    yield quote(raw, safe="")
    yield quote_plus(raw)
    yield base64.b64encode(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode()
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
