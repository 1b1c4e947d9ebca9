"""At the end of a run: what went from which client to which, by the tests that passed."""

from collections.abc import Callable

import pytest

TO_JAVASCRIPT, TO_PYTHON = "Python → JavaScript", "JavaScript → Python"


@pytest.fixture
def went(record_property) -> Callable[..., None]:
    """Called by a test with what it sends; it counts if the test passes."""

    def note(*contents: str, to: tuple[str, ...] = (TO_JAVASCRIPT, TO_PYTHON)) -> None:
        for content in contents:
            for direction in to:
                record_property("interop", f"{content}|{direction}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.getreports("passed")
    seen = {
        tuple(value.split("|"))
        for report in passed
        for name, value in report.user_properties
        if name == "interop"
    }
    if not seen:
        return
    terminalreporter.section("Python and JavaScript")
    contents = sorted({content for content, _ in seen})
    width = max(map(len, contents))
    terminalreporter.write_line(f"{'':{width}} | {TO_JAVASCRIPT} | {TO_PYTHON}")
    for content in contents:
        cells = [
            f"{'yes' if (content, way) in seen else '–':{len(way)}}" for way in (TO_JAVASCRIPT, TO_PYTHON)
        ]
        terminalreporter.write_line(f"{content:{width}} | {' | '.join(cells)}")
