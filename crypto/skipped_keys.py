"""Skipped message keys: kept for messages that are late, each used once, cheap to keep in an immutable state.

A jump over n messages is one range: the first number and n keys of 32 bytes side by side, so 2,000 keys are one bytes
object, shared by all later states and copied only when one of them is taken out. Nothing here derives a key or knows
how many may be kept: the double ratchet decides that. doubleratchet spec, #deletion-of-skipped-message-keys.
"""

from bisect import bisect_right
from typing import Final

from .secret_value import SecretValue

__all__ = ["KEY_BYTES", "NO_SKIPPED_KEYS", "SkippedKeys", "SkippedRange"]

KEY_BYTES: Final = 32


class SkippedRange(SecretValue, frozen=True, eq=False):
    """Message keys of consecutive numbers of one chain: `first`, `first` + 1, …"""

    first: int
    keys: bytes
    """32 B a key."""
    stored_at_ms: int

    @property
    def count(self) -> int:
        """How many keys there are."""
        return len(self.keys) // KEY_BYTES


class SkippedKeys(SecretValue, frozen=True, eq=False):
    """The skipped message keys of one receiving chain; ranges ascend and do not overlap."""

    ranges: tuple[SkippedRange, ...] = ()
    count: int = 0
    """How many keys there are in all."""

    @classmethod
    def of(cls, ranges: tuple[SkippedRange, ...]) -> "SkippedKeys":
        """These ranges, counted."""
        return cls(ranges, sum(each.count for each in ranges))

    def add(self, first: int, keys: bytes, now_ms: int) -> "SkippedKeys":
        """With the keys of `first`, `first` + 1, … (32 B each) behind all that are there."""
        added = SkippedRange(first, keys, now_ms)
        return SkippedKeys((*self.ranges, added), self.count + added.count) if keys else self

    def take(self, number: int) -> tuple["SkippedKeys", bytes] | None:
        """(What is left without it, the 32 B key of `number`); None if there is no such key."""
        index = bisect_right(self.ranges, number, key=lambda each: each.first) - 1
        if index < 0:
            return None
        found = self.ranges[index]
        offset = (number - found.first) * KEY_BYTES
        if offset >= len(found.keys):
            return None
        key = found.keys[offset : offset + KEY_BYTES]
        before = SkippedRange(found.first, found.keys[:offset], found.stored_at_ms)
        after = SkippedRange(number + 1, found.keys[offset + KEY_BYTES :], found.stored_at_ms)
        rest = tuple(each for each in (before, after) if each.keys)
        return SkippedKeys(self.ranges[:index] + rest + self.ranges[index + 1 :], self.count - 1), key

    def without_oldest(self, surplus: int) -> "SkippedKeys":
        """Without the `surplus` keys of the lowest numbers."""
        left = self.count - surplus
        for index, each in enumerate(self.ranges):
            if surplus < each.count:
                kept = SkippedRange(each.first + surplus, each.keys[surplus * KEY_BYTES :], each.stored_at_ms)
                return SkippedKeys((kept, *self.ranges[index + 1 :]), left)
            surplus -= each.count
        return NO_SKIPPED_KEYS

    def stored_since(self, oldest_ms: int) -> "SkippedKeys":
        """Without the ranges that were stored before `oldest_ms`; itself if there are none."""
        kept = tuple(each for each in self.ranges if each.stored_at_ms >= oldest_ms)
        return self if len(kept) == len(self.ranges) else SkippedKeys.of(kept)


NO_SKIPPED_KEYS: Final = SkippedKeys()
