"""Each script of tests/vectors, run again, writes what is there: a vector never changes by the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

FOLDER = ROOT / "tests" / "vectors"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("generate_*.py"))


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 16


@pytest.mark.parametrize("script", SCRIPTS)
def test_running_it_again_changes_nothing(script: str, tmp_path: Path) -> None:
    """On a copy of the folder, which comes first on the path: what the script needs besides is in the checkout."""
    copy = shutil.copytree(FOLDER, tmp_path / "tests" / "vectors")
    before = {path.name: path.read_bytes() for path in copy.glob("*.json")}
    newest = max(path.stat().st_mtime_ns for path in copy.glob("*.json"))  # copies keep the times
    subprocess.run(
        [sys.executable, "-m", f"tests.vectors.{script}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        check=True,
        timeout=50,
    )
    after = {path.name: path.read_bytes() for path in copy.glob("*.json")}
    assert [name for name in after if after[name] != before.get(name)] == []
    assert max(path.stat().st_mtime_ns for path in copy.glob("*.json")) > newest, "it wrote nothing here"
