"""Who may write to an account and fetch what it publishes: delivery tokens, resolved by SHA-256, from memory if it can.

An unknown account, an account whose token is another one, an expired and a removed token: one answer by the same steps.
Keeps no word of who asked. docs/protocol.md, "Reach".
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from relay.ports.accounts import AccountStore
from relay.ports.bus import AccountChanged, Announcement, AnnouncementsLost, Bus, ManifestChanged
from relay.ports.clock import Clock
from relay.ports.delivery_tokens import DeliveryToken, DeliveryTokenStore, TokenClass
from relay.services.devices import KnownDevice
from relay.wire.errors import NotAllowed
from relay.wire.frames import Grant

REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Reachable:
    """An account that may be reached: its device ids, and the version of its newest manifest."""

    account_id: bytes
    manifest_version: int
    device_ids: frozenset[bytes]
    token_class: TokenClass | None = None  # None: the account's own device asks
    token_hash: bytes | None = field(default=None, repr=False)  # 32 B of the token that opened it


@dataclass(slots=True)
class _Remembered:
    """What is in memory of one account."""

    account: Reachable
    suspended: bool
    tokens: dict[bytes, DeliveryToken] = field(default_factory=dict, repr=False)


class Reach:
    """Answers from memory; a change is seen by whoever asks after it was made."""

    def __init__(self, accounts: AccountStore, tokens: DeliveryTokenStore, *, bus: Bus, clock: Clock) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._bus = bus
        self._clock = clock
        self._memory: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._generation = 0
        bus.subscribe(ManifestChanged, self._hear)
        bus.subscribe(AccountChanged, self._hear)
        bus.subscribe(AnnouncementsLost, self._hear)

    def _hear(self, announcement: Announcement) -> None:
        if isinstance(announcement, ManifestChanged | AccountChanged):
            self.forget(announcement.account_id)
        else:  # whose, is not known
            self._generation += 1
            self._memory.clear()

    def forget(self, account_id: bytes) -> None:
        """What is remembered of this account is stale."""
        self._generation += 1
        self._memory.pop(account_id, None)

    async def check(self, grant: Grant, signer: KnownDevice | None) -> Reachable | None:
        """The account if `grant` opens it, else None. An empty token is good for the signer's own account alone."""
        if not grant.token:
            own = signer is not None and signer.account_id == grant.account_id
            return await self._own(grant.account_id) if own else None
        return await self._by_token(grant.account_id, grant.token)

    async def require(self, account_id: bytes, token: bytes | None, signer: KnownDevice | None) -> Reachable:
        """Like `check`, but raises NotAllowed."""
        found = await self.check(Grant(account_id, token or b"", 0), signer)
        if found is None:
            raise NotAllowed
        return found

    async def _own(self, account_id: bytes) -> Reachable | None:
        remembered = await self._load(account_id)
        return None if remembered is None or remembered.suspended else remembered.account

    async def _by_token(self, account_id: bytes, token: bytes) -> Reachable | None:
        token_hash = hashlib.sha256(token).digest()
        now_ms = self._clock.now_ms()
        remembered = self._memory.get(account_id)
        known = remembered.tokens.get(token_hash) if remembered else None
        if known is None:
            generation = self._generation
            known = await self._tokens.resolve(account_id, token_hash, now_ms=now_ms)
            if known is None:
                return None
            remembered = await self._load(account_id)
            if remembered is not None and generation == self._generation:
                remembered.tokens[token_hash] = known
        expired = known.expires_at_ms is not None and known.expires_at_ms <= now_ms
        if remembered is None or remembered.suspended or expired:
            return None
        account = remembered.account
        return Reachable(
            account.account_id,
            account.manifest_version,
            account.device_ids,
            known.token_class,
            known.token_hash,
        )

    async def _load(self, account_id: bytes) -> _Remembered | None:
        if (remembered := self._memory.get(account_id)) is not None:
            self._memory.move_to_end(account_id)
            return remembered
        generation = self._generation
        account = await self._accounts.account(account_id)
        if account is None:
            return None
        device_ids = frozenset(device.device_id for device in account.devices)
        loaded = _Remembered(Reachable(account_id, account.manifest_version, device_ids), account.suspended)
        if generation == self._generation:
            self._memory[account_id] = loaded
            if len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)
        return loaded

    async def add_token(self, owner: KnownDevice, token: DeliveryToken) -> None:
        """One more way to reach the owner's account; raises QuotaExceeded above MAX_DELIVERY_TOKENS."""
        await self._tokens.add(owner.account_id, token, now_ms=self._clock.now_ms())
        self._changed(owner)

    async def remove_token(self, owner: KnownDevice, token_hash: bytes) -> None:
        """The token of this 32 B hash opens nothing from now on."""
        await self._tokens.remove(owner.account_id, token_hash)
        self._changed(owner)

    async def list_tokens(self, account_id: bytes) -> tuple[DeliveryToken, ...]:
        """The account's tokens, as hashes."""
        return await self._tokens.list(account_id)

    def _changed(self, owner: KnownDevice) -> None:
        self.forget(owner.account_id)
        self._bus.publish(AccountChanged(owner.account_id, suspended=owner.suspended))
