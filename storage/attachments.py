"""Downloads by their names."""

from __future__ import annotations

import re
from urllib.parse import quote


def disposition(file_name: str) -> str:
    """A `Content-Disposition` that saves under this name: for old clients in ASCII, for others as it is."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
