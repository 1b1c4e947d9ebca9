"""The tools around the code: the bill of materials, the audit's verdict, the stages of .ci/run, make's list."""

import json
import re
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

LOCK = ROOT / "requirements.lock"


def run_tool(*command, **environment):
    given = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=given, capture_output=True, text=True, check=False
    )


def test_e8_the_bill_of_materials_has_every_locked_package_with_its_hashes():
    done = run_tool(sys.executable, ".ci/sbom.py", LOCK)
    bill = json.loads(done.stdout)
    listed = {f"{part['name']}=={part['version']}": len(part["hashes"]) for part in bill["components"]}
    locked = re.findall(r"^([a-z0-9._-]+==\S+) \\$", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert bill["bomFormat"] == "CycloneDX"
    assert sorted(listed) == sorted(locked)
    assert sum(listed.values()) == LOCK.read_text(encoding="utf-8").count("--hash=sha256:")


@pytest.fixture
def tools(tmp_path):
    """A folder of tools whose pip-audit says what the test wants."""
    (tmp_path / "python").symlink_to(sys.executable)

    def with_auditor(output, code):
        (tmp_path / "pip-audit").write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {code}\n")
        (tmp_path / "pip-audit").chmod(0o755)
        return tmp_path

    return with_auditor


@pytest.mark.parametrize(
    ("output", "code", "verdict", "said"),
    [
        ("No known vulnerabilities found", 0, 0, "no known vulnerability"),
        ("Found 1 known vulnerability\nName Version ID\n---- ---- ----\naiohttp 3.0 CVE-0", 1, 1, "CVE-0"),
        ("ConnectionError: host not found", 1, 0, "could not be asked"),
    ],
)
def test_e8_an_audit_fails_for_a_vulnerability_and_not_for_a_missing_network(
    tools, tmp_path, output, code, verdict, said
):
    done = run_tool(
        ".ci/audit", tools(output, code), LOCK, tmp_path / "sbom.json", PYTHONPATH=":".join(sys.path)
    )
    assert (done.returncode, said in done.stdout) == (verdict, True), done.stdout + done.stderr
    assert json.loads((tmp_path / "sbom.json").read_text())["components"]


def test_a_stage_that_is_not_there_is_named_and_nothing_runs():
    done = run_tool(".ci/run", "moon")
    assert done.returncode == 2
    assert "no stage 'moon'" in done.stderr
    assert "test" in done.stderr


def test_make_lists_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)[1].split())
    listed = set(re.findall(r"^  make ([\w-]+)", run_tool("make").stdout, flags=re.MULTILINE))
    assert listed == phony


def test_an_unsuitable_python_is_told_in_one_line(tmp_path):
    done = run_tool(".ci/install", "false", tmp_path / "venv", "requirements.lock")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert not (tmp_path / "venv").exists()
