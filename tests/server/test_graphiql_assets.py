"""GraphiQL's assets as they are served."""

from __future__ import annotations

import hashlib

import httpx
import pytest
from starlette.applications import Starlette

from server import graphiql


def assets() -> httpx.AsyncClient:
    app = Starlette(routes=graphiql.routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_vendored_files_are_those_that_the_sums_name() -> None:
    vendor = graphiql.ASSETS / "vendor"
    sums = (vendor / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in map(str.split, sums)}

    actual = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.iterdir()
        if path.suffix in {".js", ".css"}
    }

    assert actual == listed


def test_every_reference_of_the_page_is_to_an_asset_of_its_version() -> None:
    html = graphiql.assets()["index.html"].plain.decode()
    references = [part.split('"')[0] for part in html.split('"/')[1:]]

    assert len(references) == 10
    for reference in references:
        name, _, version = reference.removeprefix("graphiql/").partition("?v=")
        assert graphiql.assets()[name].version == version


async def test_the_page_allows_nothing_from_elsewhere() -> None:
    transport = httpx.ASGITransport(graphiql.page)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        page = await session.get("/graphql")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["cache-control"] == "no-cache"


async def test_assets_are_packed_and_kept() -> None:
    version = graphiql.assets()["vendor/graphiql.js"].version
    async with assets() as session:
        packed = await session.get(f"/graphiql/vendor/graphiql.js?v={version}")
        plain = await session.get(
            "/graphiql/vendor/graphiql.js", headers={"accept-encoding": "identity"}
        )
        known = await session.get(
            "/graphiql/boot.js",
            headers={"if-none-match": f'"{graphiql.assets()["boot.js"].version}"'},
        )

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.content == plain.content
    assert plain.headers["cache-control"] == "no-cache"
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "../graphiql.py",
        "%2e%2e/graphiql.py",
        "vendor",
        "vendor/README.md",
        "vendor/SHA256SUMS",
    ],
)
async def test_nothing_else_is_served(name: str) -> None:
    async with assets() as session:
        response = await session.get(f"/graphiql/{name}")

    assert response.status_code == 404
