"""The pages' assets as they are served: GraphiQL's, and those of the REST dialects' documents."""

from __future__ import annotations

import hashlib

import httpx
import pytest
from starlette.applications import Starlette

from server import pages
from server.pages import Site

SITES = [pages.graphiql, pages.dialects]
sites = pytest.mark.parametrize("site", SITES, ids=["graphiql", "dialects"])


def session_of(site: Site) -> httpx.AsyncClient:
    app = Starlette(routes=site.routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def largest(site: Site) -> str:
    assets = site.assets
    return max(assets, key=lambda name: len(assets[name].plain))


@sites
def test_vendored_files_are_those_that_the_sums_name(site: Site) -> None:
    vendor = site.folder / "vendor"
    sums = (vendor / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in map(str.split, sums)}

    actual = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.iterdir()
        if path.suffix in {".js", ".css"}
    }

    assert actual == listed


@pytest.mark.parametrize(("site", "count"), list(zip(SITES, [10, 6], strict=True)))
def test_every_reference_of_the_page_is_to_an_asset_of_its_version(site: Site, count: int) -> None:
    html = site.assets["index.html"].plain.decode()
    references = [part.split('"')[0] for part in html.split(f'"{site.prefix}')[1:]]

    assert len(references) == count
    for reference in references:
        name, _, version = reference.partition("?v=")
        assert site.assets[name].version == version


@sites
async def test_the_page_allows_nothing_from_elsewhere(site: Site) -> None:
    transport = httpx.ASGITransport(site.page)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        page = await session.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["cache-control"] == "no-cache"


@sites
async def test_assets_are_packed_and_kept(site: Site) -> None:
    name = largest(site)
    path = f"{site.prefix}{name}"
    async with session_of(site) as session:
        packed = await session.get(f"{path}?v={site.assets[name].version}")
        plain = await session.get(path, headers={"accept-encoding": "identity"})
        known = await session.get(
            f"{site.prefix}boot.js",
            headers={"if-none-match": f'"{site.assets["boot.js"].version}"'},
        )

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.content == plain.content
    assert plain.headers["cache-control"] == "no-cache"
    assert (known.status_code, known.content) == (304, b"")


@sites
@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "../pages.py",
        "%2e%2e/pages.py",
        "vendor",
        "vendor/README.md",
        "vendor/SHA256SUMS",
    ],
)
async def test_nothing_else_is_served(site: Site, name: str) -> None:
    async with session_of(site) as session:
        response = await session.get(f"{site.prefix}{name}")

    assert response.status_code == 404
