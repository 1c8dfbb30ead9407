"""Pages for browsers, served by us whole: GraphiQL at /graphql, and the REST dialects' documents at /gateway/docs."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_POLICY = (
    "default-src 'self'; style-src 'self'{styles}; img-src 'self' data:; font-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. Its version is part of every reference to it, so a browser may keep it for good."""

    media_type: str
    version: str
    plain: bytes
    packed: bytes


class Site:
    """A page and its assets: the files of a folder in `static`, below `prefix`.

    `styles` are the hashes of the style elements that its scripts add, in the form of a content security policy.
    """

    def __init__(self, folder: str, prefix: str, *styles: str) -> None:
        self.folder = Path(__file__).with_name("static") / folder
        self.prefix = prefix
        self._policy = _POLICY.format(styles="".join(f" '{style}'" for style in styles))

    @cached_property
    def assets(self) -> dict[str, Asset]:
        """Every asset by its name below `prefix`: read and compressed once, at the first visit."""
        found = {
            path.relative_to(self.folder).as_posix(): _asset(path.suffix, path.read_bytes())
            for path in sorted(self.folder.rglob("*"))
            if path.suffix in _TYPES and path.suffix != ".html"
        }
        html = (self.folder / "index.html").read_text(encoding="utf-8")
        versioned = re.sub(
            rf'(?<=")({self.prefix}[^"?]+)(?=")',
            lambda match: f"{match[1]}?v={found[match[1].removeprefix(self.prefix)].version}",
            html,
        )
        found["index.html"] = _asset(".html", versioned.encode())
        return found

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page itself, an ASGI app."""
        await self.answer(Request(scope))(scope, receive, send)

    def answer(self, request: Request) -> Response:
        """The page, as an answer to a request."""
        return self._response(request, self.assets["index.html"], "no-cache")

    def routes(self) -> list[Route]:
        """The route of the assets."""
        return [Route(self.prefix + "{name:path}", self._serve, methods=["GET"])]

    def _serve(self, request: Request) -> Response:
        asset = self.assets.get(request.path_params["name"])
        if asset is None:
            return Response("There is no such file.\n", status_code=404, media_type="text/plain")
        current = request.query_params.get("v") == asset.version
        return self._response(
            request, asset, f"public, max-age={_YEAR_SECONDS}, immutable" if current else "no-cache"
        )

    def _response(self, request: Request, asset: Asset, caching: str) -> Response:
        tag = f'"{asset.version}"'
        headers = {
            "cache-control": caching,
            "content-security-policy": self._policy,
            "etag": tag,
            "vary": "Accept, Accept-Encoding",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        body = asset.plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            body = asset.packed
        return Response(body, headers=headers, media_type=asset.media_type)


graphiql = Site("graphiql", "/graphiql/")
dialects = Site("dialects", "/gateway/docs/", "sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w=")


def docs_routes() -> list[Route]:
    """The page of the REST dialects' documents, and its assets."""
    return [Route("/gateway/docs", dialects.answer, methods=["GET"]), *dialects.routes()]


def _asset(suffix: str, content: bytes) -> Asset:
    version = hashlib.sha256(content).hexdigest()[:16]
    return Asset(_TYPES[suffix], version, content, gzip.compress(content, mtime=0))
