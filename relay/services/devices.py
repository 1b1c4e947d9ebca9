"""Who asks: devices by id, from memory, and the proof that a request or a socket is theirs.

Knows nothing of what they may do. An unknown device and a bad signature take the same steps.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from relay.config.permissions import Role
from relay.ports.accounts import Account, AccountStore
from relay.ports.bus import (
    AccountChanged,
    Announcement,
    AnnouncementsLost,
    Bus,
    DeviceRevoked,
    ManifestChanged,
)
from relay.ports.clock import Clock
from relay.ports.guests import GuestStore
from relay.services.read_only import NotedUnlessReadOnly
from relay.session.proof import KnownDevice, RequestProof, check_time, verify_as
from relay.wire import limits
from relay.wire.errors import Unauthenticated
from relay.wire.transcripts import http_request_transcript, websocket_transcript

__all__ = ["Devices", "KnownDevice"]

REMEMBERED: Final = 50_000
_NO_ACCOUNT: Final = bytes(limits.ACCOUNT_ID_BYTES)
_DAY_MS: Final = 86_400_000
_MINUTE_MS: Final = 60_000


def nonce_end_ms(now_ms: int) -> int:
    """Until when a nonce is remembered: NONCE_KEPT_SECONDS or up to a minute longer.

    By the minute: the exact time would tie who signed to what was stored at that moment (C8).
    """
    kept_until_ms = now_ms + limits.NONCE_KEPT_SECONDS * 1_000
    return -(-kept_until_ms // _MINUTE_MS) * _MINUTE_MS


class Devices:
    """Finds devices and checks their signatures; remembers REMEMBERED of them, unknown ids too."""

    def __init__(
        self, accounts: AccountStore, guests: GuestStore, *, bus: Bus, clock: Clock, origin: str
    ) -> None:
        self._accounts = accounts
        self._guests = guests
        self._clock = clock
        self._origin = origin
        self._known: OrderedDict[bytes, KnownDevice] = OrderedDict()
        self._unknown: dict[bytes, None] = {}
        self._of_account: dict[bytes, set[bytes]] = {}
        self._seen: set[bytes] = set()  # of the day `_seen_on`
        self._seen_on = 0
        self._generation = 0  # grows when something is forgotten: a read that began before is not remembered
        bus.subscribe(DeviceRevoked, self._hear)
        bus.subscribe(ManifestChanged, self._hear)
        bus.subscribe(AccountChanged, self._hear)
        bus.subscribe(AnnouncementsLost, self._hear)

    def _hear(self, announcement: Announcement) -> None:
        match announcement:
            case DeviceRevoked(device_id):
                self.forget((device_id,))
            case ManifestChanged(account_id) | AccountChanged(account_id):
                self.forget_account(account_id)
            case AnnouncementsLost():
                self.forget(tuple(self._known))
            case _:
                raise TypeError(f"not subscribed to {type(announcement).__name__}")

    def forget(self, device_ids: Iterable[bytes]) -> None:
        """What is remembered of these devices is stale, and so is which ids are unknown."""
        self._generation += 1
        self._unknown.clear()
        for device_id in device_ids:
            device = self._known.pop(device_id, None)
            if device is not None:
                others = self._of_account[device.account_id]
                others.discard(device_id)
                if not others:
                    del self._of_account[device.account_id]

    def forget_account(self, account_id: bytes) -> None:
        """What is remembered of this account's devices is stale."""
        self.forget(tuple(self._of_account.get(account_id, ())))

    async def find(self, device_id: bytes) -> KnownDevice | None:
        """The device of this id, or None."""
        if (known := self._known.get(device_id)) is not None:
            self._known.move_to_end(device_id)
            return known
        if device_id in self._unknown:
            return None
        generation = self._generation
        device = await self._accounts.device(device_id)
        account = await self._accounts.account(device.account_id if device else _NO_ACCOUNT)
        if device is None or account is None:
            if generation == self._generation and len(self._unknown) < REMEMBERED:
                self._unknown[device_id] = None
            return None
        found = KnownDevice(
            device_id,
            account.account_id,
            device.signing_key,
            account.role,
            account.suspended,
            await self._hosts(account),
        )
        if generation == self._generation:
            self._remember(found)
        return found

    async def _hosts(self, account: Account) -> frozenset[bytes] | None:
        """Whom a guest may write to: nobody, if it came by no link to somebody."""
        if account.role != Role.GUEST:
            return None
        guest = await self._guests.find(account.account_id)
        return guest.hosts if guest is not None else frozenset()

    def _remember(self, device: KnownDevice) -> None:
        self._known[device.device_id] = device
        self._of_account.setdefault(device.account_id, set()).add(device.device_id)
        if len(self._known) > REMEMBERED:
            self.forget((next(iter(self._known)),))

    async def _prove(self, device_id: bytes, transcript: bytes, signature: bytes) -> KnownDevice:
        device = await self.find(device_id)
        verify_as(device.signing_key if device else None, transcript, signature)
        if device is None:  # verify_as has raised
            raise Unauthenticated
        return device

    async def prove_request(
        self, proof: RequestProof, *, method: str, target: str, body_hash: bytes, upload_offset: int | None
    ) -> KnownDevice:
        """The device that signed this HTTP request; its nonce is used up, durably. Raises Unauthenticated.

        `target` is the request target exactly as sent; `body_hash` 32 B SHA-256, or the word `streamed`.
        """
        check_time(proof.time_ms, self._clock.now_ms())
        transcript = http_request_transcript(
            method=method,
            target=target,
            body_hash=body_hash,
            origin=self._origin,
            device_id=proof.device_id,
            time_ms=proof.time_ms,
            nonce=proof.nonce,
            upload_offset=upload_offset,
        )
        device = await self._prove(proof.device_id, transcript, proof.signature)
        await self._accounts.spend_nonce(
            device.device_id, proof.nonce, expires_at_ms=nonce_end_ms(self._clock.now_ms())
        )
        await self.note_seen(device.device_id)
        return device

    async def note_seen(self, device_id: bytes) -> None:
        """The device is here today; only the first time a day is work."""
        day = self._clock.now_ms() // _DAY_MS
        if day != self._seen_on:
            self._seen_on = day
            self._seen.clear()
        if device_id not in self._seen:
            with NotedUnlessReadOnly():
                await self._accounts.mark_seen(device_id, day=day)
                if len(self._seen) < REMEMBERED:
                    self._seen.add(device_id)

    async def prove_socket(self, device_id: bytes, *, challenge: bytes, signature: bytes) -> KnownDevice:
        """The device that signed this connection's 32 B challenge. Raises Unauthenticated."""
        transcript = websocket_transcript(origin=self._origin, device_id=device_id, challenge=challenge)
        device = await self._prove(device_id, transcript, signature)
        await self.note_seen(device_id)
        return device
