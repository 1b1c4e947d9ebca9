"""Figures: only those of the list, no label but one that the code names, and what Prometheus is told of them."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.observe.exposition import Exposition
from relay.observe.figures import BUCKETS_SECONDS, FIGURES, Figures, Kind, size_class


def test_counters_add_up_and_gauges_stand_as_they_were_set_last() -> None:
    figures = Figures()
    for amount in (1, 2):
        figures.add("accepted_total", amount, label="512 B")
    figures.add("cut_total")
    figures.set("accounts", 7)
    figures.set("accounts", 5)
    assert figures.value("accepted_total", "512 B") == 3
    assert (figures.value("cut_total"), figures.value("accounts")) == (1, 5)
    assert figures.value("accepted_total", "8 KiB") is figures.value("waiting_envelopes") is None


@pytest.mark.parametrize(
    ("do", "name", "label"),
    [
        ("add", "sent_by_alice_total", ""),
        ("add", "accepted_total", ""),
        ("add", "cut_total", "label"),
        ("add", "accounts", ""),
        ("set", "connections", ""),
        ("set", "cut_total", ""),
    ],
)
def test_d8_a_figure_or_a_label_that_is_not_in_the_list_is_an_error(do: str, name: str, label: str) -> None:
    with pytest.raises(LookupError):
        getattr(Figures(), do)(name, 1, label=label)


def test_a_duration_stands_in_the_bucket_that_it_fits() -> None:
    figures = Figures()
    for seconds in (0.0, 0.0005, 0.0006, 5.0, 60.0):
        figures.took("store_seconds", seconds)
    (counts, total) = next(
        (counts, total) for figure, counts, total in figures.durations() if figure.name == "store_seconds"
    )
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (2, 1, 1, 1)
    assert total == pytest.approx(65.0011)
    with pytest.raises(LookupError):
        figures.took("a_long_time", 1)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (1, "512 B"),
        (512, "512 B"),
        (513, "8 KiB"),
        (8_193, "64 KiB"),
        (65_537, "256 KiB"),
        (262_144, "256 KiB"),
    ],
)
def test_sizes_are_told_by_class(size: int, told: str) -> None:
    assert size_class(size) == told


def test_prometheus_reads_what_is_told() -> None:
    figures = Figures()
    figures.add("accepted_total", 3, label="512 B")
    figures.set("connections", 2, label="mailbox")
    for seconds in (0.0007, 0.7):
        figures.took("store_seconds", seconds)
    families = {
        family.name: family
        for family in text_string_to_metric_families(Exposition(figures, "1.2.3").text().decode())
    }
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["tokenim_relay_info", "1.2.3"] == 1
    assert samples["tokenim_accepted_total", "512 B"] == 3
    assert samples["tokenim_connections", "mailbox"] == 2
    assert samples["tokenim_cut_total",] == 0
    assert samples["tokenim_store_seconds_bucket", "0.001"] == 1
    assert samples["tokenim_store_seconds_bucket", "0.5"] == 1
    assert samples["tokenim_store_seconds_bucket", "1.0"] == samples["tokenim_store_seconds_count",] == 2
    assert samples["tokenim_store_seconds_sum",] == pytest.approx(0.7007)
    assert samples["process_resident_memory_bytes",] > 1_000_000


def test_every_figure_says_what_it_means() -> None:
    assert all(figure.help and figure.name == name for name, figure in FIGURES.items())
    assert all(name.endswith("_total") == (figure.kind is Kind.COUNTER) for name, figure in FIGURES.items())
    assert list(BUCKETS_SECONDS) == sorted(BUCKETS_SECONDS)
