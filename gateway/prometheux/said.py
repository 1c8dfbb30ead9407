"""What clients write about a connection, read by our names of it: every client has spellings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.failures import Failure, Problem, invalid

_UNSET = (None, "", 0, "0")  # what clients send for a port that there is none of
_DIGITS_MAX = 5
# What each setting may be called.
_NAMES = {
    "type": ("type", "engine", "database_type", "databaseType", "dialect", "db_type"),
    "host": ("host", "hostname", "server"),
    "port": ("port",),
    "database": ("database", "database_name", "databaseName", "dbname", "db"),
    "username": ("username", "user"),
    "password": ("password",),
    "url": ("url", "connection_string", "connectionString", "uri"),
    "ssl_mode": ("ssl_mode", "sslmode", "sslMode"),
    "options": ("options",),
    "path": ("file_path", "filePath", "path"),
    "object_key": ("object_key", "objectKey"),
    "file_name": ("file_name", "fileName", "filename"),
    "delimiter": ("delimiter", "separator"),
    "encoding": ("encoding",),
    "column_types": ("column_types", "columnTypes"),
    "base_url": ("base_url", "baseUrl", "url", "host"),
    "api_key": ("api_key", "apiKey"),
    "api_key_name": ("api_key_name", "apiKeyName", "api_key_header"),
    "token": ("token", "bearer_token", "access_token"),
    "headers": ("headers",),
    "resources": ("resources",),
}


class Said:
    """What a client said, by our names of it; each read checks the type, and takes an empty text for nothing."""

    def __init__(self, given: Mapping[str, Any], path: str) -> None:
        self._given = given
        self.path = path

    def _find(self, name: str) -> tuple[str, Any]:
        for each in _NAMES[name]:
            value = self._given.get(each)
            if value is not None and value != "":
                return f"{self.path}.{each}", value
        return f"{self.path}.{_NAMES[name][0]}", None

    def text(self, name: str) -> str | None:
        """A text; None for nothing. Raises Failure for anything else."""
        path, value = self._find(name)
        return value if value is None else _text(value, path)

    def object(self, name: str) -> dict[str, Any]:
        """An object; empty for nothing."""
        path, value = self._find(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _wrong(path, "object")
        return value

    def listed(self, name: str) -> list[Any]:
        """A list; empty for nothing."""
        path, value = self._find(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(path, "array")
        return value

    def port(self) -> int | None:
        """The port, as a number or its digits; None for 0, as clients send where there is none."""
        path, value = self._find("port")
        if value in _UNSET:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return _port(value, path)
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            return _port(int(value[: _DIGITS_MAX + 1]), path)
        raise _wrong(path, "integer")


def _port(value: int, path: str) -> int:
    most = 65_535
    if not 0 < value <= most:
        raise invalid(Problem(path, "most", f"`{path}` is a port: 1 to {most}.", most))
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "string")
    return value


def _wrong(path: str, kind: str) -> Failure:
    return invalid(Problem(path, "type", f"`{path}` has to be of type {kind}.", wanted=kind))
