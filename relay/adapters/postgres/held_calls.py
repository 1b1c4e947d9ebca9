"""Calls that need a mailbox whose row another transaction holds for long: tried again beside all others, which go on.

A node that is frozen in the middle of a commit holds the rows of its group until PostgreSQL ends its session.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from relay.adapters.mailbox_calls import Append, Call
from relay.wire.errors import RelayError, Unavailable

from .database import Database, is_busy
from .mailbox_group import MailboxGroup, devices_of, those_behind

_log = logging.getLogger(__name__)
MOST_TRIES: Final = 20
"""Each waits a quarter of a second for one of the rows: in all as long as any other lock is waited for."""


class HeldCalls:
    """Of one node; with one transaction at a time, beside that of its groups."""

    def __init__(self, database: Database, group: MailboxGroup) -> None:
        self._database = database
        self._group = group
        self._calls: list[Call[Any]] = []
        self._devices: set[bytes] = set()
        """Whose mailboxes are held."""
        self._appending: set[bytes] = set()
        """To whom any of these calls appends, held or not."""
        self._task: asyncio.Task[None] | None = None

    def set_aside(self, calls: Sequence[Call[Any]]) -> Sequence[Call[Any]]:
        """Those that need not wait for a mailbox which is known to be held; the others queue here, behind who came before."""
        if not self._devices and not self._appending:
            return calls
        behind = those_behind(calls, self._devices, self._appending)
        self._calls += behind
        waits = set(behind)
        return [call for call in calls if call not in waits]

    async def part(self, calls: Sequence[Call[Any]]) -> None:
        """Somebody holds what one of these needs: apply the others, and take this one."""
        kept, held = await self._try(calls)
        self._devices |= held
        self._appending |= _appending(kept)
        self._calls += kept
        if self._calls and self._task is None:
            self._task = asyncio.create_task(self._run(), name="store-held-mailboxes")

    async def finish(self) -> None:
        """All have been answered."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        calls: list[Call[Any]] = []
        try:
            while self._calls:
                calls, self._calls = self._calls, []
                kept, held = await self._try(calls, await_one=self._one_of(calls[0]), singly=True)
                for call in kept:
                    call.tries += 1
                    if call.tries >= MOST_TRIES:
                        call.refuse(Unavailable())
                self._devices = held | (self._devices & devices_of(self._calls))
                self._calls = [call for call in kept if not call.done.done()] + self._calls
                self._appending = _appending(self._calls)
            self._devices.clear()
        finally:
            self._task = None
            for call in calls + self._calls:
                call.refuse(Unavailable())  # without effect for all that were answered

    def _one_of(self, call: Call[Any]) -> bytes | None:
        """A mailbox that it needs and that was held."""
        return next((one for one in devices_of([call]) if one in self._devices), None)

    async def _try(
        self, calls: Sequence[Call[Any]], *, await_one: bytes | None = None, singly: bool = False
    ) -> tuple[Sequence[Call[Any]], set[bytes]]:
        """Apply what can be; what cannot yet, and the mailboxes that are held."""
        try:
            kept, held = await self._database.run(
                lambda transaction: self._group.apply_free(transaction, calls, await_one=await_one)
            )
        except RelayError as error:
            if is_busy(error):
                if await_one is not None:
                    return await self._try(calls, singly=singly)
                return await self._try_less(calls, singly=singly)
            for call in calls:
                call.refuse(error)
            return [], set()
        except Exception as error:  # noqa: BLE001  # who waits is told; none may end the work
            _log.error("store_operation_failed", exc_info=error)
            for call in calls:
                call.refuse(Unavailable())
            return [], set()
        waiting = set(kept)
        for call in calls:
            if call not in waiting:
                call.answer()
        return kept, held

    async def _try_less(
        self, calls: Sequence[Call[Any]], *, singly: bool
    ) -> tuple[Sequence[Call[Any]], set[bytes]]:
        """It is no mailbox that is held, but a copy for which several wait: acknowledgements touch those, hardly an append."""
        appends = [call for call in calls if isinstance(call, Append)]
        others = [call for call in calls if not isinstance(call, Append)]
        kept: list[Call[Any]] = []
        held: set[bytes] = set()
        if len(calls) > 1 and singly:
            appending: set[bytes] = set()
            for call in calls:
                if those_behind([call], held, appending):
                    kept.append(call)
                    continue
                still, its = await self._try([call])
                kept += still
                held |= its
                appending |= _appending(still)
            return kept, held
        if appends and others:
            still, held = await self._try(appends)
            return [*still, *others], held
        return calls, held


def _appending(calls: Sequence[Call[Any]]) -> set[bytes]:
    return devices_of(call for call in calls if isinstance(call, Append))
