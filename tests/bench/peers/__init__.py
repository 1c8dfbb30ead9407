"""The tools that we are measured against, in an environment of their own (`tests/bench/peers`), made by `make bench`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import PeakMemory

PYTHON = Path("build/peers/bin/python")
SCRIPTS = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Run:
    """What a peer's script printed, a number a line, and the highest memory of its process tree."""

    numbers: list[float]
    peak_bytes: int


def run(script: str, *arguments: object) -> Run:
    """Run one of the scripts to its end; raises RuntimeError with the end of what it complained about."""
    process = subprocess.Popen(
        [PYTHON, SCRIPTS / script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with PeakMemory(process.pid) as peak:
        out, complaints = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{script} failed: {complaints[-2_000:]}")
    return Run([float(line) for line in out.split()], peak.bytes)
