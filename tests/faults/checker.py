"""Says whether a run kept what the relay promises: the one checker of every fault test. Does no I/O.

A driver writes into a `Ledger` what it saw happen, while it happens; `violations` compares that with the promises. It
knows no fault and no protocol, so that nothing a driver believes can hide what the relay did.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

READY_WITHIN_SECONDS = 5.0
MOST_TOLD = 20


class Answer(Enum):
    """What the sender knows of an envelope for one mailbox."""

    NONE = "unanswered"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(slots=True)
class _Sent:
    sender: str
    place: int  # in the order in which this sender first submitted to this mailbox
    digest: bytes
    answer: Answer = Answer.NONE
    ambiguous: bool = False  # refused after it had gone unanswered, or the other way round


@dataclass(slots=True)
class _View:
    """What one recipient has taken: a sequence is taken once, what comes again at or below it is a redelivery."""

    taken: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)  # sequence → envelope id, digest
    told_missing: list[tuple[int, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    redelivered: int = 0


class CheckFailed(AssertionError):
    """A promise was broken; the message names the first cases."""


class Ledger:
    """Everything that was seen in a run, from all senders and recipients."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, bytes], _Sent] = {}  # (mailbox, envelope id)
        self._places: Counter[tuple[str, str]] = Counter()
        self._views: dict[str, _View] = {}
        self._one_time_keys: Counter[tuple[str, int, int]] = Counter()
        self._restarts: list[float] = []
        self._integrity: list[str] = []
        self.resubmits = 0

    # What senders see.

    def submitted(self, sender: str, mailbox: str, envelope_id: bytes, digest: bytes) -> None:
        """The sender is about to submit; the first time, or the first since a refusal, gives the place in its order."""
        if (before := self._sent.get((mailbox, envelope_id))) is not None:
            self.resubmits += 1
            if before.answer is not Answer.REFUSED:
                return
            before.answer = Answer.NONE
            before.place = self._places[sender, mailbox]
            self._places[sender, mailbox] += 1
            return
        place = self._places[sender, mailbox]
        self._places[sender, mailbox] += 1
        self._sent[mailbox, envelope_id] = _Sent(sender, place, digest)

    def accepted(self, mailbox: str, envelope_id: bytes) -> None:
        """The relay said that it is stored."""
        self._sent[mailbox, envelope_id].answer = Answer.ACCEPTED

    def refused(self, mailbox: str, envelope_id: bytes) -> None:
        """The relay said that it is not stored: only an envelope never submitted before is surely nowhere."""
        sent = self._sent[mailbox, envelope_id]
        if sent.answer is not Answer.ACCEPTED:
            sent.answer = Answer.REFUSED

    def went_unanswered(self, mailbox: str, envelope_id: bytes) -> None:
        """The connection ended first: it may be stored or not, whatever a later try is told."""
        self._sent[mailbox, envelope_id].ambiguous = True

    def unanswered(self) -> list[tuple[str, bytes]]:
        """(mailbox, envelope id) of what has no answer yet, in the order of submission."""
        return [key for key, sent in self._sent.items() if sent.answer is Answer.NONE]

    def accepted_so_far(self) -> set[tuple[str, bytes]]:
        """(mailbox, envelope id) of what the relay said that it stored."""
        return {key for key, sent in self._sent.items() if sent.answer is Answer.ACCEPTED}

    # What recipients see.

    def delivered(self, mailbox: str, sequence: int, envelope_id: bytes, digest: bytes) -> bool:
        """An envelope came; whether the recipient shows it (else it is one that it has already)."""
        view = self._views.setdefault(mailbox, _View())
        if (before := view.taken.get(sequence)) is not None:
            view.redelivered += 1
            if before != (envelope_id, digest):
                view.wrong.append(f"{mailbox}: sequence {sequence} came with two different envelopes")
            return False
        if view.taken and sequence < next(reversed(view.taken)):
            view.wrong.append(f"{mailbox}: sequence {sequence} came for the first time after a higher one")
        view.taken[sequence] = (envelope_id, digest)
        return True

    def missed(self, mailbox: str, first: int, last: int) -> None:
        """The relay told a gap: what it names is not lost in silence, but it is lost."""
        self._views.setdefault(mailbox, _View()).told_missing.append((first, last))

    def forgotten(self, mailbox: str, sequence: int) -> None:
        """The relay says that it never delivered what the recipient has taken."""
        self._views.setdefault(mailbox, _View()).wrong.append(
            f"{mailbox}: the relay forgot sequence {sequence}"
        )

    def told_missing(self) -> dict[str, list[tuple[int, int]]]:
        """The gaps that each recipient was told."""
        return {mailbox: view.told_missing for mailbox, view in self._views.items() if view.told_missing}

    # What else is promised.

    def one_time_key(self, device: str, kind: int, key_id: int) -> None:
        """The relay handed out a one-time key."""
        self._one_time_keys[device, kind, key_id] += 1

    def restarted(self, seconds: float) -> None:
        """The relay was ready again this long after the fault had ended."""
        self._restarts.append(seconds)

    def integrity(self, result: str) -> None:
        """The answer of `PRAGMA integrity_check`."""
        self._integrity.append(result)

    # The verdict.

    def counts(self) -> dict[str, int]:
        """Numbers for a closing line, all of them computed from what was seen."""
        answers = Counter(sent.answer for sent in self._sent.values())
        shown = Counter(
            (mailbox, taken[0]) for mailbox, view in self._views.items() for taken in view.taken.values()
        )
        lost = sum(1 for key, sent in self._sent.items() if sent.answer is Answer.ACCEPTED and not shown[key])
        return {
            "submitted": len(self._sent),
            "accepted": answers[Answer.ACCEPTED],
            "refused": answers[Answer.REFUSED],
            "unanswered": answers[Answer.NONE],
            "resubmitted": self.resubmits,
            "delivered": sum(len(view.taken) for view in self._views.values()),
            "redelivered": sum(view.redelivered for view in self._views.values()),
            "lost": lost,
            "twice": sum(1 for count in shown.values() if count > 1),
            "one_time_keys": len(self._one_time_keys),
            "restarts": len(self._restarts),
        }

    def slowest_restart(self) -> float:
        """Seconds; 0 if there was none."""
        return max(self._restarts, default=0.0)

    def violations(self) -> list[str]:
        """Every broken promise, in words; empty if all were kept."""
        return [
            *self._wrong_deliveries(),
            *self._wrong_order(),
            *(text for view in self._views.values() for text in view.wrong),
            *(
                f"{mailbox}: the relay lost sequences {first} to {last} and said so"
                for mailbox, view in self._views.items()
                for first, last in view.told_missing
            ),
            *(
                f"one-time key {key_id} of kind {kind} of {device} was given {count} times"
                for (device, kind, key_id), count in self._one_time_keys.items()
                if count > 1
            ),
            *(
                f"ready {seconds:.1f} s after the fault ended"
                for seconds in self._restarts
                if seconds > READY_WITHIN_SECONDS
            ),
            *(f"integrity_check: {result}" for result in self._integrity if result != "ok"),
        ]

    def verify(self) -> None:
        """Raise CheckFailed unless every promise was kept."""
        if broken := self.violations():
            more = f"\n… and {len(broken) - MOST_TOLD} more" if len(broken) > MOST_TOLD else ""
            raise CheckFailed(f"{len(broken)} broken promises:\n" + "\n".join(broken[:MOST_TOLD]) + more)

    def _wrong_deliveries(self) -> Iterator[str]:
        shown: dict[tuple[str, bytes], list[bytes]] = {}
        for mailbox, view in self._views.items():
            for envelope_id, digest in view.taken.values():
                shown.setdefault((mailbox, envelope_id), []).append(digest)
        for (mailbox, envelope_id), digests in shown.items():
            sent = self._sent.get((mailbox, envelope_id))
            if sent is None:
                yield f"{mailbox}: {envelope_id.hex()} was delivered and never submitted"
            elif any(digest != sent.digest for digest in digests):
                yield f"{mailbox}: {envelope_id.hex()} was delivered with other bytes"
        for (mailbox, envelope_id), sent in self._sent.items():
            times = len(shown.get((mailbox, envelope_id), ()))
            name = f"{mailbox}: {envelope_id.hex()} of {sent.sender}"
            if times > 1:
                yield f"{name} was delivered {times} times ({sent.answer.value})"
            elif times == 0 and sent.answer is Answer.ACCEPTED:
                yield f"{name} was accepted and never delivered"
            elif times == 1 and sent.answer is Answer.REFUSED and not sent.ambiguous:
                yield f"{name} was refused and delivered all the same"

    def _wrong_order(self) -> Iterator[str]:
        for mailbox, view in self._views.items():
            last: dict[str, tuple[int, bytes]] = {}
            for _, (envelope_id, _) in sorted(view.taken.items()):
                sent = self._sent.get((mailbox, envelope_id))
                if sent is None or sent.answer is not Answer.ACCEPTED:
                    continue
                if sent.sender in last and sent.place < last[sent.sender][0]:
                    yield (
                        f"{mailbox}: {envelope_id.hex()} of {sent.sender} (its {sent.place}th) came after "
                        f"{last[sent.sender][1].hex()} (its {last[sent.sender][0]}th)"
                    )
                last[sent.sender] = (sent.place, envelope_id)
