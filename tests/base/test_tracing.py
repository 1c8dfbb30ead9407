"""One trace id for a request, its job and their log lines; one JSON object a line."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextvars import Context, copy_context

import httpx
import pytest

from base import tracing
from tests.http_server import HttpServer

NEW = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def logs() -> Iterator[logging.Logger]:
    """A logger whose root is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in tracing.NOISY}
    yield logging.getLogger("headwater.test")
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_context_has_one_trace_id_of_its_own() -> None:
    first = copy_context()

    assert NEW.fullmatch(first.run(tracing.trace_id))
    assert first.run(tracing.trace_id) == first.run(tracing.trace_id)
    assert Context().run(tracing.trace_id) != first.run(tracing.trace_id)


@pytest.mark.parametrize(
    "value", ["abcdefgh", "0af7651916cd43dd8448eb211c80319c", "A.b_c-12", "x" * 64]
)
def test_a_caller_s_trace_id_is_adopted(value: str) -> None:
    context = copy_context()

    assert context.run(tracing.set_trace_id, value) == value
    assert context.run(tracing.trace_id) == value


@pytest.mark.parametrize(
    "value", [None, "", "short", "x" * 65, "abcdefgh\n", "a b c d e f", 'a"b"c"d"e', "ünïcödës"]
)
def test_a_trace_id_that_could_break_a_log_line_is_replaced(value: str | None) -> None:
    assert NEW.fullmatch(copy_context().run(tracing.set_trace_id, value))


def _line(text: str, *arguments: object, **more: object) -> dict[str, object]:
    record = logging.getLogger("headwater.test").makeRecord(
        "headwater.test", logging.WARNING, "file.py", 1, text, arguments, None, extra=more
    )
    line = tracing.JsonLines().format(record)
    assert "\n" not in line
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_a_log_line_is_one_json_object_with_the_trace_id() -> None:
    context = copy_context()
    context.run(tracing.set_trace_id, "trace-12345")

    line = context.run(_line, "read %d rows\nof “people”", 3, job=17, at=Exception)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(line.pop("time")))
    assert line == {
        "level": "WARNING",
        "logger": "headwater.test",
        "message": "read 3 rows\nof “people”",
        "traceId": "trace-12345",
        "job": 17,
        "at": "<class 'Exception'>",
    }


def test_what_is_logged_beside_cannot_replace_the_line_s_own_parts() -> None:
    line = _line("text", level="FINE", traceId="forged", time="never", logger="other")

    assert (line["level"], line["logger"]) == ("WARNING", "headwater.test")
    assert line["traceId"] != "forged"
    assert line["time"] != "never"


def test_an_exception_is_logged_with_its_traceback(
    logs: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    tracing.configure_logging("INFO")

    try:
        int("odd")
    except ValueError:
        logs.exception("failed")

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"].endswith("'odd'\n")


def test_libraries_are_quiet_unless_they_warn(
    logs: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    tracing.configure_logging("DEBUG")

    for name in tracing.NOISY:
        logging.getLogger(name).info("chatter")
    logs.debug("ours")

    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == [
        "ours"
    ]
    assert logging.getLogger().handlers[0].stream is sys.stderr  # type: ignore[attr-defined]


def test_signed_urls_that_a_client_asks_for_are_not_logged(
    logs: logging.Logger, capsys: pytest.CaptureFixture[str], http_server: HttpServer
) -> None:
    tracing.configure_logging("DEBUG")

    with httpx.Client(timeout=120) as client:
        client.get(f"{http_server.url}/one?X-Amz-Signature=abc123")
    logs.debug("ours")

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "ours"
