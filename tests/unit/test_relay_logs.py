"""Logs: an allow-list of fields, and nothing of what a client sent."""

import io
import json
import logging

import pytest

from relay.observe.logs import EventLog, take_library_records


@pytest.fixture
def log():
    stream = io.StringIO()
    made = EventLog(stream, lambda: 1_000)
    made.stream = stream  # type: ignore[attr-defined]
    return made


def test_a_field_that_nobody_allowed_raises(log):
    with pytest.raises(ValueError, match=r"not loggable: \['address'\]"):
        log.info("came", address="192.0.2.1")
    assert log.stream.getvalue() == ""


def test_an_event_is_one_json_line(log):
    log.info("started", url="http://127.0.0.1:1")
    log.debug("not shown")
    (line,) = log.stream.getvalue().splitlines()
    assert json.loads(line) == {
        "time_ms": 1_000,
        "level": "info",
        "event": "started",
        "url": "http://127.0.0.1:1",
    }


def test_d8_an_exception_is_told_by_class_and_place_never_by_its_words(log):
    try:
        int("canary-in-a-body")
    except ValueError as error:
        log.failure("bug", error, request_id="r")
    line = json.loads(log.stream.getvalue())
    assert line["error"] == "ValueError"
    assert line["passed"][0].startswith("tests/unit/test_relay_logs.py:")
    assert "canary" not in log.stream.getvalue()


def test_c2_what_libraries_log_loses_its_words(log):
    undo = take_library_records(log)
    try:
        logging.getLogger("aiohttp.server").error("Error handling request from %s", "192.0.2.77")
        try:
            raise ConnectionResetError("192.0.2.77 is gone")
        except ConnectionResetError:
            logging.getLogger("asyncio").exception("socket of 192.0.2.77")
    finally:
        undo()
    first, second = map(json.loads, log.stream.getvalue().splitlines())
    assert "192.0.2.77" not in log.stream.getvalue()
    assert first["source"].startswith("aiohttp.server:test_relay_logs.py:")
    assert second["error"] == "ConnectionResetError"


def test_what_adapters_of_the_relay_log_keeps_its_event_and_nothing_more(log):
    own = logging.getLogger("relay.adapters.nats_bus")
    undo = take_library_records(log)
    try:
        own.warning("bus_away")
        own.info("bus_back")
        own.error("storage_full")
        own.warning("to 192.0.2.77 %s", "secret")
        logging.getLogger("relayed.by.others").warning("canary")
    finally:
        undo()
    told = [(line["level"], line["event"]) for line in map(json.loads, log.stream.getvalue().splitlines())]
    assert told == [
        ("warning", "bus_away"),
        ("info", "bus_back"),
        ("error", "storage_full"),
        ("warning", "library"),
        ("warning", "library"),
    ]
    assert "192.0.2.77" not in log.stream.getvalue()
