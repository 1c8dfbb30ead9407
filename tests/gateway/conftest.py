"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import databases
from tests.conftest import POSTGRESQL, SQLITE
from tests.gateway.places import Place, place

SETTINGS = {"connection_checks_per_minute_max": "1000"}


@pytest.fixture(scope="session", params=[SQLITE, POSTGRESQL])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A server that every test shares: make a project of your own in it (`Place.project`)."""
    folder = tmp_path_factory.mktemp("gateway")
    if request.param == SQLITE:
        with place(folder, **SETTINGS) as made:
            yield made
        return
    databases.need("PostgreSQL", databases.POSTGRES_PORT)
    with databases.postgres_database() as url, place(folder, url, **SETTINGS) as made:
        yield made
