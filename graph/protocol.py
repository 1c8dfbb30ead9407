"""The messages of the protocol `graphql-transport-ws`, and the codes that it closes sockets with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from base.bodies import load
from base.errors import InvalidInput
from graph.bodies import to_request
from graph.operations import Request
from graph.serialized import dumps

SUBPROTOCOL = "graphql-transport-ws"
ID_CHARS_MAX = 200
GOING_AWAY = 1001
INTERNAL = 1011
TRY_LATER = 1013
BAD_MESSAGE = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
INIT_TIMEOUT = 4408
DUPLICATE_ID = 4409
TOO_MANY_INITS = 4429
_REASON_BYTES_MAX = 123  # of a close frame


class Close(Exception):
    """The socket is to be closed with this code; the reason is for people who write clients."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Frame:
    """A message of a client. `request` is that of a `subscribe`, `payload` that of any other."""

    kind: str
    id: str | None = None
    payload: dict[str, Any] | None = None
    request: Request | None = None


def parse(text: str | None) -> Frame:
    """The message in a text frame; raises `Close`."""
    if text is None:
        raise Close(BAD_MESSAGE, "Messages are JSON in text frames.")
    try:
        return _frame(load(text, "The message"))
    except InvalidInput as error:
        raise Close(BAD_MESSAGE, error.message) from None


def _frame(value: Any) -> Frame:
    if not isinstance(value, dict):
        raise InvalidInput("The message has to be a JSON object.")
    kind, payload = value.get("type"), value.get("payload")
    if kind == "subscribe":
        return Frame(kind, _id(value), request=to_request(payload))
    if kind == "complete":
        return Frame(kind, _id(value))
    if kind in {"connection_init", "ping", "pong"}:
        if payload is not None and not isinstance(payload, dict):
            raise InvalidInput("The payload has to be an object or null.")
        return Frame(kind, payload=payload)
    raise InvalidInput("The message has a type that is not one of a client's.")


def _id(value: dict[str, Any]) -> str:
    name = value.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= ID_CHARS_MAX:
        raise InvalidInput(f"`id` has to be a text of 1 to {ID_CHARS_MAX} characters.")
    return name


def write(kind: str, name: str | None = None, payload: Any = None) -> str:
    """A message to a client, as text."""
    value: dict[str, Any] = {"type": kind}
    if name is not None:
        value["id"] = name
    if payload is not None:
        value["payload"] = payload
    return dumps(value).decode()


def credential(payload: dict[str, Any] | None) -> str | None:
    """What a `connection_init` carries in the place of the header `Authorization`; None where it has nothing."""
    for name in ("Authorization", "authorization"):
        value = (payload or {}).get(name)
        if isinstance(value, str):
            return value
    token = (payload or {}).get("token")
    return f"Bearer {token}" if isinstance(token, str) else None
