"""The last hour of the figures: rates, levels, and quantiles of what happened between two samples."""

import pytest

from relay.observe.figures import BUCKETS_SECONDS, FIGURES, Figures
from relay.observe.recent import KEPT_SAMPLES, LEVELS, QUANTILES, RATES, SERIES, Recent, quantile, told_now


def counts(**at: int) -> list[int]:
    found = [0] * (len(BUCKETS_SECONDS) + 1)
    for place, count in at.items():
        found[int(place.removeprefix("b"))] = count
    return found


@pytest.mark.parametrize(
    ("given", "part", "expected"),
    [
        (counts(), 0.5, None),
        (counts(b0=100), 0.5, 0.00025),
        (counts(b0=100), 1.0, 0.0005),
        (counts(b1=50, b2=50), 0.5, 0.001),
        (counts(b1=50, b2=50), 0.75, 0.0015),
        (counts(b2=99, b13=1), 0.99, 0.002),
        (counts(b13=5), 0.5, 5.0),  # longer than all buckets: the last bound stands for it
    ],
)
def test_a_quantile_lies_on_a_straight_line_within_its_bucket(
    given: list[int], part: float, expected: float | None
) -> None:
    assert quantile(given, part) == (None if expected is None else pytest.approx(expected))


def test_every_series_is_of_a_figure_that_there_is() -> None:
    assert {*RATES, *LEVELS, *QUANTILES} <= FIGURES.keys()


def test_samples_tell_rates_levels_and_what_took_how_long_since_the_last_one() -> None:
    figures = Figures()
    recent = Recent(figures)
    figures.add("accepted_total", 100, label="512 B")  # before the first sample: no rate
    recent.sample(now_ms=1_000, at=1.0)
    assert recent.told()["at_ms"] == []
    figures.add("accepted_total", 10, label="512 B")
    figures.add("accepted_total", 5, label="8 KiB")
    figures.set("connections", 3, label="mailbox")
    figures.set("connections", 4, label="anonymous")
    figures.took("store_seconds", 0.0004)
    recent.sample(now_ms=6_000, at=6.0)
    recent.sample(now_ms=11_000, at=11.0)
    recent.sample(now_ms=11_000, at=11.0)  # no time has passed: no sample
    told = recent.told()
    assert told["at_ms"] == [6_000, 11_000]
    assert set(told["series"]) == set(SERIES)
    assert told["series"]["accepted_total"] == [3.0, 0.0]
    assert told["series"]["connections"] == [7, 7]
    assert told["series"]["accounts"] == [None, None]
    assert told["series"]["store_seconds_p50"] == [pytest.approx(0.00025), None]


def test_an_hour_is_kept() -> None:
    recent = Recent(Figures())
    for second in range(0, (KEPT_SAMPLES + 10) * 5, 5):
        recent.sample(now_ms=second * 1_000, at=float(second))
    assert len(recent.told()["at_ms"]) == KEPT_SAMPLES


def test_what_is_told_now_is_what_the_figures_are() -> None:
    figures = Figures()
    figures.add("refused_total", 2, label="not_found")
    figures.took("store_seconds", 0.003)
    told = told_now(figures)
    assert {"name": "refused_total", "kind": "counter", "label": "not_found", "value": 2} in told["figures"]
    (store,) = [one for one in told["durations"] if one["name"] == "store_seconds"]
    assert (store["count"], store["sum_seconds"]) == (1, 0.003)
    assert store["p50_seconds"] == pytest.approx(0.0035)
