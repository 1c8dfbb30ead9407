"""Floor 3: REST dialects. Each is a client of the GraphQL API: no rule, row or permission is decided here."""

from gateway.app import Gateway
from gateway.client import Executor
from gateway.registry import DIALECTS

__all__ = ["DIALECTS", "Executor", "Gateway"]
