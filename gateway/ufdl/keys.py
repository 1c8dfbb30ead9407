"""Integer keys in paths."""

from __future__ import annotations

from gateway.call import Call
from gateway.failures import Failure

KEY_MAX = 2**53 - 1  # what GraphQL's BigInt holds; no key is larger
_DIGITS_MAX = 100


def key_of(call: Call) -> int:
    """The key in a path, its parameter `pk`; raises as `key_in` does."""
    return key_in(call.params["pk"])


def key_in(digits: str) -> int:
    """The key that a text of digits is; raises Failure (not found) for one that is larger than any."""
    if len(digits) > _DIGITS_MAX or int(digits) > KEY_MAX:
        raise Failure("NOT_FOUND", "There is nothing with such a key.")
    return int(digits)
