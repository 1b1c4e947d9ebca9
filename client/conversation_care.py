"""Does what is due at a time: receipts, requests for what is missing, messages that disappear. One worker over the store.

docs/protocol.md, "Acts on messages", "Disappearing messages".
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from . import expiry, receipts, resends
from .account import load_account
from .errors import StoreError
from .store import absent_rows, expiry_rows, facts, receipts_due
from .store.database import Database, Transaction
from .system import System

_LONGEST_SLEEP_SECONDS: Final = 3_600.0  # clocks are set
_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Tended:
    """What was done."""

    drafted: bool
    """Something was put on its way: wake the outbox."""
    emptied: bool
    """Messages lost their content: their files go too."""


def tend(tx: Transaction, system: System, *, is_listening: bool) -> Tended:
    """Do all that is due. Others are told things only by a client that listens: one that runs for a moment tells nothing."""
    emptied = expiry.remove_due(tx, system.now_ms()) > 0 or facts.number(tx, facts.FILES_ARE_LEFT) > 0
    if emptied:
        facts.set_number(tx, facts.FILES_ARE_LEFT, 0)
    drafted = False
    if is_listening:
        drafted = receipts.draft_due(tx, system)
        drafted = resends.ask_due(tx, system) or drafted
    return Tended(drafted, emptied)


def next_due_ms(tx: Transaction, *, is_listening: bool) -> int | None:
    """When something is due next."""
    times = [0 if facts.number(tx, facts.FILES_ARE_LEFT) else expiry_rows.next_expiry(tx)]
    if is_listening:
        times += [receipts_due.first_due(tx), absent_rows.next_ask(tx, load_account(tx).account_id)]
    return min((at_ms for at_ms in times if at_ms is not None), default=None)


class ConversationCare:
    """The worker; `run` until cancelled, `due` when there may be something new."""

    def __init__(
        self,
        database: Database,
        system: System,
        *,
        on_drafts: Callable[[], None],
        on_emptied: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._system = system
        self._on_drafts = on_drafts
        self._on_emptied = on_emptied
        self._due = asyncio.Event()
        self.is_listening = False

    def due(self) -> None:
        """Look again what is due, and when."""
        self._due.set()

    async def run(self) -> None:
        """Until cancelled; a store that fails is asked again in a minute."""
        while True:
            self._due.clear()
            try:
                wait_seconds = await self._once()
            except StoreError:
                wait_seconds = _AGAIN_SECONDS
            await self._sleep(wait_seconds)

    async def _once(self) -> float:
        """Do what is due now; how long nothing is."""
        is_listening = self.is_listening
        while True:
            at_ms = await self._database.read(lambda tx: next_due_ms(tx, is_listening=is_listening))
            now_ms = self._system.now_ms()
            if at_ms is None:
                return _LONGEST_SLEEP_SECONDS
            if at_ms > now_ms:
                return min((at_ms - now_ms) / 1_000, _LONGEST_SLEEP_SECONDS)
            tended = await self._database.run(lambda tx: tend(tx, self._system, is_listening=is_listening))
            if tended.drafted:
                self._on_drafts()
            if tended.emptied:
                await self._on_emptied()

    async def _sleep(self, seconds: float) -> None:
        """So long, or until something new may be due."""
        sleeping = asyncio.ensure_future(self._system.sleep(seconds))
        waiting = asyncio.ensure_future(self._due.wait())
        try:
            await asyncio.wait({sleeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()
