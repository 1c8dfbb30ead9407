"""What the long-lived processes load when they start: megabytes that nobody may need stay where they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = "duckdb", "numpy", "pandas", "pyarrow", "redis", "pika", "httpx", "asyncpg"


@pytest.mark.parametrize("module", ["server.worker", "server.app"])
def test_a_process_starts_without_data_libraries_and_clients(module: str) -> None:
    program = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert found.stdout.decode().split() == []
