"""Probes: alive, and ready. Unauthenticated, cheap however often they are called, and without details."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]
CACHE_SECONDS = 2.0
CHECK_SECONDS_MAX = 5.0


class Readiness:
    """Runs named checks together and remembers the outcome for `CACHE_SECONDS`.

    A check passes by returning and fails by raising; only its name reaches the caller, the reason goes to the log.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._outcome: dict[str, bool] = {}
        self._valid_until = 0.0

    async def outcome(self) -> dict[str, bool]:
        """Whether each check passes."""
        async with self._lock:
            if time.monotonic() >= self._valid_until:
                names = list(self._checks)
                passed = await asyncio.gather(*(self._passes(name) for name in names))
                self._outcome = dict(zip(names, passed, strict=True))
                self._valid_until = time.monotonic() + CACHE_SECONDS
            return self._outcome

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(CHECK_SECONDS_MAX):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the probe has to answer
            logger.warning("readiness check failed", extra={"check": name, "reason": repr(error)})
            return False
        return True


def routes(readiness: Readiness) -> list[Route]:
    """`/healthz`: the process answers. `/readyz`: 200 when every dependency does, else 503."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        outcome = await readiness.outcome()
        ready = all(outcome.values())
        checks = {name: "ok" if passed else "failing" for name, passed in outcome.items()}
        return JSONResponse(
            {"status": "ready" if ready else "not ready", "checks": checks},
            status_code=200 if ready else 503,
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
