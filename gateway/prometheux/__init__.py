"""The Prometheux Data API: workspaces are projects, data sources are connected, synced and removed in them."""

from gateway.prometheux.routes import DIALECT

__all__ = ["DIALECT"]
