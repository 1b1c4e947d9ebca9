"""The mailbox of one device as a malicious relay gives it: what waits, numbered anew after it was changed.

The real relay is told at once that all is here, so that it goes on whatever the client gets; what the client acknowledges
goes nowhere.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from relay.wire.frames import Ack, CaughtUp, ClientFrame, Deliver, RelayFrame, Resume
from tests.hostile.middleman import Line
from tests.hostile.stage import Person

Change = Callable[[Sequence[Deliver]], Iterable[Deliver]]


@dataclass(eq=False)
class FalseMailbox:
    """Gives `change` of what the relay delivers in one message; sequences follow each other, as they should."""

    device_id: bytes
    change: Change
    given: int = 0
    """The highest sequence that the client was given."""
    real: int = 0
    kept: list[Deliver] = field(default_factory=list)
    """Everything that the relay delivered."""
    numbers: Callable[[int], int] = lambda sequence: sequence
    """What the client gets in the place of the sequence that would be right."""

    @classmethod
    def of(cls, person: Person, change: Change) -> "FalseMailbox":
        """From now on this is the person's mailbox."""
        mailbox = cls(person.device_id, change)
        person.stage.relay.changes_frames(mailbox.to_client)
        person.stage.relay.changes_submits(mailbox.to_relay)
        return mailbox

    def to_client(self, line: Line, frames: Sequence[RelayFrame]) -> Iterable[RelayFrame]:
        """As a rule of the middleman."""
        if line.device_id != self.device_id:
            return frames
        delivered = [frame for frame in frames if isinstance(frame, Deliver)]
        if not delivered:
            return [CaughtUp(self.given) if isinstance(frame, CaughtUp) else frame for frame in frames]
        self.kept += delivered
        self.real = delivered[-1].sequence
        line.tells_relay(Ack(self.real))
        others = [frame for frame in frames if not isinstance(frame, Deliver)]
        return [*map(self.numbered, self.change(delivered)), *others]

    def numbered(self, one: Deliver) -> Deliver:
        """The next one that the client is given."""
        self.given += 1
        place = self.numbers(self.given)
        return Deliver(place, one.envelope_id, one.received_at_ms, one.envelope_class, one.ciphertext)

    def to_relay(self, line: Line, frames: Sequence[ClientFrame]) -> Iterable[ClientFrame]:
        """As a rule of the middleman."""
        for frame in frames:
            if line.device_id != self.device_id or not isinstance(frame, Ack | Resume):
                yield frame
            elif isinstance(frame, Resume):
                self.given = max(self.given, frame.after)
                yield Resume(self.real)
