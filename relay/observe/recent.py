"""The last hour of some figures, for charts: a sample every five seconds, in memory. Names nobody, as the figures do."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .figures import BUCKETS_SECONDS, Figures, Kind

EVERY_SECONDS: Final = 5.0
KEPT_SAMPLES: Final = 720

RATES: Final = (
    "accepted_total",
    "acknowledged_total",
    "requests_total",
    "refused_total",
    "push_sent_total",
    "push_dropped_total",
)
"""Counters, told as so many a second."""
LEVELS: Final = (
    "connections",
    "waiting_envelopes",
    "oldest_waiting_seconds",
    "accounts",
    "one_time_prekeys",
    "push_waiting",
    "database_bytes",
    "disk_free_bytes",
)
QUANTILES: Final = ("store_seconds", "loop_late_seconds")
"""Durations, told as the p50 and p99 of the time between two samples, in seconds; None where nothing happened."""
SERIES: Final = (
    *RATES,
    *LEVELS,
    *(f"{name}_{part}" for name in QUANTILES for part in ("p50", "p99")),
)


def quantile(counts: Sequence[int], part: float) -> float | None:
    """The duration in seconds that this part of all stayed under, straight lines within a bucket; None of nothing.

    `counts`: of each of BUCKETS_SECONDS, then of what took longer, for which the largest bucket stands.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, below, lower = part * total, 0, 0.0
    for count, upper in zip(counts, (*BUCKETS_SECONDS, BUCKETS_SECONDS[-1]), strict=True):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + count, upper
    return lower


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    counters: Mapping[str, float]
    counts: Mapping[str, Sequence[int]]


class Recent:
    """Samples of one process."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._before: _Seen | None = None
        self._samples: deque[tuple[int, tuple[float | None, ...]]] = deque(maxlen=KEPT_SAMPLES)

    def sample(self, *, now_ms: int, at: float) -> None:
        """Note how things stand now; `at`: monotonic seconds."""
        sums: dict[str, float] = {}
        for figure, _, value in self._figures.numbers():
            sums[figure.name] = sums.get(figure.name, 0) + value
        counts = {figure.name: counts for figure, counts, _ in self._figures.durations()}
        before, self._before = self._before, _Seen(at, sums, counts)
        if before is None or at <= before.at:
            return
        values: list[float | None] = [
            (sums.get(name, 0) - before.counters.get(name, 0)) / (at - before.at) for name in RATES
        ]
        values += [sums.get(name) for name in LEVELS]
        for name in QUANTILES:
            new = [now - then for now, then in zip(counts[name], before.counts[name], strict=True)]
            values += [quantile(new, 0.5), quantile(new, 0.99)]
        self._samples.append((now_ms, tuple(values)))

    def told(self) -> dict[str, Any]:
        """`at_ms` of each sample, and of each of SERIES as many values."""
        columns = (
            zip(*(values for _, values in self._samples), strict=True)
            if self._samples
            else ([] for _ in SERIES)
        )
        return {
            "every_seconds": EVERY_SECONDS,
            "at_ms": [at_ms for at_ms, _ in self._samples],
            "series": {name: list(column) for name, column in zip(SERIES, columns, strict=True)},
        }


def told_now(figures: Figures) -> dict[str, Any]:
    """All figures as they stand: what `/metrics` says, as JSON; durations by count, p50 and p99 since the start."""
    return {
        "figures": [
            {"name": figure.name, "kind": figure.kind.value, "label": label, "value": value}
            for figure, label, value in figures.numbers()
        ],
        "durations": [
            {
                "name": figure.name,
                "kind": Kind.HISTOGRAM.value,
                "count": sum(counts),
                "sum_seconds": seconds,
                "p50_seconds": quantile(counts, 0.5),
                "p99_seconds": quantile(counts, 0.99),
            }
            for figure, counts, seconds in figures.durations()
        ],
    }
