"""The table of what went which way is made of what ran; a claim without a case fails the run that asked for all."""

import os
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT
from tests.interop.matrix import PAGE, TO_JAVASCRIPT, TO_PYTHON, claims_in

TABLE = f"| | {TO_JAVASCRIPT} | {TO_PYTHON} |\n| --- | --- | --- |\n"
SUITE = """import pytest
def test_talk(record_property):
    record_property("interop", ("text", "Python → JavaScript"))
    record_property("interop", ("text", "JavaScript → Python"))
def test_more(record_property):
    record_property("interop", ("text", "Python → JavaScript"))
"""
CONFTEST = """from tests.interop.matrix import InteropMatrix
def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(InteropMatrix({whole}, config.rootpath / "page.md"))
"""


def run_suite(folder, rows: str, *, whole: bool = True, suite: str = SUITE, parallel: bool = False):
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "page.md").write_text(TABLE + rows, encoding="utf-8")
    (folder / "conftest.py").write_text(CONFTEST.format(whole=whole))
    (folder / "test_suite.py").write_text(suite, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command += ["-n", "1"] if parallel else []
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def row(done, name: str) -> list[str]:
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name} ")]
    return [cell.strip() for cell in line.split("|")[1:]]


@pytest.mark.parametrize("parallel", [False, True], ids=["alone", "xdist"])
def test_cells_count_the_cases_that_passed(tmp_path, parallel):
    done = run_suite(tmp_path, "| text | yes | yes |\n", parallel=parallel)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert row(done, "text") == ["2 cases", "1 case"]


def test_a_claim_of_which_no_case_ran_is_missing_and_fails(tmp_path):
    done = run_suite(tmp_path, "| text | yes | yes |\n| file | yes | – |\n")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert row(done, "file") == ["MISSING", "–"]
    assert f"FAILED, file, {TO_JAVASCRIPT}: MISSING, no case of it ran" in done.stdout


def test_a_case_that_failed_bears_nothing_out(tmp_path):
    failing = SUITE + "    raise ValueError\n"
    done = run_suite(tmp_path, "| text | yes | yes |\n", suite=failing)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert row(done, "text") == ["FAILED, 1 of 2", "1 case"]


def test_a_run_of_some_tests_is_not_blamed_for_the_others(tmp_path):
    done = run_suite(tmp_path, "| text | yes | yes |\n| file | yes | – |\n", whole=False)
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert row(done, "file") == ["not run", "–"]


def test_a_case_of_what_is_not_claimed_fails(tmp_path):
    done = run_suite(tmp_path, "| text | yes | – |\n", whole=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"FAILED, text, {TO_PYTHON}: ran, but page.md does not claim it" in done.stdout


@pytest.mark.parametrize(
    "page",
    [
        "no table",
        f"{TABLE}| text | – | – |",
        f"{TABLE}| text | no | yes |",
        f"{TABLE}| a | yes | yes |\n| a | yes | – |",
    ],
)
def test_a_page_that_claims_nothing_clear_is_an_error(page):
    with pytest.raises(ValueError, match=r"table|cell|twice"):
        claims_in(page)


def test_the_page_of_the_client_claims():
    assert ("text", (TO_JAVASCRIPT, TO_PYTHON)) in claims_in(PAGE.read_text(encoding="utf-8"))
