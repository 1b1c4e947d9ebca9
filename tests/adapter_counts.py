"""On which adapters the contract suites ran, as a table at the end of a run; a whole run without one of them fails.

A fixture that opens an adapter notes it by `note_adapter`, which comes through to the controller of xdist, too.
"""

from typing import Final

import pytest

ADAPTERS: Final = {
    "store": ("memory", "sqlite", "postgres"),
    "bus": ("memory", "nats"),
    "blobs": ("memory", "disk", "s3"),
}


def note_adapter(request: pytest.FixtureRequest, port: str, adapter: str) -> None:
    """The test of this fixture runs on it."""
    request.node.user_properties.append(("adapter", (port, adapter)))


class AdapterCounts:
    """Counts tests that passed; prints nothing where there are none."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._counts: dict[tuple[str, str], int] = {}

    def _missing(self) -> list[str]:
        names = [(port, adapter) for port, adapters in ADAPTERS.items() for adapter in adapters]
        return [f"{port} on {adapter}" for port, adapter in names if (port, adapter) not in self._counts]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            for name, value in report.user_properties:
                if name == "adapter":
                    port, adapter = value
                    self._counts[port, adapter] = self._counts.get((port, adapter), 0) + 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._whole and self._missing() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._counts:
            terminalreporter.section("contract suites, by what they ran on")
            for (port, adapter), count in sorted(self._counts.items()):
                terminalreporter.write_line(f"{count:7,}  {port} on {adapter}")
        if self._whole:
            for missing in self._missing():
                terminalreporter.write_line(f"FAILED, no contract test passed: {missing}", red=True)
