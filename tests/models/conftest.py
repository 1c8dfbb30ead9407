"""Databases before any migration, and histories of migrations that the tests write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import POSTGRESQL, SQLITE
from tests.models.history import History


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without a schema, in each dialect."""
    if request.param == SQLITE:
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Our own first migration in a package of the test's, to which the test adds later ones."""
    monkeypatch.syspath_prepend(tmp_path)
    return History(tmp_path)
