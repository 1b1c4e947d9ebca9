"""Looks at the relay's log once a day, and whenever something a contact said has to be compared with it.

docs/protocol.md, "Transparency".
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from client.account import Account, load_account
from client.errors import ClientError, DevicesRefused, LogRefused, Refused, TrustError
from client.message import Warned
from client.store import facts, notices
from client.store.database import Database, Transaction
from client.store.gossip_rows import claimed_accounts
from client.store.log_rows import mark_unconnected_told, remove_unconnected, unconnected
from client.system import System
from client.transport import Transport
from client.trust import refresh
from crypto.limits import DAY_MS
from relay.wire.links import encode_id

from .evidence import ask_for_evidence
from .log_check import LogCheck

_log = logging.getLogger(__name__)
_EVERY_SECONDS: Final = 3_600.0
_AGAIN_SECONDS: Final = 60.0
_LOOKED_SECONDS: Final = 5.0
UNANSWERED_MS: Final = 3 * DAY_MS
"""A head that waits so long for its proof is told: the relay answers other questions."""


async def tend_log(transport: Transport, database: Database, account: Account, system: System) -> bool:
    """Prove the own manifest once a day, compare what contacts claimed, connect heads that wait.

    Whether something was drafted. Alarms are told where they arise. Raises RelayUnreachable.
    """
    now_ms = system.now_ms()
    checked_at_ms, claimed = await database.read(
        lambda tx: (facts.number(tx, facts.OWN_LOG_CHECKED_AT_MS), claimed_accounts(tx))
    )
    if not checked_at_ms <= now_ms < checked_at_ms + DAY_MS:
        claimed.append(account.account_id)
    refused: list[tuple[bytes, str]] = []
    for account_id in dict.fromkeys(claimed):
        try:
            await refresh(transport, database, account, account_id, now_ms)
        except DevicesRefused as error:
            refused.append((account_id, str(error)))
        except (TrustError, Refused) as error:
            _log.info("the list of an account is not to be had: %s", error.code)  # told, or tried again
    check = LogCheck(transport, database, account)
    for one in await database.read(unconnected):
        try:
            await check.connect_later(one)
        except LogRefused:
            await database.run(partial(remove_unconnected, head=one.head))  # told, with both heads
        except Refused as error:
            _log.info("a head of the log waits for its proof: %s", error.reason)

    def finish(tx: Transaction) -> bool:
        for account_id, detail in refused:
            notices.tell(tx, Warned("devices_refused", detail, encode_id(account_id)))
        for one in unconnected(tx):
            if not one.told and now_ms >= one.since_ms + UNANSWERED_MS:
                detail = "for days the relay has not proved that its log only grew: ask its operator"
                notices.tell(tx, Warned("log_unanswered", detail))
                mark_unconnected_told(tx, one.head)
        return ask_for_evidence(tx, load_account(tx), system)

    return await database.run(finish)


class LogCare:
    """Tends while this client is open: at the start, when something is to be compared, and hourly for what is due."""

    def __init__(
        self,
        transport: Transport,
        database: Database,
        account: Account,
        system: System,
        *,
        on_drafts: Callable[[], None],
        on_news: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._database = database
        self._account = account
        self._system = system
        self._on_drafts = on_drafts
        self._on_news = on_news
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self.last_error: ClientError | None = None

    def due(self) -> None:
        """Look soon."""
        self._idle.clear()
        self._due.set()

    async def looked(self) -> None:
        """Until what was due is looked at, as far as the relay answers; a few seconds at most."""
        try:
            async with asyncio.timeout(_LOOKED_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            return  # it is told when it is found

    async def run(self) -> None:
        """Until cancelled; what could not be reached is tried again in a minute."""
        while True:
            wait_seconds = _EVERY_SECONDS
            try:
                if await tend_log(self._transport, self._database, self._account, self._system):
                    self._on_drafts()
                self._on_news()
                self.last_error = None
            except ClientError as error:
                self.last_error, wait_seconds = error, _AGAIN_SECONDS
            if not self._due.is_set():
                self._idle.set()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._due.wait()
            except TimeoutError:
                self._due.set()
            self._due.clear()
