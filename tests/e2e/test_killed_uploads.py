"""The API killed while it receives a part, and at each step of a completion: nothing names what is not whole."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.clients import Client, ServerProcess
from tests.e2e import dying_server
from tests.e2e.calls import connect, download
from tests.e2e.test_large_uploads import UPLOAD, begin, complete, send

pytestmark = pytest.mark.e2e

MIB = 1024**2
BODY = b"id,note\n" + b"".join(b"%d,%0300d\n" % (n, n) for n in range(23_000))  # two parts
WAIT_SECONDS_MAX = 240
WITHOUT_RIGHTS = "never"  # a step that never comes


def server(data_dir: Path, step: str = WITHOUT_RIGHTS, flag: Path | None = None) -> ServerProcess:
    script = [sys.executable, dying_server.__file__, step, str(flag or data_dir / "no flag")]
    root = str(Path(__file__).parents[2])
    return ServerProcess(data_dir, env={"PYTHONPATH": root}, within=script)


def new_project(client: Client) -> str:
    payload = client.data(
        "mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }",
        input={"name": "Uploads"},
    )
    return str(payload["createProject"]["project"]["id"])


def objects(data_dir: Path) -> dict[str, bytes]:
    """All objects that were uploaded, by key."""
    store = data_dir / "objects"
    found = [path for path in store.glob("uploads/*/*") if path.is_file()]
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def rows(data_dir: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(data_dir / "headwater.db")) as database:
        found = database.execute("SELECT object_key, size_bytes, sha256 FROM uploads")
        return list(found.fetchall())


def unfinished(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "objects/.parts").glob("*"))


def assert_all_is_whole(data_dir: Path) -> None:
    """Every object, and whatever a row names, is the whole file."""
    stored = objects(data_dir)
    assert set(stored.values()) <= {BODY}
    for key, size, sha256 in rows(data_dir):
        assert (len(stored[key]), hashlib.sha256(stored[key]).hexdigest()) == (size, sha256)


def sent_parts(client: Client, begun: dict[str, Any]) -> list[dict[str, Any]]:
    """Send the parts that are not there; all of them, as `completeUpload` wants them."""
    now = client.data(UPLOAD, id=begun["uploadId"])["upload"]["parts"]
    at, sent = 0, []
    for part in now:
        body = BODY[at : at + part["sizeBytes"]]
        there = {"number": part["number"], "etag": part["etag"]}
        sent.append(there if part["etag"] else send(part, body))
        at += part["sizeBytes"]
    return sent


def assert_completed(
    data_dir: Path, client: Client, project_id: str, *uploads: dict[str, Any]
) -> None:
    """These are all uploads that there are; the last one is a file like any other."""
    done = uploads[-1]
    assert (done["sizeBytes"], done["sha256"]) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert_all_is_whole(data_dir)
    keys = sorted(upload["objectKey"] for upload in uploads)
    assert sorted(row[0] for row in rows(data_dir)) == keys == sorted(objects(data_dir))
    assert unfinished(data_dir) == []
    file = {"file": {"objectKey": done["objectKey"]}}
    source_id, job_id = connect(client, project_id, "names", file)
    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    assert download(client, source_id, "ORIGINAL") == BODY


def test_killed_while_a_part_is_received(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with server(data_dir) as first:
        client = first.wait_until_ready().client()
        project_id = new_project(client)
        begun = begin(client, project_id, "names.csv", len(BODY))
        size = begun["parts"][0]["sizeBytes"]
        send(begun["parts"][1], BODY[size:])
        with half_sent(begun["parts"][0]["url"], BODY[:size], 3 * MIB):
            wait_for_bytes(data_dir, BODY[: 2 * MIB])
            first.stop(signal.SIGKILL)
    assert (objects(data_dir), rows(data_dir)) == ({}, [])

    with server(data_dir) as second:
        client = second.wait_until_ready().client()
        left = client.data(UPLOAD, id=begun["uploadId"])["upload"]
        assert [bool(part["etag"]) for part in left["parts"]] == [False, True]
        done = complete(client, begun, sent_parts(client, begun))
        assert_completed(data_dir, client, project_id, done)


def test_killed_at_each_step_of_a_completion(tmp_path: Path) -> None:
    data_dir, flag = tmp_path / "data", tmp_path / "alive"
    begun: dict[str, Any] = {}
    done: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    project_id = ""
    for step in ("os.link", "os.remove", "os.rmdir", dying_server.COMMITTED, WITHOUT_RIGHTS):
        with server(data_dir, step, flag) as now:
            client = now.wait_until_ready().client()
            if begun:  # the server before this one died over it
                done.append(complete(client, begun, parts))
                assert complete(client, begun, parts) == done[-1]
                assert_completed(data_dir, client, project_id, *done)
            if step == WITHOUT_RIGHTS:
                break
            project_id = project_id or new_project(client)
            begun = begin(client, project_id, "names.csv", len(BODY))
            parts = sent_parts(client, begun)
            flag.touch()
            with pytest.raises(httpx.TransportError):
                complete(client, begun, parts)
            assert now.stop() == -signal.SIGKILL
        assert_all_is_whole(data_dir)


def half_sent(url: str, body: bytes, count: int) -> socket.socket:
    """A connection that has sent so many bytes of a PUT, and goes on no further."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[:count])
    return connection


def wait_for_bytes(data_dir: Path, wanted: bytes) -> None:
    """Until these bytes are in the file that the parts are written to."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        for data in (data_dir / "objects/.parts").glob("*/data"):
            with data.open("rb") as file:
                if os.pread(file.fileno(), len(wanted), 0) == wanted:
                    return
        time.sleep(0.02)
    raise AssertionError("the server took no bytes")
