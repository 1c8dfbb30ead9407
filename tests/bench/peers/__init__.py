"""The tools that we are measured against, in an environment of their own (`tests/bench/peers`), made by `make bench`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.processes import PeakMemory

PYTHON = Path("build/peers/bin/python")
SCRIPTS = Path(__file__).parent


def run(script: str, *arguments: object) -> list[float]:
    """What a peer's script prints, a number a line; RuntimeError with the end of what it complained about."""
    return _end(_start(script, *arguments))


def peak_bytes(script: str, *arguments: object) -> int:
    """The highest memory of the script's process tree, in a run that is not timed: looking takes time, too."""
    process = _start(script, *arguments)
    with PeakMemory(process.pid) as peak:
        _end(process)
    return peak.bytes


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PYTHON, SCRIPTS / script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> list[float]:
    out, complaints = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"a peer failed: {complaints[-2_000:]}")
    return [float(line) for line in out.split()]
