"""tests/vectors as a whole: each file is pinned by its hash, described, and part of what is released."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.vectors import pin

FOLDER = Path(pin.__file__).parent
NAMES = sorted(path.name for path in FOLDER.glob("*.json"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_each_file_is_the_one_that_was_pinned() -> None:
    """Who writes a client may hold the sums: a file that changes is a change of the protocol, or a mistake."""
    pinned = dict(reversed(line.split("  ")) for line in pin.SUMS.read_text(encoding="utf-8").splitlines())
    assert sorted(pinned) == NAMES
    changed = [line for line in pin.sums().splitlines() if line not in pin.SUMS.read_text(encoding="utf-8")]
    assert changed == [], "if that is meant: python -m tests.vectors.pin, and a line in the changelog"


def test_the_sums_are_such_as_sha256sum_takes() -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", pin.SUMS.name], cwd=FOLDER, check=False
    )
    assert checked.returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_described(name: str) -> None:
    headings = [line for line in README.splitlines() if line.startswith("## ")]
    assert any(name in heading for heading in headings)


def test_the_source_that_is_released_has_all_of_the_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("tokenim-*.tar.gz")
    with tarfile.open(archive) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    here = {f"tests/vectors/{path.name}" for path in FOLDER.iterdir() if path.is_file()}
    assert here <= inside
    assert {"tests/vectors/SHA256SUMS", "tests/vectors/README.md", "docs/protocol.md"} <= inside
