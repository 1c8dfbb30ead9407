"""Servers under attack, one as whoever runs the tests and one as an ordinary user, and what they are to leave alone."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.base import attacked


@dataclass
class Server:
    """The process of `tests.base.attacked`; `folder` is its own, so that no permission keeps its children out."""

    process: "subprocess.Popen[str]"
    folder: Path
    log: Path
    pid: int
    uid: int
    address: int
    made: list[Path] = field(default_factory=list)

    def attack(
        self,
        name: str,
        *args: Any,
        isolation: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The outcome of an attack by a child; without `isolation` that is the control."""
        order = {"attack": name, "args": args, "isolation": isolation, "limits": limits or {}}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order, default=str) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the server is gone: {self.log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def own(self, path: Path) -> Path:
        """Give a file to the server's user."""
        os.chown(path, self.uid, -1)
        return path

    def file(self, name: str, content: str = "precious") -> Path:
        """A file of the server's, which nobody else may read."""
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o600)
        return self.own(path)

    def new_folder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o700)
        return self.own(path)


@pytest.fixture(scope="module", params=["its own user", "an ordinary user"])
def started(request: pytest.FixtureRequest) -> Iterator[Server]:
    ordinary = request.param == "an ordinary user"
    if ordinary and os.geteuid() != 0:
        pytest.skip("is one already")
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))
    home.chmod(0o755)
    log = home / "log"
    process = attacked.start(ordinary=ordinary, log=log)
    server = Server(process, home, log, 0, 0, 0)
    try:
        about = server.answer()
        server.pid, server.uid, server.address = about["pid"], about["uid"], about["address"]
        assert server.uid == (attacked.USER if ordinary else os.geteuid())
        yield server
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(100)
        process.stdout.close()
        shutil.rmtree(home)


@pytest.fixture
def server(started: Server) -> Iterator[Server]:
    """With an empty folder of its own."""
    folder = Path(tempfile.mkdtemp(dir=started.folder.parent))
    started.folder = started.own(folder)
    yield started
    shutil.rmtree(folder)
