"""tests/conftest.py fails a run that skips without an agreed reason. Each case is a pytest of its own."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

SKIPS = {
    "test_marker.py": "import pytest\n@pytest.mark.skip(reason='no moon')\ndef test_it(): pass\ndef test_other(): pass\n",
    "test_call.py": "import pytest\ndef test_it(): pytest.skip('no stars')\n",
    "test_module.py": "import pytest\npytest.skip('no wind', allow_module_level=True)\n",
}


def run_pytest(folder, files, allowed, *arguments):
    """A pytest with nothing loaded but xdist, on these files and this list of allowed reasons."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "allowed_skips.txt").write_text(allowed)
    for name, text in files.items():
        (folder / name).write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist",
        *arguments,
        str(folder),
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("parallel", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_skips_that_nobody_agreed_on_fail_the_run_in_every_form(tmp_path, parallel):
    done = run_pytest(tmp_path, SKIPS, "no sun\n", *parallel)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    told = [line for line in done.stdout.splitlines() if "not in tests/allowed_skips.txt" in line]
    assert sorted(line.rpartition(": ")[2] for line in told) == ["no moon", "no stars", "no wind"]


def test_agreed_skips_pass(tmp_path):
    done = run_pytest(tmp_path, SKIPS, "# weather\nno moon\nno stars\nno wind\n")
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert "1 passed, 3 skipped" in done.stdout


def test_a_failure_stays_a_failure(tmp_path):
    done = run_pytest(tmp_path, {"test_case.py": "def test_it(): assert False\n"}, "")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
