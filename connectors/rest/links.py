"""The header `Link` (RFC 8288), of which the client library reads only what is plainly written."""

from __future__ import annotations

import re

_TARGET = re.compile(r"<([^>]*)>")
_PARAMETER = re.compile(r"""\s*;\s*([^\s=;,"]*)\s*(?:=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^\s;,"]*))?""")
_ESCAPED = re.compile(r"\\(.)")


def next_link(header: str) -> str | None:
    """The target of the first link whose relations include `next`, in any case of letters; None where there is none."""
    at, end = 0, header.rfind(">") + 1  # behind it is no target, and no long search for one
    while target := _TARGET.search(header, at, end):
        at = target.end()
        relations = None
        while parameter := _PARAMETER.match(header, at):
            at = parameter.end()
            name, value = parameter.groups(default="")
            if name.lower() == "rel" and relations is None:  # of several the first counts
                relations = _text(value).lower().split()
        if "next" in (relations or ()):
            return target.group(1).strip()
    return None


def _text(value: str) -> str:
    if value[:1] == '"':
        return _ESCAPED.sub(r"\1", value[1:-1])
    return value.strip("'")
