"""What `make bench` says of a ratio of which something is asked, and how it ends."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as bench
from bench.growth import MOST_GROWTH
from bench.nodes import MOST_RATIO
from bench.results import Result, table


@pytest.mark.parametrize(
    ("rounds", "verdict", "failed"),
    [([1.0, 1.1, 9.0], "ok", False), ([1.2, 1.2, 1.2], "FAILED", True), ([2.0, 2.0, 0.1], "FAILED", True)],
)
def test_the_median_of_the_ratios_has_to_stay_below_the_limit(rounds, verdict: str, failed: bool) -> None:
    result = Result.of("a submit", "ms", rounds, [1.0, 1.0, 1.0], limit=1.2)
    assert result.has_failed is failed
    assert table([result]).splitlines()[-1].endswith(f"{verdict}: below 1.20")


def test_nothing_is_asked_of_a_ratio_without_a_limit_and_what_was_not_compared_has_failed() -> None:
    assert not Result.of("a submit", "ms", [9.0], [1.0]).has_failed
    assert Result.of("a submit", "ms", [9.0], limit=1.2).has_failed


def test_growth_and_nodes_are_held_to_what_was_promised() -> None:
    assert (MOST_GROWTH, MOST_RATIO) == (1.2, 1.25)


@pytest.mark.parametrize(("value", "code"), [(1.24, 0), (1.26, 1)])
def test_it_ends_with_1_and_a_line_if_a_ratio_is_not_below_its_limit(
    value: float,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run() -> list[Result]:
        return [
            Result.of("two nodes", "s", [value], [1.0], limit=1.25),
            Result.of("other", "s", [9.0], [1.0]),
        ]

    monkeypatch.setattr(bench, "BENCHMARKS", {"nodes": "made"})
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(sys, "argv", ["bench"])
    monkeypatch.setitem(sys.modules, "made", SimpleNamespace(run=run))
    assert bench.main() == code
    said = capsys.readouterr()
    assert ("two nodes: 1.26 times, FAILED: below 1.25" in said.err) is bool(code)
    assert ("ok: below 1.25" in said.out) is not bool(code)
    assert json.loads((tmp_path / "results.json").read_text())[0]["limit"] == 1.25
