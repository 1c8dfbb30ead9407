"""The README's tour, typed as it is printed, gives what is printed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients import ROOT, ServerProcess

pytestmark = pytest.mark.e2e
MARK = "--- end of step ---"
# Instead of the two seconds that the tour gives a job: until none is left, however busy the machine is.
UNTIL_IDLE = """until gql '{"query": "{ jobs(filter: {status: [QUEUED, RUNNING]}) { totalCount } }"}' \\
  | grep -q '"totalCount":0'; do sleep 0.2; done"""


def steps() -> list[tuple[str, str | None]]:
    """The commands of each step of the tour and the output printed below them, if any."""
    tour = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("## A five-minute tour")[2]
        .partition("\n## ")[0]
    )
    blocks = re.findall(r"```(sh|json)\n(.*?)```", tour, re.DOTALL)
    found: list[tuple[str, str | None]] = []
    for kind, text in blocks:
        if kind == "sh":
            found.append((text, None))
        else:
            found[-1] = (found[-1][0], text)
    return found


def rest_lines() -> list[str]:
    """The commands that try a dialect."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## REST dialects")[2].partition("\n## ")[0]
    return re.findall(r"\| `(curl [^`]+)` \|", table)


def values(text: str) -> list[Any]:
    """The JSON values of a text, however they are broken into lines."""
    decoder, position, found = json.JSONDecoder(), 0, []
    while position < len(text.rstrip()):
        value, position = decoder.raw_decode(
            text, position + len(text[position:]) - len(text[position:].lstrip())
        )
        found.append(value)
    return found


def test_the_tour_gives_what_it_shows(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()
        tried = [f"{line} -sS --fail" for line in rest_lines()]
        script = f"\necho '{MARK}'\n".join([*(commands for commands, _ in steps()), *tried])
        script = script.replace("http://127.0.0.1:8000", server.url)
        script = script.replace("sleep 2", UNTIL_IDLE)

        typed = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert typed.stderr == ""
    outputs = typed.stdout.split(MARK)
    assert len(outputs) == len(steps()) + len(rest_lines())
    assert len(steps()) > 5
    for (commands, shown), printed in zip(steps(), outputs, strict=False):
        if shown is not None:
            assert values(printed) == values(shown), commands
    assert len(rest_lines()) == 4
    for line, printed in zip(rest_lines(), outputs[len(steps()) :], strict=True):
        assert "Tour" in printed or "orders" in printed, line
