"""Changes own delivery tokens, step by step, so that a kill at any of them loses nothing: docs/protocol.md, "Blocking".

made (kept here) → registered at the relay → own one, and the contacts' messages drafted → the old one's end told to the relay.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from relay.wire.resources import HandleRequest

from .account import Account
from .contact_tokens import tell_contact_token
from .devices.revoking import change_due_tokens
from .errors import ClientError, RelayUnreachable
from .own_tokens import OLD_TOKEN_MS, drop_token, hash_of, put_token
from .reconnect import Backoff
from .store import queue, token_changes
from .store.contact_rows import reachable_contacts
from .store.database import Database, Transaction
from .store.peers import CONTACT, LINK, PUBLIC
from .store.token_changes import Retired
from .system import Step, System
from .transport import Transport


class TokenCare:
    """Works off the changes in the store; `run` until cancelled, `due` when there is a new one."""

    def __init__(
        self,
        transport: Transport,
        database: Database,
        account: Account,
        system: System,
        *,
        on_drafted: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._database = database
        self._account = account
        self._system = system
        self._on_drafted = on_drafted
        self._due = asyncio.Event()

    def due(self) -> None:
        """Something is to be changed."""
        self._due.set()

    async def run(self) -> None:
        """Change what is to be changed; what the relay cannot do now is tried again."""
        backoff, looking = Backoff(self._system.random), Backoff(self._system.random)
        while True:
            self._due.clear()
            try:
                await self.work()
                is_waiting = await self._database.read(token_changes.retired_tokens)
                pause = looking.next_seconds() if is_waiting else None
                backoff.reset()
            except ClientError:
                pause = backoff.next_seconds()
            try:
                async with asyncio.timeout(pause):
                    await self._due.wait()
                looking.reset()
            except TimeoutError:
                pass

    async def work(self) -> None:
        """All that can be done now. Raises RelayUnreachable, Refused."""
        await self._database.run(partial(change_due_tokens, system=self._system))
        for token_class, token in await self._database.read(token_changes.next_tokens):
            await self._register(token_class, token)
            self._system.reached(Step.REACH_REGISTERED)
            await self._database.run(partial(self._take_over, token_class=token_class, token=token))
            self._system.reached(Step.REACH_TOLD)
            self._on_drafted()
        for retired in await self._database.read(self._ripe):
            await self._end(retired)
            self._system.reached(Step.REACH_ENDED)
            await self._database.run(partial(token_changes.forget_retired, token_hash=retired.token_hash))

    async def _register(self, token_class: str, token: bytes) -> None:
        if token_class == PUBLIC:
            if (
                self._account.handle is not None
            ):  # the directory's own entry; it puts an end to the one before
                body = HandleRequest(handle=self._account.handle, public_token=token)
                await self._transport.ask("PUT", "/v1/handle", body=body, signed=True)
            return
        await put_token(self._transport, hash_of(token), CONTACT if token_class == CONTACT else LINK)

    def _take_over(self, tx: Transaction, *, token_class: str, token: bytes) -> None:
        if (token_class, token) not in token_changes.next_tokens(tx):
            return  # another process of this device did it
        signal_n = None
        if token_class == CONTACT:
            contacts = [peer.account_id for peer in reachable_contacts(tx)]
            signal_n = tell_contact_token(tx, self._account, contacts, token, self._system)
        token_changes.take_over(tx, token_class, token, signal_n, self._system.now_ms())

    def _ripe(self, tx: Transaction) -> list[Retired]:
        """Retired tokens whose users were all told, as far as they will be."""
        now_ms = self._system.now_ms()
        return [
            one
            for one in token_changes.retired_tokens(tx)
            if one.signal_n is None
            or not queue.is_waiting(tx, one.signal_n)
            or now_ms - one.since_ms >= OLD_TOKEN_MS  # who was not told by then is not waited for
        ]

    async def _end(self, retired: Retired) -> None:
        if retired.token_class == CONTACT:
            expires_at_ms = self._system.now_ms() + OLD_TOKEN_MS
            await put_token(self._transport, retired.token_hash, CONTACT, expires_at_ms=expires_at_ms)
        elif retired.token_class == LINK:
            await drop_token(self._transport, retired.token_hash)

    async def settle(self, patience_seconds: float) -> None:
        """Return when the relay has what is to be the own tokens now, and the contacts are on their way to hear of it.

        Raises RelayUnreachable after that long without a connection, Refused.
        """
        begun = self._system.monotonic_seconds()
        backoff = Backoff(self._system.random)
        while True:
            try:
                await self.work()
                return
            except RelayUnreachable:
                if self._system.monotonic_seconds() - begun >= patience_seconds:
                    raise
                await self._system.sleep(min(backoff.next_seconds(), 1.0))
