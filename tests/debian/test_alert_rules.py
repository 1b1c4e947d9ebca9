"""The alert rules, looked at by Prometheus itself: their form, and when they ring."""

import subprocess
from pathlib import Path

from tests.architecture.source import ROOT

PROMTOOL = "/usr/bin/promtool"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [PROMTOOL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


def test_prometheus_takes_the_rules():
    done = promtool("check", "rules", RULES)
    count = RULES.read_text(encoding="utf-8").count("- alert:")
    assert (done.returncode, f"{count} rules found" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_rules_ring_when_they_should():
    done = promtool("test", "rules", Path(__file__).with_name("alerts_test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
