"""How many published vectors a run compared, primitive by primitive, as a table at its end.

A test tells its count by `record_property("vectors", (primitive, count))`, which comes through to the controller of
xdist, too.
"""

import pytest


class VectorCounts:
    """Collects the counts of the reports; prints nothing if there are none."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.counts.update(value for name, value in report.user_properties if name == "vectors")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.counts:
            terminalreporter.section("published vectors that were compared")
            for primitive, count in sorted(self.counts.items()):
                terminalreporter.write_line(f"{count:7,}  {primitive}")
