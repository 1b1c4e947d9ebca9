"""A rule of docs/protocol.md counts as proved by what ran and passed, in a run of the whole suite."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT
from tests.protocol_rules import DOCUMENT, ids_in
from tests.proven_rules import claims, faults_of

SUITE = """import pytest
@pytest.mark.proves("M-AUTH-03")
def test_passes(): pass
@pytest.mark.proves("M-AUTH-04")
def test_is_skipped(): pytest.skip("agreed")
def test_runs_cases(record_property): record_property("proves", "M-AUTH-05")
"""


def run_pytest(folder, *arguments):
    """A pytest of its own in which every test was asked for, unless the arguments say otherwise."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "allowed_skips.txt").write_text("agreed\n")
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = .\naddopts = --strict-markers\n")
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("parallel", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_marker_counts_if_its_test_ran_and_passed(tmp_path, parallel):
    done = run_pytest(tmp_path, *parallel)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    told = {line.rpartition(" ")[2] for line in done.stdout.splitlines() if "nothing that ran" in line}
    assert "M-AUTH-04" in told
    assert not told & {"M-AUTH-03", "M-AUTH-05"}
    assert "2 rules of docs/protocol.md proved by what ran" in done.stdout


@pytest.mark.parametrize("some", [["test_suite.py"], ["-k", "passes"]], ids=["file", "expression"])
def test_a_run_of_some_tests_is_not_blamed(tmp_path, some):
    done = run_pytest(tmp_path, *some)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_each_way_to_be_out_of_step_is_a_fault():
    rules = ["M-LOG-01", "M-LOG-02"]
    assert faults_of(rules, {"M-LOG-01", "M-LOG-02"}) == []
    assert faults_of(rules, {"M-LOG-01"}) == ["nothing that ran and passed proves M-LOG-02"]
    assert faults_of(rules, {"M-LOG-01", "M-LOG-02", "M-LOG-03"}) == [
        "M-LOG-03 is no rule of docs/protocol.md"
    ]


def test_each_rule_is_claimed_by_a_test_or_a_case():
    """Whether what claims it ran, a run of the whole suite says at its end."""
    assert faults_of(ids_in(DOCUMENT.read_text(encoding="utf-8")), set(claims())) == []
