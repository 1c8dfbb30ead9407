"""Links that are their own permission: an HMAC over every field, good for one method, one path and some time."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

_VERSION = "1"
_SIGNATURE = "signature"
_EXPIRES = "expires"
_KEY_ID = "key"


class LinkInvalid(Exception):
    """The signature does not fit the method, the path and the fields, or the key is not ours."""


class LinkExpired(Exception):
    """The link was good and its time is over."""


class Signer:
    """Signs and verifies links with HMAC-SHA256.

    Signed are: version, method, path, and every query field except the signature itself, so adding, dropping, repeating
    or changing any of them refuses the link.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._key_id = hashlib.sha256(b"key id" + key).hexdigest()[:8]

    def query(self, method: str, path: str, fields: Mapping[str, str], *, expires_in: int) -> str:
        """The query string that makes `method` on `path` (unescaped) allowed for `expires_in` seconds."""
        signed = {
            **fields,
            "version": _VERSION,
            _KEY_ID: self._key_id,
            _EXPIRES: str(int(time.time()) + expires_in),
        }
        return urlencode({**signed, _SIGNATURE: self._signature(method, path, signed)})

    def verify(self, method: str, path: str, query: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The fields that `query` signed for this method and path; raises LinkInvalid or LinkExpired."""
        pairs = list(query)
        fields = dict(pairs)
        given = fields.pop(_SIGNATURE, "")
        expected = self._signature(method, path, fields)
        repeated = len(pairs) != len(fields) + 1
        # The comparison comes first and takes the same time for every wrong signature.
        if not hmac.compare_digest(given.encode(), expected.encode()) or repeated:
            raise LinkInvalid
        if fields["version"] != _VERSION or fields[_KEY_ID] != self._key_id:
            raise LinkInvalid
        if int(fields[_EXPIRES]) <= time.time():
            raise LinkExpired
        return fields

    def _signature(self, method: str, path: str, fields: Mapping[str, str]) -> str:
        # JSON keeps the fields apart whatever they hold; no two different links give the same text.
        text = json.dumps([_VERSION, method, path, sorted(fields.items())])
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
