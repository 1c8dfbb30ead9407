"""What every request passes: its line in the log, and where it is sent on to."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from base.credentials import generate_key
from base.settings import Settings
from server.app import create_app
from server.middleware import HUNG_UP, RequestScope

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/upload", "headers": []}


async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
    assert (await receive())["type"] == "http.disconnect"


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("broken")


async def gone() -> Message:
    return {"type": "http.disconnect"}


async def sent(_message: Message) -> None:
    raise AssertionError("nobody is there")


async def test_a_client_that_hangs_up_is_no_error_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "headwater.http"):
        await RequestScope(silent, is_https=False)(SCOPE, gone, sent)
        with pytest.raises(RuntimeError, match="broken"):
            await RequestScope(failing, is_https=False)(SCOPE, gone, sent)

    assert [vars(record)["status"] for record in caplog.records] == [HUNG_UP, 500]


@pytest.mark.parametrize("path", ["/gateway", "/jarvispy"])
async def test_nobody_is_sent_on_to_the_host_of_the_request(tmp_path: Path, path: str) -> None:
    app = create_app(Settings(data_dir=tmp_path, secret_keys=(generate_key(),)), embedded=False)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        answer = await client.get(path)

    assert answer.status_code == 404
    assert "location" not in answer.headers
