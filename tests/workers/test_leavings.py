"""What a killed worker leaves on its disk goes with the next attempt, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from models import JobKind
from services.leases import Lease
from workers.leavings import forget


def test_what_earlier_attempts_left_goes_and_that_of_other_jobs_stays(tmp_path: Path) -> None:
    lease = Lease(
        job_id=1,
        kind=JobKind.SCRIPT,
        project_id=1,
        source_id=1,
        worker="worker",
        fence=3,
        attempt=3,
        failures=0,
        lease_ms=60_000,
        trace_id=None,
    )
    gone = ["script-1-1-0", "script-1-2-4"]
    staying = ["script-1-3-0", "script-7-1-0", "script-11-1-0", "upload-5-1-2"]
    for name in [*gone, *staying]:
        (tmp_path / name).write_bytes(b"rows")
    for name in ("derive-1-2", "sync-1-1", "finish-1-2", "derive-1-3", "sync-7-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"rows")

    forget(tmp_path, lease)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*staying, "derive-1-3", "sync-7-1"]
    )
