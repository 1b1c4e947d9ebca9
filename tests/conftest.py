"""A skipped test fails the run, unless its reason stands in `allowed_skips.txt` beside this file; vectors are counted.

A suite that is green because half of it did not run proves nothing: each reason is agreed on, in writing.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapter_counts import AdapterCounts
from tests.interop.matrix import InteropMatrix, asks_for_all
from tests.proven_rules import ProvenRules, RuleMarkers, is_whole
from tests.servers.postgres import PostgresServer
from tests.vector_counts import VectorCounts


def allowed_reasons() -> set[str]:
    """The reasons, one a line; empty lines and those that start with # are for the reader."""
    lines = Path(__file__).with_name("allowed_skips.txt").read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why the test was skipped, as its author wrote it."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


class SkipWatch:
    """Collects the skips that nobody agreed on; at the end they are failures."""

    def __init__(self) -> None:
        self.allowed = allowed_reasons()
        self.unexplained: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.note(report)

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if (reason := reason_of(report)) not in self.allowed:
            self.unexplained.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexplained and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.unexplained:
            terminalreporter.write_line(
                f"FAILED, skipped for a reason not in tests/allowed_skips.txt: {line}", red=True
            )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(*ids): the rules of docs/protocol.md that this test proves")
    config.pluginmanager.register(RuleMarkers(), "tokenim-rule-markers")
    if not hasattr(config, "workerinput"):  # with xdist, only the controller sees every report
        config.pluginmanager.register(SkipWatch(), "tokenim-skip-watch")
        config.pluginmanager.register(VectorCounts(), "tokenim-vector-counts")
        config.pluginmanager.register(AdapterCounts(is_whole(config)), "tokenim-adapter-counts")
        config.pluginmanager.register(InteropMatrix(asks_for_all(config)), "tokenim-interop-matrix")
        config.pluginmanager.register(ProvenRules(is_whole(config)), "tokenim-proven-rules")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this worker; each makes a database of its own (tests/servers/databases.py)."""
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server
