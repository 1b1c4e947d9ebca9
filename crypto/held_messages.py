"""Held messages: group envelopes that came before their chain or epoch secret, kept until they can be opened.

A value, bounded in number and time. Knows nothing of what is inside. docs/protocol.md, "Groups", "Receiving".
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .limits import HELD_MESSAGE_LIFETIME_MS, MAX_HELD_BYTES, MAX_HELD_MESSAGES

__all__ = ["Held", "HeldMessages"]


@dataclass(frozen=True, slots=True)
class Held:
    """One envelope, and when it came (ms)."""

    envelope: bytes = field(repr=False)
    came_at_ms: int


@dataclass(frozen=True, slots=True)
class HeldMessages:
    """What is held for one group, oldest first."""

    messages: tuple[Held, ...] = ()
    dropped: int = 0
    """How many were given up since the value began, for want of room or time: shown to the user, never silent."""

    def add(self, envelope: bytes, now_ms: int) -> "HeldMessages":
        """With the envelope; the oldest give way beyond 1,000 or 64 MiB. One that is held already is not held twice."""
        if any(held.envelope == envelope for held in self.messages):
            return self
        kept = (*self.messages, Held(envelope, now_ms))
        surplus = max(0, len(kept) - MAX_HELD_MESSAGES)
        size_bytes = sum(len(held.envelope) for held in kept[surplus:])
        while size_bytes > MAX_HELD_BYTES:
            size_bytes -= len(kept[surplus].envelope)
            surplus += 1
        return HeldMessages(kept[surplus:], self.dropped + surplus)

    def take(self, opens: Callable[[bytes], bool]) -> tuple["HeldMessages", tuple[bytes, ...]]:
        """(What is left, the envelopes for which `opens` says yes, oldest first)."""
        left: list[Held] = []
        taken: list[Held] = []
        for held in self.messages:
            (taken if opens(held.envelope) else left).append(held)
        if not taken:
            return self, ()
        return HeldMessages(tuple(left), self.dropped), tuple(held.envelope for held in taken)

    def forget_expired(self, now_ms: int) -> "HeldMessages":
        """Without those held for 7 days; itself if there are none."""
        kept = tuple(held for held in self.messages if now_ms - held.came_at_ms < HELD_MESSAGE_LIFETIME_MS)
        if len(kept) == len(self.messages):
            return self
        return HeldMessages(kept, self.dropped + len(self.messages) - len(kept))
