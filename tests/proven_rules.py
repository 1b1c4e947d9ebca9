"""Which rules of docs/protocol.md a run has proved: `@pytest.mark.proves("M-AUTH-03")` on tests, `proves=` on cases.

A marker alone does not count: the test must have run and passed in this run, with xdist too. The check is made where the
whole suite was asked for; a rule that nothing proved fails it.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.protocol_rules import DOCUMENT, ids_in

ROOT: Final = Path(__file__).parents[1]
PROPERTY: Final = "proves"
"""Of a report: one property with this name for each id that it proves; it comes through to the controller of xdist."""


def faults_of(rules: Iterable[str], proved: set[str]) -> list[str]:
    """What a whole run has to be blamed for, a line for each."""
    known = set(rules)
    faults = [f"nothing that ran and passed proves {rule}" for rule in sorted(known - proved)]
    faults += [f"{rule} is no rule of docs/protocol.md" for rule in sorted(proved - known)]
    return faults


def is_whole(config: pytest.Config) -> bool:
    """Whether every test was asked for, and not some files, or those that an expression selects."""
    option = config.option
    chosen = option.keyword or option.markexpr or option.collectonly or getattr(option, "lf", False)
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen


class ProvenRules:
    """Collects what the tests that passed prove; at the end of a whole run, what is missing fails it."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.proved: set[str] = set()
        self.faults: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.proved.update(str(value) for name, value in report.user_properties if name == PROPERTY)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.whole and session.exitstatus == pytest.ExitCode.OK:
            rules = ids_in(DOCUMENT.read_text(encoding="utf-8"))
            self.faults = faults_of(rules, self.proved)
            if self.faults:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.proved:
            terminalreporter.write_line(f"{len(self.proved)} rules of docs/protocol.md proved by what ran")
        for line in self.faults:
            terminalreporter.write_line(f"FAILED, {line}", red=True)


class RuleMarkers:
    """Puts the ids of the markers into the reports; in every process, for tests run in those of xdist."""

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for marker in item.iter_markers("proves"):
                item.user_properties.extend((PROPERTY, rule) for rule in marker.args)


def _called(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Of the decorators of a function: `proves` or the id of a case, and the rules named."""
    for call in getattr(node, "decorator_list", ()):
        match call:
            case ast.Call(func=ast.Attribute(attr="proves"), args=args):
                yield "proves", [str(ast.literal_eval(one)) for one in args]
            case ast.Call(
                func=ast.Attribute(attr="case"), args=[ast.Constant(value=str(name))], keywords=given
            ):
                for keyword in given:
                    if keyword.arg == "proves":
                        yield name, list(ast.literal_eval(keyword.value))


def claims() -> dict[str, list[str]]:
    """By rule, the tests (path and name) and the cases (id) that say they prove it."""
    found: dict[str, list[str]] = {}
    files = [
        *sorted((ROOT / "client" / "conformance").rglob("*.py")),
        *sorted((ROOT / "tests").rglob("test_*.py")),
    ]
    for path in files:
        text = path.read_text(encoding="utf-8")
        if "proves" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            for by, rules in _called(node):
                name = f"{path.relative_to(ROOT)}::{node.name}" if by == "proves" else f"case {by}"  # type: ignore[attr-defined]
                for rule in rules:
                    found.setdefault(rule, []).append(name)
    return found
