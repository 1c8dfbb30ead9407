"""MAXIR AI, the v2 API of Powerdrill: datasets of files, in envelopes with codes."""

from gateway.maxir.routes import DIALECT

__all__ = ["DIALECT"]
