"""The conformance audits of the npm package graphql-http: every MUST, SHOULD and MAY."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.graph.small import app
from tests.live import serving

AUDIT = Path(__file__).with_name("audit")
AUDITS = 61  # of graphql-http 1.23.1


@pytest.fixture(scope="module")
def node() -> str:
    """Node with the audits installed."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        reason = "the audits need node and npm"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    if not (AUDIT / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=AUDIT, check=True, timeout=500)
    return found


def test_all_audits_pass(node: str) -> None:
    with serving(app()) as url:
        run = subprocess.run(
            [node, "audit.mjs", f"{url}/graphql"],
            cwd=AUDIT,
            check=True,
            capture_output=True,
            timeout=500,
        )
    results = json.loads(run.stdout)

    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS
