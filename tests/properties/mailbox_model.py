"""What a mailbox should hold, as plainly as it can be written; test_mailbox_machine.py compares stores with it."""

from dataclasses import dataclass, field

from relay.ports.mailboxes import MissedRange, Quotas, StoredEnvelope, Submission
from relay.wire.frames import MissedReason, Outcome
from tests.contract.people import bytes_of

QUOTAS = Quotas(envelopes=12, bytes=3_000, nearly_full_percent=80)


@dataclass
class Expected:
    """One envelope of the model."""

    envelope_id: bytes
    body: bytes
    received_at_ms: int
    expires_at_ms: int
    quarantined: bool = False


@dataclass
class Box:
    """What one mailbox should hold."""

    given: int = 0
    waiting: dict[int, Expected] = field(default_factory=dict)
    missed: dict[int, MissedReason] = field(default_factory=dict)
    gaps: list[MissedRange] = field(default_factory=list)  # of restores: too long to list
    bodies: dict[bytes, bytes] = field(default_factory=dict)  # every id that was ever stored
    attempts: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        return sum(len(each.body) for each in self.waiting.values())

    def expire(self, now_ms: int) -> None:
        for sequence in [number for number, each in self.waiting.items() if each.expires_at_ms <= now_ms]:
            del self.waiting[sequence]
            self.missed[sequence] = MissedReason.EXPIRED

    def holds_expired_quarantine(self, now_ms: int) -> bool:
        return any(each.quarantined and each.expires_at_ms <= now_ms for each in self.waiting.values())

    def place(self, submission: Submission, body: bytes, now_ms: int) -> tuple[Outcome, int]:
        known = self.bodies.get(submission.envelope_id)
        if known is not None:
            return (Outcome.STORED if known == body else Outcome.CONFLICT), 0
        if len(self.waiting) >= QUOTAS.envelopes or self.size + len(body) > QUOTAS.bytes:
            self.expire(now_ms)
        if len(self.waiting) >= QUOTAS.envelopes or self.size + len(body) > QUOTAS.bytes:
            return Outcome.MAILBOX_FULL, 0
        self.given += 1
        self.bodies[submission.envelope_id] = body
        expires_at_ms = now_ms + submission.ttl_seconds * 1_000
        self.waiting[self.given] = Expected(submission.envelope_id, body, now_ms, expires_at_ms)
        return Outcome.STORED, self.given

    def items(self) -> list[StoredEnvelope | MissedRange]:
        """All a reader sees from the start, missed sequences joined as the store joins them."""
        found: list[StoredEnvelope | MissedRange] = list(self.gaps)
        run: MissedRange | None = None
        for sequence, reason in sorted(self.missed.items()):
            if run is not None and run.to_sequence == sequence - 1 and run.reason is reason:
                run = MissedRange(run.from_sequence, sequence, reason)
                found[-1] = run
            else:
                run = MissedRange(sequence, sequence, reason)
                found.append(run)
        found += [
            StoredEnvelope(sequence, each.envelope_id, each.received_at_ms, each.body)
            for sequence, each in self.waiting.items()
            if not each.quarantined
        ]
        return sorted(
            found, key=lambda item: getattr(item, "sequence", 0) or getattr(item, "from_sequence", 0)
        )

    def lowest_envelope(self) -> int:
        return min((number for number, each in self.waiting.items() if not each.quarantined), default=0)


def submission_of(name: int, version: int, ttl_seconds: int, *targets: bytes) -> Submission:
    body = bytes_of(("body", name, version), 20 + 13 * name)
    return Submission(bytes_of(("id", name)), ttl_seconds, (body,), tuple((target, 0) for target in targets))


def cut(gap: MissedRange, up_to: int, also: list[int]) -> list[MissedRange]:
    """What an acknowledgement leaves of a long gap: its ends are the only places the machine names."""
    first, last = max(gap.from_sequence, up_to + 1), gap.to_sequence
    while last in also:
        last -= 1
    return [MissedRange(first, last, gap.reason)] if first <= last else []
