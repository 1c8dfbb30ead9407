"""Every request and reply of the dialects' documents, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.exchanges import FOLDER, conversations, hold
from tests.gateway.places import Place


@pytest.mark.parametrize(
    "path", conversations(), ids=lambda path: str(path.relative_to(FOLDER).with_suffix(""))
)
def test_a_documented_conversation_goes_as_documented(server: Place, path: Path) -> None:
    hold(server, path)
