"""Large files in parts through the real command, to a folder and to S3: the same bytes back, in little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import s3_server as s3
from tests.clients import Client, GraphQLFailed, ServerProcess
from tests.e2e.calls import CONNECT, PRESIGN, all_rows, connect, download

pytestmark = pytest.mark.e2e

MIB = 1024**2
LARGE_BYTES = 200 * MIB + 17
MEMORY_BYTES_MAX = 64 * MIB  # beyond what the process holds anyway
CREATE = """mutation ($input: CreateUploadInput!) { createUpload(input: $input) {
  uploadId objectKey expiresAt parts { number url sizeBytes etag } } }"""
COMPLETE = """mutation ($input: CompleteUploadInput!) { completeUpload(input: $input) {
  objectKey fileName sizeBytes sha256 } }"""
UPLOAD = "query ($id: ID!) { upload(id: $id) { sha256 parts { number url sizeBytes etag } } }"


@pytest.fixture(scope="module", params=["folder", "bucket"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    env = {}
    if request.param == "bucket":
        bucket: s3.S3Server = request.getfixturevalue("s3_server")
        env = {
            "HEADWATER_STORAGE_URL": bucket.url(),
            "AWS_ACCESS_KEY_ID": s3.KEY_ID,
            "AWS_SECRET_ACCESS_KEY": s3.SECRET,
        }
    folder = tmp_path_factory.mktemp("uploads")
    with ServerProcess(folder / "data", env=env) as process:
        yield process.wait_until_ready()


def begin(client: Client, project_id: str, name: str, size: int) -> dict[str, Any]:
    given = {"projectId": project_id, "fileName": name, "sizeBytes": size}
    begun: dict[str, Any] = client.data(CREATE, input=given)["createUpload"]
    return begun


def send(part: dict[str, Any], body: bytes) -> dict[str, Any]:
    answer = httpx.put(part["url"], content=body, timeout=120, trust_env=False)
    assert answer.status_code == httpx.codes.OK, answer.text
    return {"number": part["number"], "etag": answer.headers["etag"]}


def complete(client: Client, begun: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    done: dict[str, Any] = client.data(
        COMPLETE, input={"uploadId": begun["uploadId"], "parts": parts}
    )["completeUpload"]
    return done


def test_a_csv_in_parts_is_synced_read_and_downloaded(client: Client, project_id: str) -> None:
    rows = [[number, f"name {number}"] for number in range(400_000)]
    body = ("id,name\n" + "".join(f"{number},{name}\n" for number, name in rows)).encode()
    begun = begin(client, project_id, "names.csv", len(body))
    first, second = begun["parts"]
    size = first["sizeBytes"]

    late = send(second, body[size:])
    half = client.data(UPLOAD, id=begun["uploadId"])["upload"]
    fresh = send(half["parts"][0], body[:size])
    done = complete(client, begun, [fresh, late])

    assert [part["etag"] for part in half["parts"]] == [None, late["etag"].strip('"')]
    assert (done["sizeBytes"], done["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    source_id, job_id = connect(
        client, project_id, "names", {"file": {"objectKey": done["objectKey"]}}
    )
    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    page = all_rows(client, source_id, where=[{"column": "id", "op": "LT", "value": 2500}])
    assert page == rows[:2500]
    assert download(client, source_id, "ORIGINAL") == body
    assert download(client, source_id, "CSV").decode().splitlines()[-1] == "399999,name 399999"
    assert download(client, source_id, "PARQUET")[:4] == b"PAR1"


def test_200_mb_come_back_the_same_and_pass_through_in_little_memory(
    server: ServerProcess, client: Client, project_id: str
) -> None:
    assert server.process is not None
    before = memory_of(server.process.pid, peak_anew=True)
    block = hashlib.sha256(b"seed").digest() + bytes(MIB - 32)
    begun = begin(client, project_id, "zeros.csv", LARGE_BYTES)

    def part_of(part: dict[str, Any]) -> bytes:
        size: int = part["sizeBytes"]
        return (block * (size // MIB + 1))[:size]

    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda part: send(part, part_of(part)), begun["parts"]))
    done = complete(client, begun, sent)
    again = complete(client, begun, sent)

    expected, size = hashlib.sha256(), 0
    for part in begun["parts"]:
        expected.update(part_of(part))
        size += part["sizeBytes"]
    assert size == done["sizeBytes"] == LARGE_BYTES
    assert done["sha256"] == again["sha256"] == expected.hexdigest()
    source = {"name": "zeros", "connection": {"file": {"objectKey": done["objectKey"]}}}
    made = client.data(CONNECT, input={"projectId": project_id, "sources": [source], "sync": False})
    source_id = made["connectDataSources"]["dataSources"][0]["id"]
    url = client.data(PRESIGN, input={"id": source_id})["presignDataSource"]["url"]
    got = hashlib.sha256()
    with httpx.stream("GET", url, timeout=120, trust_env=False) as answer:
        for chunk in answer.iter_bytes():
            got.update(chunk)
    assert got.hexdigest() == done["sha256"]
    assert memory_of(server.process.pid) - before < MEMORY_BYTES_MAX


def memory_of(pid: int, *, peak_anew: bool = False) -> int:
    """The most bytes that a process had resident, from now on with `peak_anew`."""
    if peak_anew:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def test_parts_that_are_missing_are_named(client: Client, project_id: str) -> None:
    begun = begin(client, project_id, "a.csv", 8)

    with pytest.raises(GraphQLFailed, match="Part 1 has not been stored") as caught:
        complete(client, begun, [{"number": 1, "etag": "x"}])

    assert caught.value.errors[0]["extensions"]["code"] == "INVALID_INPUT"
    assert caught.value.errors[0]["extensions"]["field"] == "input.parts"
