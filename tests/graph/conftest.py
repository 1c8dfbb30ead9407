"""Fixtures of whoever asks the API."""

from __future__ import annotations

import pytest

from services import rates
from services.platform import Platform
from tests.graph.asking import Asker
from tests.services.places import Place, make_place


@pytest.fixture(autouse=True)
def _start_counting_anew() -> None:
    rates.forget()


@pytest.fixture
async def place(platform: Platform) -> Place:
    assert platform
    return await make_place()


@pytest.fixture
def asker(platform: Platform, place: Place) -> Asker:
    return Asker(platform, place.viewer)
