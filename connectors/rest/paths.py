"""JSONPaths to the records: what of them is known before a document is there. Light: settings are checked by it."""

from __future__ import annotations

from collections.abc import Sequence

import jsonpath
from jsonpath.segments import JSONPathRecursiveDescentSegment, JSONPathSegment
from jsonpath.selectors import Filter, IndexSelector, NameSelector, SliceSelector, WildcardSelector

Keys = tuple[str, ...]


def compiled(text: str) -> jsonpath.JSONPath:
    """A JSONPath that the settings have let through."""
    path = jsonpath.compile(text)
    assert isinstance(path, jsonpath.JSONPath)
    return path


def plain_keys(path: jsonpath.JSONPath) -> Keys | None:
    """The keys of a path that has nothing but keys (and perhaps `[*]` at its end), None for any other."""
    is_last_each = is_each(path) and not _is_deep(path.segments[-1])
    return _keys(path.segments[:-1] if is_last_each else path.segments)


def counted_keys(path: jsonpath.JSONPath) -> Keys | None:
    """The keys of the one list of which a path takes some elements by a filter or slice; None for any other path."""
    *before, last = path.segments or (None,)
    if last is None or _is_deep(last):
        return None
    takes_some = all(isinstance(each, Filter | SliceSelector) for each in last.selectors)
    return _keys(before) if takes_some else None


def is_each(path: jsonpath.JSONPath) -> bool:
    """Whether it ends with `[*]`: every element of a list, every value of an object."""
    last = path.segments[-1] if path.segments else None
    return last is not None and isinstance(last.selectors[0], WildcardSelector)


def is_filtered(path: jsonpath.JSONPath) -> bool:
    """Whether it leaves out elements of a list."""
    selectors = (each for segment in path.segments for each in segment.selectors)
    return any(isinstance(each, Filter | SliceSelector) for each in selectors)


def gathers(path: jsonpath.JSONPath) -> bool:
    """Whether it puts together what is in several places."""
    return plain_keys(path) is None and any(
        _is_deep(each)
        or len(each.selectors) > 1
        or not isinstance(each.selectors[0], NameSelector | IndexSelector)
        for each in path.segments
    )


def _keys(segments: Sequence[JSONPathSegment]) -> Keys | None:
    keys = []
    for segment in segments:
        selector = segment.selectors[0] if len(segment.selectors) == 1 else None
        if not isinstance(selector, NameSelector) or _is_deep(segment):
            return None
        keys.append(selector.name)
    return tuple(keys)


def _is_deep(segment: JSONPathSegment) -> bool:
    return isinstance(segment, JSONPathRecursiveDescentSegment)
