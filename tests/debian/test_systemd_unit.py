"""The systemd unit of deploy/, looked at by systemd itself."""

import re
import subprocess
from pathlib import Path

from tests.architecture.source import ROOT

UNIT = ROOT / "deploy" / "systemd" / "tokenim-relay.service"
ANALYZE = "/usr/bin/systemd-analyze"
EXPOSURE = 15  # in tenths: systemd calls up to 2.0 "OK"


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [ANALYZE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


def installed(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    program = tmp_path / "tokenim-relay"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "/opt/tokenim/bin/tokenim-relay serve" in text
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))
    return unit


def test_systemd_knows_every_line_of_the_unit(tmp_path):
    done = analyze("verify", "--man=no", installed(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_would_say_what_it_does_not_know(tmp_path):
    unit = installed(tmp_path)
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClocks=yes"))
    assert "ProtectClocks" in analyze("verify", "--man=no", unit).stderr


def test_the_unit_exposes_little():
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", UNIT)
    assert done.returncode == 0, done.stdout


def test_the_unit_hides_nothing_that_the_figures_of_the_process_are_read_from():
    """prometheus-client gives none of them, in silence, where it cannot read /proc/stat."""
    options = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    assert options["ProtectProc"] == "invisible"
    assert options.get("ProcSubset", "all") == "all"
