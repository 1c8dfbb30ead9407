"""Requests and replies as data, as documents show them: `dialects/<dialect>/*.json`.

A file is a conversation: `{"about": …, "needs": [...], "steps": [...]}`. Each step has

- `about`: which request of which document it is;
- `request`: `method`, `path` (with its query), `as` (a user, or null for nobody; alice), `scheme` (Bearer, JWT, Token, or
  `key` for the header x-pd-api-key), `headers`, and at most one body: `json`, `form` (texts, with `files`: name of the
  field → [file name, text]) or `raw` (a text, with `type`);
- `reply`: `status`, `headers` (exact, lower case) and the body: `json` (a pattern), `text` or nothing for an empty one;
- `until`: true where the request is repeated until the reply is this one, for what a worker does.

In a pattern texts `<int>`, `<number>`, `<text>`, `<time>`, `<url>`, `<uuid>`, `<any>` and `<null>` stand for any such value,
`<int:name>` also keeps it as `name`; `{"...": true}` in an object lets further keys be, and as the last item of a list
`"..."` further items. Everywhere in requests and patterns `{name}` is what was kept. A conversation begins with
`project.id` and `project.pk` (a new project of alice's), `foreign.id` and `foreign.pk` (one of bob's), `alice`, `bob` and
`admin` (their tokens), and `url` (the server's).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.gateway.places import Place

FOLDER = Path(__file__).with_name("dialects")
SECONDS_MAX = 60
_KEPT = re.compile(r"\{([a-z][\w.]*)\}")
_SLOT = re.compile(r"<(int|number|text|time|url|uuid|any|null)(?::([\w.]+))?>")


def conversations() -> list[Path]:
    """Every file of data."""
    return sorted(FOLDER.rglob("*.json"))


def hold(server: Place, path: Path) -> None:
    """Hold a conversation; AssertionError says at which step it went another way."""
    conversation = json.loads(path.read_text(encoding="utf-8"))
    kept = _beginning(server)
    for number, step in enumerate(conversation["steps"], 1):
        where = f"{path.parent.name}/{path.name}, step {number}: {step['about']}"
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            response = _send(server, step["request"], kept)
            wrong = _compare(step["reply"], response, kept)
            if wrong is None or not step.get("until") or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert wrong is None, f"{where}\n{wrong}\n{response.status_code} {response.text[:2000]}"


def _beginning(server: Place) -> dict[str, Any]:
    own, foreign = server.project(), server.project("bob")
    kept = {f"project.{name}": own[name] for name in ("id", "pk")}
    kept |= {f"foreign.{name}": foreign[name] for name in ("id", "pk")}
    return kept | server.tokens | {"url": server.url}


def _send(server: Place, request: Mapping[str, Any], kept: Mapping[str, Any]) -> httpx.Response:
    filled = _fill(request, kept)
    user, scheme = filled.get("as", "alice"), filled.get("scheme", "Bearer")
    headers = dict(filled.get("headers", {}))
    if user is not None:
        token = server.tokens[user]
        name, value = (
            ("x-pd-api-key", token) if scheme == "key" else ("authorization", f"{scheme} {token}")
        )
        headers.setdefault(name, value)
    body: dict[str, Any] = {}
    if "json" in filled:
        body = {"json": filled["json"]}
    elif "form" in filled or "files" in filled:
        files = {
            name: (file_name, text.encode())
            for name, (file_name, text) in filled.get("files", {}).items()
        }
        fields = {name: (None, str(text)) for name, text in filled.get("form", {}).items()}
        body = {"files": {**fields, **files}}
    elif "raw" in filled:
        headers["content-type"] = filled.get("type", "application/json")
        body = {"content": filled["raw"].encode()}
    client = server.rest(None)
    return client.request(filled["method"], filled["path"], headers=headers, **body)


def _compare(
    reply: Mapping[str, Any], response: httpx.Response, kept: dict[str, Any]
) -> str | None:
    """What differs; None where the reply is as it should be, and then what it names is kept."""
    if response.status_code != reply["status"]:
        return f"status {response.status_code} in place of {reply['status']}"
    for name, value in _fill(reply.get("headers", {}), kept).items():
        if response.headers.get(name) != value:
            return f"header {name}: {response.headers.get(name)!r} in place of {value!r}"
    if "text" in reply:
        wanted = _fill(reply["text"], kept)
        return None if response.text == wanted else f"text in place of {wanted!r}"
    if "json" not in reply:
        return None if not response.content else "a body, where none should be"
    found: dict[str, Any] = {}
    wrong = _differs(_fill(reply["json"], kept), response.json(), "$", found)
    if wrong is None:
        kept.update(found)
    return wrong


def _fill(value: Any, kept: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        whole = _KEPT.fullmatch(value)
        if whole and whole[1] in kept:
            return kept[whole[1]]
        return _KEPT.sub(lambda each: str(kept.get(each[1], each[0])), value)
    if isinstance(value, dict):
        return {name: _fill(item, kept) for name, item in value.items()}
    return [_fill(item, kept) for item in value] if isinstance(value, list) else value


def _differs(pattern: Any, value: Any, place: str, found: dict[str, Any]) -> str | None:
    if isinstance(pattern, str) and (slot := _SLOT.fullmatch(pattern)):
        if not _suits(slot[1], value):
            return f"{place}: {value!r} is no {slot[1]}"
        if slot[2]:
            found[slot[2]] = value
        return None
    if isinstance(pattern, dict) and isinstance(value, dict):
        return _differs_object(pattern, value, place, found)
    if isinstance(pattern, list) and isinstance(value, list):
        return _differs_list(pattern, value, place, found)
    same = type(pattern) is type(value) and pattern == value
    return None if same else f"{place}: {value!r} in place of {pattern!r}"


def _differs_list(
    pattern: list[Any], value: list[Any], place: str, found: dict[str, Any]
) -> str | None:
    more = bool(pattern) and pattern[-1] == "..."
    items = pattern[:-1] if more else pattern
    if len(value) < len(items) or (len(value) > len(items) and not more):
        return f"{place}: {len(value)} items in place of {len(items)}"
    differences = (
        _differs(item, value[index], f"{place}[{index}]", found) for index, item in enumerate(items)
    )
    return next(filter(None, differences), None)


def _differs_object(
    pattern: Mapping[str, Any], value: Mapping[str, Any], place: str, found: dict[str, Any]
) -> str | None:
    names = set(pattern) - {"..."}
    if missing := names - set(value):
        return f"{place}: without {sorted(missing)}"
    if "..." not in pattern and (extra := set(value) - names):
        return f"{place}: with {sorted(extra)} besides"
    for name in names:
        if wrong := _differs(pattern[name], value[name], f"{place}.{name}", found):
            return wrong
    return None


def _suits(kind: str, value: Any) -> bool:
    if kind in {"time", "uuid", "url"}:
        return isinstance(value, str) and _parses(kind, value)
    kinds: dict[str, type | tuple[type, ...]] = {
        "int": int,
        "number": (int, float),
        "text": str,
        "any": object,
        "null": type(None),
    }
    return isinstance(value, kinds[kind]) and not (isinstance(value, bool) and kind != "any")


def _parses(kind: str, value: str) -> bool:
    if kind == "url":
        return re.match(r"https?://[^/]+/", value) is not None
    try:
        datetime.fromisoformat(value) if kind == "time" else UUID(value)
    except ValueError:
        return False
    return True
