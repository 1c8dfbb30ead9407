"""From a method and a path to the route that answers them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.dialect import PARAMETER, Dialect, Route
from gateway.failures import METHOD_NOT_ALLOWED, NO_ROUTE, Failure

_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the texts of the path's parameters."""

    dialect: Dialect
    route: Route
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _End:
    """A route where its path ends; `names` are those of the path's parameters."""

    dialect: Dialect
    route: Route
    names: tuple[str, ...]


@dataclass(slots=True)
class _Node:
    """What may follow after some segments: a word, digits, or any segment; and the routes that end here, by method."""

    words: dict[str, _Node] = field(default_factory=dict)
    digits: _Node | None = None
    any: _Node | None = None
    ends: dict[str, _End] = field(default_factory=dict)

    def step(self, segment: str) -> _Node:
        """The node after a segment of a route's path; made where it is not there yet."""
        parameter = PARAMETER.fullmatch(segment)
        if parameter is None:
            return self.words.setdefault(segment, _Node())
        if parameter["int"]:
            self.digits = self.digits or _Node()
            return self.digits
        self.any = self.any or _Node()
        return self.any

    def walk(
        self, segments: Sequence[str], values: tuple[str, ...] = ()
    ) -> Iterator[tuple[_Node, tuple[str, ...]]]:
        """Where a path leads, with its parameters: by words first, then by digits."""
        if not segments:
            yield self, values
            return
        segment, rest = segments[0], segments[1:]
        if segment in self.words:
            yield from self.words[segment].walk(rest, values)
        if self.digits is not None and _DIGITS.fullmatch(segment):
            yield from self.digits.walk(rest, (*values, segment))
        if self.any is not None and segment:
            yield from self.any.walk(rest, (*values, segment))


class Router:
    """The routes of dialects, as a tree of the segments of their paths."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._root = _Node()
        roots = ((root, dialect) for dialect in dialects for root in dialect.roots)
        self._roots = sorted(roots, key=lambda each: len(each[0]), reverse=True)
        for dialect in dialects:
            ends = ("", "/") if dialect.may_end_in_slash else ("",)
            for route in dialect.routes:
                for prefix in dialect.prefixes:
                    for end in ends:
                        self._add(dialect, route, prefix + route.path + end)

    def _add(self, dialect: Dialect, route: Route, path: str) -> None:
        node = self._root
        for segment in path.split("/"):
            node = node.step(segment)
        names = tuple(match["name"] for match in PARAMETER.finditer(path))
        node.ends.setdefault(route.method, _End(dialect, route, names))

    def owner(self, path: str) -> Dialect | None:
        """Whose errors a path has: the dialect with the longest root."""
        return next((dialect for root, dialect in self._roots if path.startswith(root)), None)

    def match(self, method: str, path: str) -> Match | Failure:
        """The route of a request, or why there is none. HEAD is what GET is."""
        wanted = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        for node, values in self._root.walk(path.split("/")):
            end = node.ends.get(wanted)
            if end is not None:
                return Match(end.dialect, end.route, dict(zip(end.names, values, strict=True)))
            allowed |= node.ends.keys()
        if not allowed:
            return Failure(NO_ROUTE, "There is no such path.")
        return Failure(
            METHOD_NOT_ALLOWED,
            f'Method "{method}" not allowed.',
            headers={"allow": ", ".join(sorted(allowed))},
        )
