"""The demonstration holds: with less text than `make demo`, which `.ci/run` runs in full."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.material import LEAST_LINES, picture, real_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(
    180
)  # a dozen processes start one after the other, on a machine that tests other things meanwhile
def test_f1_f26_d9_the_main_job_end_to_end_through_kills_and_unreadable():
    done = subprocess.run(
        [sys.executable, "-m", "bench.demo", "--lines", "300"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 lost, 0 twice, 0 readable"
    assert lines[0].startswith("text       300 lines, 150 of them sent while the receiver was away")
    unanswered = re.search(r"(\d+) submits unanswered", done.stdout)
    assert unanswered
    assert int(unanswered[1]) > 0


def test_the_material_is_real_and_large_enough():
    assert len(real_text()) > LEAST_LINES
    assert len(picture(1)) >= 1 << 20
    assert picture(1) == picture(1) != picture(2)
