"""The UFDL dialect: projects in teams, with the filter language of its lists."""

from gateway.ufdl.routes import DIALECT

__all__ = ["DIALECT"]
