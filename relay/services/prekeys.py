"""Prekeys: appended by their device, given out one set for each set-up, within budgets that fall back to last-resort keys.

Who asks for whose keys is in memory only, under a key that no database has: it is a social graph. docs/protocol.md, "Prekeys".
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Final

from relay.ports.bus import Bus, PrekeysLow
from relay.ports.clock import Clock
from relay.ports.prekeys import Claim, ClaimedPrekeys, PrekeyStock, PrekeyStore
from relay.services.devices import KnownDevice
from relay.services.rate_limit import Gcra
from relay.services.reach import Reachable
from relay.session.proof import is_x25519_key, verify_signature
from relay.wire import limits
from relay.wire.errors import MalformedRequest, NotAllowed, RateLimited, Unauthenticated
from relay.wire.prekeys import PrekeyClass, PrekeyKind, SignedPrekey, parse_prekey

_TELL_AT: Final = (limits.PREKEYS_LOW, 0)
_VERIFIED_AT_ONCE: Final = 32  # then others have their turn: 203 signatures take 12 ms


class Prekeys:
    """The stock of every device, and the budgets on it."""

    def __init__(self, store: PrekeyStore, *, bus: Bus, clock: Clock, key: bytes) -> None:
        """`key`: 32 B under which askers and targets are hashed, the same on each node of a relay."""
        self._store = store
        self._bus = bus
        self._clock = clock
        self._key = key
        self._pair = Gcra(
            burst=limits.PREKEY_BUDGET_BURST,
            seconds_per_unit=limits.PREKEY_BUDGET_SECONDS,
            monotonic_ms=clock.monotonic_ms,
        )
        self._target = Gcra(
            burst=limits.PREKEY_TARGET_BURST,
            seconds_per_unit=limits.PREKEY_TARGET_SECONDS,
            monotonic_ms=clock.monotonic_ms,
        )
        self._asker = Gcra(
            burst=limits.BUNDLE_FETCH_BURST,
            seconds_per_unit=limits.BUNDLE_FETCH_SECONDS,
            monotonic_ms=clock.monotonic_ms,
        )

    def limits(self) -> tuple[Gcra, ...]:
        """The budgets, in an order for ever."""
        return self._pair, self._target, self._asker

    async def append(self, device: KnownDevice, encoded: Sequence[bytes]) -> PrekeyStock:
        """Take all keys or none; raises MalformedRequest, PrekeyConflict, QuotaExceeded."""
        keys = [parse_prekey(each) for each in encoded]
        for number, key in enumerate(keys):
            if number % _VERIFIED_AT_ONCE == _VERIFIED_AT_ONCE - 1:
                await self._clock.sleep(0)
            self._check(device, key)
        return await self._store.append(device.device_id, keys)

    @staticmethod
    def _check(device: KnownDevice, key: SignedPrekey) -> None:
        if key.kind in (PrekeyKind.SIGNED, PrekeyKind.ONE_TIME) and not is_x25519_key(key.key):
            raise MalformedRequest("a prekey is not an X25519 key in its canonical form")
        try:
            verify_signature(
                device.signing_key, key.signed_transcript(device.account_id, device.device_id), key.signature
            )
        except Unauthenticated as error:
            raise MalformedRequest("a prekey is not signed by this device") from error

    async def stock(self, device: KnownDevice) -> PrekeyStock:
        """What the relay holds for the device."""
        return await self._store.stock(device.device_id)

    def _hidden(self, *parts: bytes) -> bytes:
        return hashlib.blake2b(b"".join(parts), key=self._key, digest_size=16).digest()

    def _within_budget(self, asker: KnownDevice, device_id: bytes) -> bool:
        """Take one one-time set of the device for this asker, unless one of the two budgets is used up."""
        pair, target = self._hidden(asker.account_id, device_id), self._hidden(device_id)
        if self._pair.retry_after_ms(pair) or self._target.retry_after_ms(target):
            return False
        self._pair.take(pair)
        self._target.take(target)
        return True

    async def claim(
        self, asker: KnownDevice, account: Reachable, device_ids: Collection[bytes] | None
    ) -> tuple[ClaimedPrekeys, ...]:
        """Keys of the account's devices (all, or those named), in ascending order of ids; those without prekeys are left out.

        `account` has come from Reach. Raises RateLimited only far above every budget (A1), NotAllowed to a guest of others.
        """
        if not asker.may_reach(account.account_id):
            raise NotAllowed
        if wait_ms := self._asker.take(self._hidden(asker.account_id)):
            raise RateLimited(retry_after_ms=wait_ms)
        wanted = sorted(
            account.device_ids if device_ids is None else account.device_ids.intersection(device_ids)
        )
        claims = [Claim(device_id, self._within_budget(asker, device_id)) for device_id in wanted]
        found = [claimed for claimed in await self._store.claim(claims) if claimed is not None]
        for claimed in found:
            self._tell_owner(claimed)
        return tuple(found)

    def _tell_owner(self, claimed: ClaimedPrekeys) -> None:
        taken = []
        if claimed.kem_class is PrekeyClass.ONE_TIME:
            taken.append(PrekeyKind.KEM)
        if claimed.one_time is not None:
            taken.append(PrekeyKind.ONE_TIME)
        for kind in taken:
            if claimed.left[kind] in _TELL_AT:
                self._bus.publish(PrekeysLow(claimed.device_id, kind, claimed.left[kind]))
