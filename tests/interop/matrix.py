"""What went from which client to which in a run, against what the page of the client in JavaScript claims.

A test tells by the fixture `went` what it sends; the table is made of the reports of what ran. A claim that no case that
passed bears out fails a run in which all of `tests/interop` was asked for. A case of what is not claimed fails any run.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parent
PAGE: Final = FOLDER / "js" / "README.md"
TO_JAVASCRIPT: Final = "Python → JavaScript"
TO_PYTHON: Final = "JavaScript → Python"
WAYS: Final = (TO_JAVASCRIPT, TO_PYTHON)
PROPERTY: Final = "interop"
"""Of a report: one property with this name for each cell that its test is a case of."""

Cell = tuple[str, str]


def claims_in(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """What the page's table with both directions says that the client can do: a row, and the ways in which it can."""
    lines = page.splitlines()
    start = next((i for i, line in enumerate(lines) if TO_JAVASCRIPT in line and TO_PYTHON in line), None)
    if start is None:
        raise ValueError(f"no table with the columns {TO_JAVASCRIPT!r} and {TO_PYTHON!r}")
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != len(WAYS) or not set(cells) <= {"yes", "–"} or "yes" not in cells:
            raise ValueError(f"each cell is 'yes' or '–', and one of them 'yes': {line}")
        rows.append((name, tuple(way for way, cell in zip(WAYS, cells, strict=True) if cell == "yes")))
    if len({name for name, _ in rows}) != len(rows):
        raise ValueError("a row stands there twice")
    return rows


def asks_for_all(config: pytest.Config) -> bool:
    """Whether every test of this folder was asked for."""
    option = config.option
    chosen = option.keyword or option.markexpr or option.collectonly or getattr(option, "lf", False)
    asked = [(config.invocation_params.dir / argument).resolve() for argument in config.args]
    return not chosen and any(FOLDER.is_relative_to(path) for path in asked)


@dataclass(eq=False)
class InteropMatrix:
    """Collects the cases; at the end, the table."""

    whole: bool
    page: Path = PAGE
    passed: Counter[Cell] = field(default_factory=Counter)
    failed: Counter[Cell] = field(default_factory=Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            cells = {tuple(value) for name, value in report.user_properties if name == PROPERTY}
            (self.passed if report.passed else self.failed).update(cells)

    def faults(self) -> list[str]:
        """What this run has to be blamed for, a line for each."""
        claimed = {
            (name, way) for name, ways in claims_in(self.page.read_text(encoding="utf-8")) for way in ways
        }
        ran = set(self.passed) | set(self.failed)
        unclaimed = [
            f"{name}, {way}: ran, but {self.page.name} does not claim it"
            for name, way in sorted(ran - claimed)
        ]
        if not self.whole:
            return unclaimed
        return unclaimed + [
            f"{name}, {way}: MISSING, no case of it ran" for name, way in sorted(claimed - ran)
        ]

    def lines(self) -> list[str]:
        """The table."""
        claims = claims_in(self.page.read_text(encoding="utf-8"))
        width = max(len(name) for name, _ in claims)
        table = [f"{'':{width}} | {' | '.join(WAYS)}"]
        for name, ways in claims:
            cells = [f"{self._cell((name, way), way in ways):{len(way)}}" for way in WAYS]
            table.append(f"{name:{width}} | {' | '.join(cells)}".rstrip())
        return table

    def _cell(self, cell: Cell, claimed: bool) -> str:
        passed, failed = self.passed[cell], self.failed[cell]
        if failed:
            return f"FAILED, {failed} of {failed + passed}"
        if passed:
            return f"{passed} case{'s' if passed > 1 else ''}"
        if not claimed:
            return "–"
        return "MISSING" if self.whole else "not run"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._says_something() and session.exitstatus == pytest.ExitCode.OK and self.faults():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._says_something():
            terminalreporter.section("Python and JavaScript")
            for line in self.lines():
                terminalreporter.write_line(line)
            for line in self.faults():
                terminalreporter.write_line(f"FAILED, {line}", red=True)

    def _says_something(self) -> bool:
        return self.whole or bool(self.passed or self.failed)
