"""The history archive as one object: on and off for all own devices, and the errand that reads, writes and looks after its keys.

Holds no state but when it read last. docs/protocol.md, "History archive".
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from client.account import Account, load_account
from client.errors import NotManager, Refused, RelayMisbehaved, RelayUnreachable
from client.logs import read_account_log, trim_account_log
from client.recovery.backup_content import sealing_key
from client.store import archive_rows, facts
from client.store.database import Database, Transaction
from client.system import System
from client.transport import Transport

from .choice import ArchiveSetting, archive_setting, is_manager, put_setting
from .following import LOG_NAME, follow, tell_misbehaviour
from .keys import give_keys, make_key, seal_for_words
from .writing import begin_if_due, begin_rewriting, finish_rewriting, write_due

WRITE_MS: Final = 60_000
"""A message waits so long at most for others to be written with it, while a client listens."""
NEXT_DEVICE_MS: Final = 600_000
"""If the first device has not written it after so long, the next one does, and so on."""
READ_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """What is known of the archive here."""

    is_on: bool
    is_here: bool
    """This device has its keys: it reads and writes it."""
    devices: int
    """How many devices have the keys."""
    archived: int
    waiting: int

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "history_archive",
            "on": self.is_on,
            "here": self.is_here,
            "devices": self.devices,
            "archived": self.archived,
            "waiting": self.waiting,
        }


class HistoryArchive:
    """What a user does with the archive, and what the client does for it while it listens."""

    def __init__(
        self,
        transport: Transport,
        database: Database,
        system: System,
        *,
        on_drafts: Callable[[], None],
        send_out: Callable[[float], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._database = database
        self._system = system
        self._on_drafts = on_drafts
        self._send_out = send_out
        self._read_at: float | None = None
        self._looking = asyncio.Lock()

    async def turn_on(self, *, patience_seconds: float = 5.0) -> ArchiveStatus:
        """Keep what is said from now on, and all that is here, sealed at the relay; all devices of the account get its key.

        Again: devices that were linked without the history since get it too. What cannot be written now is written
        while a client listens. Raises NotManager, RelayUnreachable, Refused.
        """
        if not await self._database.read(self._is_on_by_manager):
            await self._empty()  # what was there before opens with no key that is to come
        await self._database.run(self._turn_on)
        await self._reach(patience_seconds)
        return await self.status()

    def _is_on_by_manager(self, tx: Transaction) -> bool:
        """Whether the archive is on; raises NotManager unless this device may switch it on."""
        account = load_account(tx)
        if not is_manager(account, account.device_id):
            raise NotManager("only a manager lets devices have the history: switch it on there")
        return archive_setting(tx).is_on

    def _turn_on(self, tx: Transaction) -> None:
        account, system = load_account(tx), self._system
        if not archive_rows.history_keys(tx):
            make_key(tx, system)
        listed = sorted(entry.device_id for entry in account.own.manifest.devices)
        put_setting(tx, ArchiveSetting(True, listed), system)
        give_keys(tx, account, listed, system)
        seal_for_words(tx, sealing_key(tx), system)

    async def turn_off(self, *, patience_seconds: float = 5.0) -> ArchiveStatus:
        """Keep nothing at the relay, and take away what is there; messages stay on the devices that have them.

        What cannot be done now is done while a client listens. Raises Refused.
        """
        await self._database.run(lambda tx: put_setting(tx, ArchiveSetting(), self._system))
        await self._reach(patience_seconds)
        return await self.status()

    async def _reach(self, patience_seconds: float) -> None:
        try:
            await self.save()
            await self._send_out(patience_seconds)
        except RelayUnreachable:
            return

    async def status(self) -> ArchiveStatus:
        """What is known here; needs no relay."""

        def look(tx: Transaction) -> ArchiveStatus:
            setting, at = archive_setting(tx), archive_rows.log_position(tx)
            archived, waiting = archive_rows.counts(tx, 0 if at is None else at.floor)
            is_here = setting.is_on and bool(archive_rows.history_keys(tx))
            counts = (archived, waiting) if is_here else (0, 0)
            return ArchiveStatus(setting.is_on, is_here, len(setting.devices), *counts)

        return await self._database.read(look)

    async def newest_key(self) -> bytes:
        """The key that seals now (32 B), for who computes by himself what lies in the log. Raises LookupError without one."""
        keys = await self._database.read(archive_rows.history_keys)
        if not keys:
            raise LookupError("this device has no key of a history archive")
        return keys[0].key

    async def save(self) -> bool:
        """Read what other devices wrote, and write what waits, now. Raises RelayUnreachable, Refused, RelayMisbehaved."""
        self._read_at = None
        return await self._look(patience_ms=0)

    async def look(self) -> bool:
        """Do what is due; whether there is something to tell. Raises what `save` raises."""
        return await self._look(patience_ms=None)

    async def _look(self, patience_ms: int | None) -> bool:
        async with self._looking:
            return await self._look_alone(patience_ms)

    async def _look_alone(self, patience_ms: int | None) -> bool:
        state = await self._database.run(self._tend)
        if state is None:
            return False
        if not state.is_on:
            await self._empty()
            return False
        if state.drafted:
            self._on_drafts()
        news = await self._follow_if_due()
        if state.rank == 0:
            await self._database.run(self._rewrite_if_due)
        waits_ms = WRITE_MS + state.rank * NEXT_DEVICE_MS if patience_ms is None else patience_ms
        news = await write_due(self._transport, self._database, self._system, waits_ms) or news
        await finish_rewriting(self._transport, self._database, self._system)
        return news

    def _rewrite_if_due(self, tx: Transaction) -> None:
        if facts.number(tx, facts.HISTORY_REWRITE_DUE):
            facts.set_number(tx, facts.HISTORY_REWRITE_DUE, 0)
            begin_rewriting(tx)
        begin_if_due(tx, self._system.now_ms())

    async def _follow_if_due(self) -> bool:
        now = self._system.monotonic_seconds()
        if self._read_at is not None and now - self._read_at < READ_SECONDS:
            return False
        self._read_at = now
        try:
            return await follow(self._transport, self._database, self._system)
        except RelayMisbehaved:
            await self._database.run(tell_misbehaviour)
            return True
        except BaseException:
            self._read_at = None
            raise

    def _tend(self, tx: Transaction) -> "_State | None":
        """Who has the keys, and who should; None if the archive is nothing to this device."""
        setting, system = archive_setting(tx), self._system
        if not archive_rows.history_keys(tx):
            return None
        if not setting.is_on:
            return _State(is_on=False)
        account = load_account(tx)
        rank, gone = _standing(account, setting)
        drafted = False
        holders = [one for one in {*setting.devices, account.device_id} if one not in gone]
        if gone and rank == 0:  # whoever is out knows the old key
            make_key(tx, system)
            drafted = give_keys(tx, account, holders, system)
            facts.set_number(tx, facts.HISTORY_REWRITE_DUE, 1)
        elif 0 < facts.number(tx, facts.HISTORY_GIFTS_DUE_MS) <= system.now_ms():
            facts.set_number(tx, facts.HISTORY_GIFTS_DUE_MS, 0)
            drafted = give_keys(tx, account, holders, system)
        if (gone and rank == 0) or account.device_id not in setting.devices:
            drafted = put_setting(tx, ArchiveSetting(True, sorted(holders)), system) or drafted
        if rank == 0:
            drafted = seal_for_words(tx, sealing_key(tx), system) or drafted
        return _State(is_on=True, rank=rank, drafted=drafted)

    async def _empty(self) -> None:
        """The archive is off: the log loses all, this device the keys."""
        page = await read_account_log(self._transport, LOG_NAME, 2**53)
        try:
            await trim_account_log(self._transport, LOG_NAME, page.next_index)
        except Refused as refused:
            if refused.reason != "conflict":
                raise

        def forget(tx: Transaction) -> None:
            if archive_setting(tx).is_on:
                return  # it was switched on again meanwhile
            archive_rows.forget_log(tx)
            seal_for_words(tx, sealing_key(tx), self._system)

        await self._database.run(forget)


@dataclass(frozen=True, slots=True)
class _State:
    is_on: bool
    rank: int = 0
    drafted: bool = False


def _standing(account: Account, setting: ArchiveSetting) -> tuple[int, frozenset[bytes]]:
    """(How many devices write before this one, which of those that had the keys are out of the account).

    Managers before others, then the smaller id.
    """
    listed = {entry.device_id: entry for entry in account.own.manifest.devices}
    known = {entry.device_id for signed in account.own.chain for entry in signed.manifest.devices}
    holders = {account.device_id, *setting.devices} & listed.keys()
    ranked = sorted(holders, key=lambda one: (not listed[one].manager, one))
    gone = frozenset(one for one in setting.devices if one in known and one not in listed)
    return ranked.index(account.device_id) if account.device_id in ranked else len(ranked), gone
