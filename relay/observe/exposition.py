"""The figures in the text format of Prometheus, with those that the process has of itself: memory, processor, open files."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .figures import BUCKETS_SECONDS, Figures, Kind

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
_PREFIX: Final = "tokenim_"
_BOUNDS: Final = (*(str(bound) for bound in BUCKETS_SECONDS), "+Inf")


class _Collector(Collector):
    def __init__(self, figures: Figures, version: str) -> None:
        self._figures = figures
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield InfoMetricFamily(f"{_PREFIX}relay", "the relay that runs", value={"version": self._version})
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for figure, label, value in self._figures.numbers():
            if figure.name not in families:
                kind = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
                name = _PREFIX + figure.name.removesuffix("_total")
                families[figure.name] = kind(name, figure.help, labels=[figure.label] if figure.label else [])
            families[figure.name].add_metric([label] if figure.label else [], value)
        yield from families.values()
        for figure, counts, seconds in self._figures.durations():
            family = HistogramMetricFamily(_PREFIX + figure.name, figure.help)
            buckets = list(zip(_BOUNDS, accumulate(counts), strict=True))
            family.add_metric([], buckets, sum_value=seconds)
            yield family


class Exposition:
    """What `/metrics` answers."""

    def __init__(self, figures: Figures, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(figures, version))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """As they stand now."""
        return generate_latest(self._registry)
