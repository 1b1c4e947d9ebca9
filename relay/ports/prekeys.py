"""Prekeys: a one-time key is given to one asker at most, through concurrent claims, kill and restart.

Budgets are not here: who asks for whose keys is kept nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.wire.prekeys import PrekeyClass, PrekeyKind, SignedPrekey


@dataclass(frozen=True, slots=True)
class PrekeyStock:
    """What is held for a device.

    `one_time` counts the unused keys of ONE_TIME and KEM; `highest` is the highest id ever accepted of each kind (0: none);
    `digest` is SHA-256 over the encoded keys held, in ascending order of (kind, class, id).
    """

    one_time: Mapping[PrekeyKind, int]
    highest: Mapping[PrekeyKind, int]
    digest: bytes


@dataclass(frozen=True, slots=True)
class ClaimedPrekeys:
    """Encoded signed keys for one set-up. `kem_class` says whether `kem` was a one-time key; `one_time` may be absent.

    `left` counts the one-time keys that remain, of ONE_TIME and KEM.
    """

    device_id: bytes
    signed: bytes
    sealing: bytes
    kem: bytes
    kem_class: PrekeyClass
    one_time: bytes | None
    left: Mapping[PrekeyKind, int]


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish for the keys of a device; `one_time` False asks for last-resort keys only (the budget is used up)."""

    device_id: bytes
    one_time: bool


class PrekeyStore(Protocol):
    """Every change is durable when the method returns: a key that was answered is never answered again."""

    async def append(self, device_id: bytes, keys: Sequence[SignedPrekey]) -> PrekeyStock:
        """Take all keys or none; signatures are verified by the caller.

        Ids of a kind are strictly above the highest ever accepted of that kind, ascending in `keys`. Of rotating and
        last-resort keys the newest replaces the one before. Raises PrekeyConflict, QuotaExceeded (more than
        ONE_TIME_PREKEYS unused of a kind), NotFound (no such device).
        """

    async def stock(self, device_id: bytes) -> PrekeyStock:
        """What is held; raises NotFound for an unknown device."""

    async def claim(self, claims: Sequence[Claim]) -> tuple[ClaimedPrekeys | None, ...]:
        """Keys for each wish, in order, oldest one-time keys first, all in one transaction.

        None where the device is unknown or has no signed, sealing or last-resort key yet.
        """

    async def count_one_time(self) -> int:
        """Unused one-time keys of all devices; counted piece by piece, so of a large store not of one moment."""

    async def drop_one_time(self) -> int:
        """Forget every unused one-time key (after a restore: some may have been given out since); how many it were."""
