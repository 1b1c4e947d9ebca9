"""Figures of one process: what happened since the start, how things stand, how long they took. In memory; they name nobody.

All that there are stand in `FIGURES`, each with what it means; a figure or a label that is not there is an error. So no label
can come from what a client sent, and documents and alert rules are held against this one list.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a figure is."""

    COUNTER = "counter"  # only grows, from the start of the process
    GAUGE = "gauge"  # goes up and down
    HISTOGRAM = "histogram"  # how long things took


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `label` is what tells its values apart, empty if it has one only."""

    name: str
    kind: Kind
    help: str
    label: str = ""


FIGURES: Final[Mapping[str, Figure]] = {
    figure.name: figure
    for figure in (
        Figure("accepted_total", Kind.COUNTER, "envelopes accepted, one for each mailbox", "size"),
        Figure(
            "acknowledged_total", Kind.COUNTER, "envelopes that their devices acknowledged on a WebSocket"
        ),
        Figure(
            "outcomes_total",
            Kind.COUNTER,
            "targets of submits that were not stored, by what was told",
            "outcome",
        ),
        Figure("refused_total", Kind.COUNTER, "requests, submits and connections refused, by code", "code"),
        Figure("shed_total", Kind.COUNTER, "what was refused because there was too much to do", "kind"),
        Figure("requests_total", Kind.COUNTER, "HTTP requests answered, by class of status", "status"),
        Figure("cut_total", Kind.COUNTER, "requests whose connection was cut before the answer"),
        Figure("registered_total", Kind.COUNTER, "accounts registered"),
        Figure(
            "bundles_total", Kind.COUNTER, "prekey bundles given out, by class of the post-quantum key", "key"
        ),
        Figure("store_seconds", Kind.HISTOGRAM, "from a submit to its commit"),
        Figure(
            "request_seconds",
            Kind.HISTOGRAM,
            "from an HTTP request to its answer, but for those that wait or carry files",
        ),
        Figure(
            "loop_late_seconds",
            Kind.HISTOGRAM,
            "by how much the event loop was late, looked at once a second",
        ),
        Figure("push_sent_total", Kind.COUNTER, "wakeups that a push service took", "kind"),
        Figure("push_tries_total", Kind.COUNTER, "wakeups tried, by kind and what came back", "answer"),
        Figure("push_retried_total", Kind.COUNTER, "wakeups to be tried again", "kind"),
        Figure("push_dropped_total", Kind.COUNTER, "wakeups given up: refused, or too old", "kind"),
        Figure("push_removed_total", Kind.COUNTER, "registrations that a push service knows no more", "kind"),
        Figure("push_registrations", Kind.GAUGE, "devices that are woken when they are not connected"),
        Figure("push_waiting", Kind.GAUGE, "wakeups that no push service has taken yet"),
        Figure(
            "push_paused", Kind.GAUGE, "push services and hosts that are left alone after failures in a row"
        ),
        *(
            Figure(
                f"push_{kind}_seconds",
                Kind.HISTOGRAM,
                f"from a wakeup to the answer of its push service: {kind}",
            )
            for kind in ("web", "unifiedpush", "webhook", "apns", "fcm")
        ),
        Figure(
            "load_level",
            Kind.GAUGE,
            "what is refused for the load: 0 nothing, 1 new accounts, 2 uploads too, 3 new connections too",
        ),
        Figure("connections", Kind.GAUGE, "open WebSockets", "kind"),
        Figure("accounts", Kind.GAUGE, "accounts"),
        Figure(
            "one_time_prekeys",
            Kind.GAUGE,
            "unused one-time prekeys of all devices, of both kinds; counted every few minutes",
        ),
        Figure("waiting_envelopes", Kind.GAUGE, "envelopes that wait in mailboxes"),
        Figure("oldest_waiting_seconds", Kind.GAUGE, "age of the envelope that waits longest; 0: none waits"),
        Figure(
            "bus_messages_total",
            Kind.COUNTER,
            "messages between nodes: sent, heard, malformed, and announcements dropped as NATS was away or too slow",
            "what",
        ),
        Figure(
            "bus_connected",
            Kind.GAUGE,
            "1 while other nodes are heard by NATS; only where nats.servers is set",
        ),
        Figure(
            "commits_unreplicated_total",
            Kind.COUNTER,
            "commits without the synchronous standby of PostgreSQL, as the wait for it was ended; nobody was told accepted",
        ),
        Figure(
            "clock_ahead_seconds",
            Kind.GAUGE,
            "by how much the node's clock is ahead of PostgreSQL's, negative if behind; compared each minute",
        ),
        Figure("database_bytes", Kind.GAUGE, "size of the database's file"),
        Figure("database_log_bytes", Kind.GAUGE, "size of the database's write-ahead log"),
        Figure("disk_free_bytes", Kind.GAUGE, "room on the disk of the data folder"),
        Figure("disk_bytes", Kind.GAUGE, "size of the disk of the data folder"),
        Figure("storage_full", Kind.GAUGE, "1 while envelopes are refused because the disk is full"),
        Figure("store_failed", Kind.GAUGE, "1 once the store has failed: the relay must be started again"),
        Figure("audit_rows", Kind.GAUGE, "rows of the audit log at its last verification"),
        Figure(
            "audit_faults",
            Kind.GAUGE,
            "what the last verification of the audit log found changed, removed or inserted",
        ),
        Figure("audit_verified_at_seconds", Kind.GAUGE, "when the audit log was verified last, since 1970"),
        Figure("audit_verify_seconds", Kind.GAUGE, "how long that took"),
        Figure(
            "audit_heads_unkept",
            Kind.GAUGE,
            "1 while heads of the audit log cannot be written to their second place",
        ),
    )
}
"""Everything there is, in the order in which it is told."""

BUCKETS_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SIZE_CLASSES: Final = ((512, "512 B"), (8_192, "8 KiB"), (65_536, "64 KiB"))
LARGEST: Final = "256 KiB"
_SIZES: Final = tuple(most for most, _ in SIZE_CLASSES)
_SIZE_NAMES: Final = (*(name for _, name in SIZE_CLASSES), LARGEST)


def size_class(size: int) -> str:
    """The class of a ciphertext of so many bytes: up to what its name says."""
    return _SIZE_NAMES[bisect_left(_SIZES, size)]


@dataclass(slots=True)
class Durations:
    """How often something took at most each of BUCKETS_SECONDS, and longer; not yet summed up."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.seconds += seconds


def _figure(name: str, kind: Kind, label: str) -> None:
    """Raise LookupError for what is not in the list."""
    figure = FIGURES[name]
    if figure.kind is not kind or bool(figure.label) != bool(label):
        raise LookupError(f"{name} is a {figure.kind} with the label {figure.label!r}")


class Figures:
    """All figures of a process."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._values: dict[tuple[str, str], float] = {}
        self._durations = {
            name: Durations() for name, figure in FIGURES.items() if figure.kind is Kind.HISTOGRAM
        }

    def add(self, name: str, amount: int = 1, *, label: str = "") -> None:
        """Count `amount` more."""
        key = name, label
        if key not in self._counts:
            _figure(name, Kind.COUNTER, label)
            self._counts[key] = 0
        self._counts[key] += amount

    def set(self, name: str, value: float, *, label: str = "") -> None:
        """It is so much now."""
        _figure(name, Kind.GAUGE, label)
        self._values[name, label] = value

    def took(self, name: str, seconds: float) -> None:
        """It took so long this time."""
        self._durations[name].add(seconds)

    def value(self, name: str, label: str = "") -> float | None:
        """What a counter or gauge stands at; None if it was never told."""
        return self._counts.get((name, label), self._values.get((name, label)))

    def numbers(self) -> Iterator[tuple[Figure, str, float]]:
        """(Figure, label, value) of all counters and gauges that have one; a counter without a label is at least 0."""
        for figure in FIGURES.values():
            if figure.kind is Kind.HISTOGRAM:
                continue
            found: Mapping[tuple[str, str], float] = (
                self._counts if figure.kind is Kind.COUNTER else self._values
            )
            labels: Iterable[str] = sorted(label for name, label in found if name == figure.name)
            if figure.kind is Kind.COUNTER and not figure.label:
                labels = ("",)
            for label in labels:
                yield figure, label, found.get((figure.name, label), 0)

    def durations(self) -> Iterator[tuple[Figure, Sequence[int], float]]:
        """(Figure, counts of each bucket, sum in seconds) of all histograms."""
        for name, durations in self._durations.items():
            yield FIGURES[name], tuple(durations.counts), durations.seconds
