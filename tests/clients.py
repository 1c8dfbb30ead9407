"""Clients for tests: GraphQL over real HTTP, and real server processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

# Servers of tests speak plain HTTP, and loading certificates takes longer than most requests.
WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ROOT = Path(__file__).parents[1]
START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 120
JOB_SECONDS_MAX = 240
CALL_SECONDS_MAX = 240


class GraphQLFailed(AssertionError):
    """The answer had errors; they are `.errors`."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(json.dumps(errors, indent=1))
        self.errors = errors


class Client:
    """A GraphQL client of one server and one token."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=CALL_SECONDS_MAX,
            trust_env=False,
            verify=WITHOUT_TLS,
        )

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def answer(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer: data and errors."""
        response = self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    def data(self, query: str, **variables: Any) -> Any:
        """The data of an operation that must not fail."""
        answer = self.answer(query, **variables)
        if "errors" in answer:
            raise GraphQLFailed(answer["errors"])
        return answer["data"]

    def upload(self, project_id: str, path: Path, file_name: str | None = None) -> dict[str, Any]:
        """`uploadFile` by the multipart request specification; gives the payload."""
        query = """mutation ($input: UploadFileInput!) {
            uploadFile(input: $input) { objectKey fileName sizeBytes sha256 } }"""
        operations = {
            "query": query,
            "variables": {"input": {"projectId": project_id, "file": None}},
        }
        with path.open("rb") as file:
            response = self.http.post(
                "/graphql",
                data={
                    "operations": json.dumps(operations),
                    "map": '{"0": ["variables.input.file"]}',
                },
                files={"0": (file_name or path.name, file)},
            )
        answer = response.json()
        if "errors" in answer:
            raise GraphQLFailed(answer["errors"])
        payload: dict[str, Any] = answer["data"]["uploadFile"]
        return payload

    def wait_for_job(self, job_id: str, seconds: float = JOB_SECONDS_MAX) -> dict[str, Any]:
        """Wait until a job is over; gives its last state."""
        query = """query ($id: ID!) { job(id: $id) {
            id status attempts error { code message hint } snapshot { id number } progress { rowsDone } } }"""
        deadline = time.monotonic() + seconds
        while True:
            job: dict[str, Any] = self.data(query, id=job_id)["job"]
            if job["status"] in {"SUCCEEDED", "FAILED", "CANCELLED"}:
                return job
            assert time.monotonic() < deadline, f"not over after {seconds} s: {job}"
            time.sleep(0.05)


def free_port() -> int:
    """A port that nothing listens on, and that nobody else is given while this process lives.

    Its socket stays bound, or the port could go to any connection before its server starts. Servers bind it all the same,
    because both sides say SO_REUSEADDR and this one never listens.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    probe.detach()  # open until this process ends
    return port


class ServerProcess:
    """A `headwater` command of its own session, with its own data folder and port; killed whole at the end."""

    def __init__(
        self,
        data_dir: Path,
        verb: str = "serve",
        env: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        """`within` is a command that runs the command given behind it, in other surroundings."""
        self.data_dir = data_dir
        self.verb = verb
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir.with_name(f"{data_dir.name}-{verb}.log")
        self._env = {
            name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")
        }
        self._env |= {"HEADWATER_DATA_DIR": str(data_dir), "HEADWATER_PORT": str(self.port)} | dict(
            env or {}
        )
        self._command = [*within, str(Path(sys.executable).with_name("headwater")), verb]
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """Everything the process has printed so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self) -> Self:
        """Wait for `/readyz` to answer 200."""
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if (
                    httpx.get(
                        f"{self.url}/readyz", timeout=CALL_SECONDS_MAX, trust_env=False
                    ).status_code
                    == httpx.codes.OK
                ):
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server did not get ready:\n{self.output}")

    @property
    def link(self) -> str:
        """The link that the first start prints."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if found := re.search(r"http://\S+/graphql#token=hw_\S+", self.output):
                return found.group()
            time.sleep(0.05)
        raise AssertionError(f"no link was printed:\n{self.output}")

    def client(self, token: str | None = "") -> Client:
        """A client with this token, that of the first user, or (None) without one; closed with the server."""
        client = Client(self.url, self.link.partition("#token=")[2] if token == "" else token)
        self._clients.append(client)
        return client

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the server as a supervisor would, then whatever is left of its session; gives the exit status."""
        assert self.process is not None
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(timeout=STOP_SECONDS_MAX)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return status
