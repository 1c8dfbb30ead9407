"""Links that need no credential of their own: a GET of one path in somebody's name, sealed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from base.credentials import CiphertextInvalid, Keyring, KeyUnknown

PREFIX = "/gateway/links/"
SECONDS = 3600
_CONTEXT = "gateway:link"


@dataclass(frozen=True, slots=True)
class Linked:
    """What a link stands for."""

    credential: str
    path: str


class Links:
    """Makes and opens links. They hold the caller's token, encrypted: what ends the token ends its links."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def path(self, credential: str, path: str, name: str) -> str:
        """The path of a link to GET `path`, good for `SECONDS`."""
        sealed = self._keyring.encrypt(
            {"credential": credential, "path": path, "until": int(time.time()) + SECONDS}, _CONTEXT
        )
        return f"{PREFIX}{sealed}/{name}"

    def open(self, path: str) -> Linked | None:
        """What a link stands for; None for one that is expired, or not ours."""
        sealed = path.removeprefix(PREFIX).partition("/")[0]
        try:
            value = self._keyring.decrypt(sealed, _CONTEXT)
        except (CiphertextInvalid, KeyUnknown):
            return None
        if value["until"] < time.time():
            return None
        return Linked(value["credential"], value["path"])
