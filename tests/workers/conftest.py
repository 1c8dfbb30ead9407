"""Fixtures of the tests of workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.deployments import DEPLOYMENTS, Deployment, deployed


@pytest.fixture(params=DEPLOYMENTS)
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """SQLite and one worker, PostgreSQL and workers with Redis, the same with RabbitMQ; no process yet."""
    with deployed(request.param, request, tmp_path) as made:
        yield made
