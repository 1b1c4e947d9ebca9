"""What an application does with groups: create, look at, change. `client.Client` has each of these as a method."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from client.account import Account
from client.contents import FilePointer
from client.errors import (
    ClientError,
    CommitImpossible,
    GroupTooNew,
    NotEntitled,
    NotInGroup,
    UnknownGroup,
    UsageError,
)
from client.message_groups import GroupInfo
from client.store.database import Database, Transaction
from client.store.groups import Status, group_ids
from client.system import System
from client.transport import Transport
from client.trust import refresh
from crypto.errors import InvalidEncoding
from crypto.group_changes import Change
from crypto.group_log import GroupView
from crypto.group_state import ABOUT, BROADCAST, NAME, Setting
from relay.wire.links import encode_id

from .care import GroupCare
from .committing import begin_creation
from .doors import tend_doors
from .named import parsed_id
from .relay_logs import RelayLogs
from .returning import waiting_group, waiting_groups
from .rotation import rotate_due_tokens
from .sending import require_group
from .shown import read_group, show_group
from .state_blobs import fetch_state, store_state
from .tokens import care_for_token
from .wanted import want, want_cut

_log = logging.getLogger(__name__)
_REFUSALS: Final[dict[str, type[ClientError]]] = {
    error.code: error for error in (CommitImpossible, GroupTooNew, NotEntitled, NotInGroup)
}


class Groups:
    """The groups of an open account. `care` runs while the client does."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        spool: Path,
        *,
        on_drafts: Callable[[], None],
        on_news: Callable[[], None],
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._spool = spool
        self.care: Final = GroupCare(
            RelayLogs(transport, database, system),
            database,
            system,
            fetch_list=self._fetch_list,
            care_for_token=partial(care_for_token, transport, database, system),
            store_state=self._store_state,
            on_way_in=partial(tend_doors, transport, database, system),
            fetch_state=partial(fetch_state, transport),
            on_drafts=on_drafts,
            on_news=on_news,
        )
        self._caring: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look after the groups from now on."""
        if self._caring is None or self._caring.done():
            self._caring = asyncio.create_task(self.care.run(), name="group-care")
            self._caring.add_done_callback(_tell_defect)
        self.care.due()

    async def close(self) -> None:
        """Stop looking after them."""
        if self._caring is not None:
            self._caring.cancel()
            await asyncio.gather(self._caring, return_exceptions=True)

    async def renew_tokens(self) -> bool:
        """Make the own tokens of groups anew that are due; whether something was put on its way.

        Raises RelayUnreachable, Refused.
        """
        return await rotate_due_tokens(self._transport, self._database, self._system)

    async def _fetch_list(self, account_id: bytes) -> None:
        await refresh(self._transport, self._database, self._account, account_id, self._system.now_ms())

    async def _store_state(self, view: GroupView) -> FilePointer:
        return await store_state(self._transport, self._system, self._spool, view)

    async def create(
        self, name: str, about: str, settings: Iterable[Setting], broadcast: bool, patience_seconds: float
    ) -> GroupInfo:
        """A new group with this account as its owner; see `Client.create_group`."""
        chosen = [Setting(NAME, name.encode()), *settings]
        chosen += [Setting(ABOUT, about.encode())] if about else []
        chosen += [Setting(BROADCAST, b"\x01", critical=True)] if broadcast else []
        try:
            if not name or len({setting.name for setting in chosen}) < len(chosen):
                raise UsageError("a group has a name, and each setting once")
            for setting in chosen:
                setting.encode()
        except InvalidEncoding as error:
            raise UsageError(str(error)) from error
        group_id = await self._database.run(lambda tx: begin_creation(tx, chosen, self._system))
        self.wake()
        await self.care.until_created(group_id, patience_seconds)
        return await self.info(group_id)

    async def info(self, group_id: bytes) -> GroupInfo:
        """One group. Raises UnknownGroup."""
        waiting = await self._database.read(lambda tx: waiting_group(tx, group_id))
        if waiting is not None:
            return waiting
        read = await self._database.read(lambda tx: read_group(tx, self._account, group_id))
        return await asyncio.to_thread(show_group, read, self._account)

    async def all(self, with_left: bool) -> list[GroupInfo]:
        """All groups."""
        waiting = await self._database.read(waiting_groups)
        ids = {one.id for one in waiting}
        found = await self._database.read(group_ids)
        groups = [await self.info(one) for one in found if encode_id(one) not in ids] + waiting
        return [group for group in groups if with_left or group.status != Status.OUT]

    async def commit(
        self, group_id: bytes, changes: Iterable[Change], patience_seconds: float, *, cut: bool = False
    ) -> GroupInfo:
        """Have changes committed, and wait for it; see `Client.commit_changes`."""
        wanted = list(changes)

        def keep(tx: Transaction) -> list[int]:
            row = require_group(tx, group_id)
            if row.status is Status.TOO_NEW:
                raise GroupTooNew("the group uses what this version does not know: upgrade to change it")
            numbers = want(tx, group_id, wanted)
            return [*numbers, want_cut(tx, group_id)] if cut else numbers

        numbers = await self._database.run(keep)
        self.wake()
        reason = await self.care.until_decided(numbers, patience_seconds)
        if reason is not None:
            code, _, detail = reason.partition(": ")
            raise _REFUSALS.get(code, CommitImpossible)(detail or "the group does not allow this change")
        return await self.info(group_id)


def _tell_defect(task: "asyncio.Task[None]") -> None:
    """The care ends by being stopped; anything else is a defect, and it begins again when there is something to do."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the care of groups stopped", exc_info=error)


def group_id_of(to: str) -> bytes:
    """The 32 B id of a group, with or without `group:`. Raises UnknownGroup."""
    found = parsed_id(to)
    if found is None:
        raise UnknownGroup("this is no group's id")
    return found
