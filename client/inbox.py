"""Takes the mailbox: bytes → frames → one transaction (plaintext, session state, how far) → ack. Reconnects by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from relay.wire.frames import (
    Ack,
    CaughtUp,
    Deliver,
    Notice,
    NoticeKind,
    RelayFrame,
    Resume,
)
from relay.wire.frames import (
    Missed as MissedFrame,
)
from relay.wire.frames import (
    Refused as RefusedFrame,
)
from relay.wire.links import encode_id

from .account import Account
from .connection import Connection, ending, open_connection, run_together
from .errors import (
    ClientError,
    DeviceRevoked,
    DevicesForked,
    LogRefused,
    Refused,
    RelayMisbehaved,
    RelayUnreachable,
    TrustError,
)
from .mailbox_batch import in_parts
from .mailbox_round import Taken, note_came_back, take, take_quarantined
from .message import Gap, Warned
from .passing import PassingEvents
from .passing_contents import open_passing
from .quarantine import quarantined
from .reconnect import Backoff
from .store import facts, history, notices
from .store.database import Database, Transaction
from .store.peers import name_of
from .system import Step, System
from .transport import Transport
from .trust import refresh

_BATCHES_AHEAD: Final = 4  # WebSocket messages read while the ones before are opened
_UNKNOWN_DEVICE: Final = ("device_revoked", "unauthenticated")
"""Of a connection: a challenge was signed, so no clock can be wrong."""
_LONGEST_ROUND: Final = 512  # frames that are worked on together
_NOTICE_SECONDS: Final = 60.0  # one warning of a kind that is the relay's word alone
_LOOK_SECONDS: Final = 30.0  # at what the relay should have done by itself


def _begin_anew(tx: Transaction) -> None:
    """The relay came back from a backup in which this device was not: its mailbox begins anew. What comes again is known
    by its content.
    """
    facts.set_number(tx, facts.COMMITTED_SEQUENCE, 0)
    note_came_back(tx)


class Inbox:
    """The receiving side; `run` until cancelled or replaced.

    `caught_up` is set while everything that waited at the last connection is here; `settled` also while there is no
    connection, or one on which nothing comes; `news` is set when there may be something to give out; `heard_at` is when
    the relay was last heard, in monotonic seconds.
    """

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        *,
        on_drafts: Callable[[], None],
        on_errands: Callable[[], None],
        on_prekeys_low: Callable[[], None],
        on_caught_up: Callable[[], None],
        on_look_at_log: Callable[[], None],
        log_looked_at: Callable[[], Awaitable[None]],
        on_kept: Callable[[], None],
        is_known_again: Callable[[], Awaitable[bool]],
        passing: PassingEvents,
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._on_drafts = on_drafts
        self._on_errands = on_errands
        self._on_prekeys_low = on_prekeys_low
        self._on_caught_up = on_caught_up
        self._on_look_at_log = on_look_at_log
        self._log_looked_at = log_looked_at
        self._on_kept = on_kept
        self._is_known_again = is_known_again
        self.passing = passing
        self.is_connected = False
        self.caught_up = asyncio.Event()
        self.settled = asyncio.Event()
        self.news = asyncio.Event()
        self.lost_since: float | None = None
        self.heard_at = 0.0
        self._warned_at: dict[NoticeKind, float] = {}
        self.error: ClientError | None = None

    async def run(self) -> None:
        """Connect, take the mailbox, come back after a loss. Raises Replaced, DeviceRevoked, Refused."""
        backoff = Backoff(self._system.random)
        self.lost_since = self._system.monotonic_seconds()
        while True:
            try:
                async with open_connection(self._transport, self._account) as connection:
                    backoff.reset()
                    self.settled.clear()
                    self.lost_since = self.error = None
                    self.heard_at = self._system.monotonic_seconds()
                    await self._believe_listed()
                    self.is_connected = True
                    await self._converse(connection)
            except (RelayUnreachable, RelayMisbehaved) as error:
                await self._lost(error, backoff.next_seconds())
            except Refused as error:
                if error.reason in _UNKNOWN_DEVICE:
                    if await self._was_forgotten():
                        backoff.reset()
                        await self._lost(error, backoff.next_seconds())
                        continue
                    await self._database.run(lambda tx: facts.set_number(tx, facts.REVOKED, 1))
                    raise DeviceRevoked(
                        "this device was removed from its account: it gets nothing any more; what it has stays readable"
                    ) from error
                if error.reason == "sequence_ahead":
                    await self._database.run(_begin_anew)
                elif not error.retryable:
                    raise
                await self._lost(error, backoff.next_seconds(max(error.retry_after_ms / 1_000, 1.0)))
            finally:
                self.is_connected = False
                self.caught_up.clear()

    async def _was_forgotten(self) -> bool:
        """Whether the relay did not know this device because it came back from a backup, and knows it now."""
        try:
            return await self._is_known_again()
        except (Refused, RelayMisbehaved):
            return False

    async def _believe_listed(self) -> None:
        """The relay knows this device (again)."""
        if await self._database.read(lambda tx: facts.number(tx, facts.REVOKED)):
            await self._database.run(lambda tx: facts.set_number(tx, facts.REVOKED, 0))

    async def _lost(self, error: ClientError, wait_seconds: float) -> None:
        if self.lost_since is None:
            self.lost_since = self._system.monotonic_seconds()
        self.error = error
        self.news.set()
        self.settled.set()
        await self._system.sleep(wait_seconds)

    async def _converse(self, connection: Connection) -> None:
        after = await self._database.read(lambda tx: facts.number(tx, facts.COMMITTED_SEQUENCE))
        await connection.send([Resume(after)])
        batches: asyncio.Queue[tuple[RelayFrame, ...]] = asyncio.Queue(_BATCHES_AHEAD)
        await run_together(
            self._read(connection, batches), self._work(connection, batches), self._look_after_the_relay()
        )

    async def _read(self, connection: Connection, batches: "asyncio.Queue[tuple[RelayFrame, ...]]") -> None:
        while True:
            await batches.put(await connection.receive())
            self.heard_at = self._system.monotonic_seconds()

    async def _work(self, connection: Connection, batches: "asyncio.Queue[tuple[RelayFrame, ...]]") -> None:
        while True:
            frames = list(await batches.get())
            while not batches.empty() and len(frames) < _LONGEST_ROUND:
                frames += batches.get_nowait()
            mail = [frame for frame in frames if isinstance(frame, Deliver | MissedFrame)]
            passing = [frame for frame in mail if isinstance(frame, Deliver) and frame.sequence == 0]
            if len(mail) > len(passing):
                await self._take(connection, mail)
            if passing:
                await self._take_passing(passing)
            for frame in frames:
                await self._hear(connection, frame)

    async def _look_after_the_relay(self) -> None:
        """Gaps are told, and sending goes on, also with a relay that leaves something out and never says `caught_up`."""
        absent_before: frozenset[object] = frozenset()
        while True:
            looked_at = self._system.monotonic_seconds()
            await self._system.sleep(_LOOK_SECONDS)
            if self.heard_at < looked_at:
                self.settled.set()
            absent = await self._database.read(history.untold_absent)
            if absent & absent_before:
                await self._database.run(self._tell_absent)
                self._on_kept()
                self.news.set()
            absent_before = absent

    async def _take(self, connection: Connection, mail: Sequence[Deliver | MissedFrame]) -> None:
        """Open all of it, in transactions that do not hold up others."""
        for part in in_parts(mail):
            await self._take_part(connection, partial(take, frames=part, system=self._system))

    async def _take_quarantined(self, connection: Connection) -> None:
        """What was delivered too often; the relay's notice of it may have gone to a process that died of it."""
        try:
            async for frame in quarantined(self._transport):
                work = partial(take_quarantined, frame=frame, system=self._system)
                await self._take_part(connection, work, also=(frame.sequence,))
        except Refused:
            return  # asked again with the next connection

    async def _take_part(
        self, connection: Connection, work: Callable[..., Taken], *, also: tuple[int, ...] = ()
    ) -> None:
        """Commit, then ack; a device list that is missing is fetched in between."""
        fetched: frozenset[bytes] = frozenset()
        while True:
            taken = await self._database.run(partial(work, fetched=fetched))
            for _ in range(taken.messages):
                self._system.reached(Step.DECRYPTION_COMMITTED)
            self.news.set()
            done = also if taken.gap_of is None else ()
            if taken.up_to or done:
                await connection.send([Ack(taken.up_to, done)])
                self._system.reached(Step.ACKNOWLEDGED)
            if taken.messages:
                self._on_kept()
            if taken.drafted:
                self._on_drafts()
            if taken.errands:
                self._on_errands()
            if taken.look_at_log:
                self._on_look_at_log()
            if taken.gap_of is None:
                return
            await self._fetch_chain(taken.gap_of)
            fetched |= {taken.gap_of}

    async def _take_passing(self, frames: Sequence[Deliver]) -> None:
        """What is in no mailbox: opened and given, not kept and not acknowledged."""
        events = await self._database.run(partial(open_passing, frames=frames, system=self._system))
        if events:
            self.passing.put(events)
            self.news.set()

    async def _fetch_chain(self, account_id: bytes) -> None:
        """Get the device list that an envelope needs; if it cannot be had, the envelope counts as one that does not open."""
        now_ms = self._system.now_ms()
        try:
            await refresh(self._transport, self._database, self._account, account_id, now_ms)
        except (LogRefused, DevicesForked):
            return  # told, with what proves it
        except (Refused, TrustError) as error:
            detail = str(error)
            await self._database.run(
                lambda tx: notices.tell(tx, Warned("devices_refused", detail, encode_id(account_id)))
            )

    async def _look_at_own_list(self) -> None:
        """What other managers did while this device was away: nobody else would tell it."""
        account_id = self._account.account_id
        try:
            await refresh(self._transport, self._database, self._account, account_id, self._system.now_ms())
        except (LogRefused, DevicesForked):
            return  # told, with what proves it
        except TrustError as error:
            detail = str(error)
            await self._database.run(
                lambda tx: notices.tell(tx, Warned("devices_refused", detail, encode_id(account_id)))
            )
        except Refused:
            return  # asked again with the next connection

    async def _hear(self, connection: Connection, frame: RelayFrame) -> None:
        if isinstance(frame, CaughtUp):
            await self._look_at_own_list()
            await self._take_quarantined(connection)
            await self._database.run(self._note_caught_up)
            self._on_caught_up()
            self._on_kept()  # what is missing can be asked for
            self.settled.set()
            await self._log_looked_at()  # who stops now hears first what contradicts what contacts said
            self.caught_up.set()
            self.news.set()
        elif isinstance(frame, RefusedFrame):
            raise ending(frame.code, frame.retry_after_ms)
        elif isinstance(frame, Notice):
            await self._notice(frame)
            if frame.kind is NoticeKind.QUARANTINED and self.caught_up.is_set():
                await self._take_quarantined(connection)

    def _note_caught_up(self, tx: Transaction) -> None:
        """Old private keys may go from now on; what senders counted and is not here is told."""
        facts.set_number(tx, facts.CAUGHT_UP_AT_MS, self._system.now_ms())
        self._tell_absent(tx)

    def _tell_absent(self, tx: Transaction) -> None:
        for conversation_id, author, count in history.tell_absent(tx):
            name = name_of(tx, author)
            notices.tell(tx, Gap(encode_id(conversation_id), encode_id(author), name, count))

    async def _notice(self, notice: Notice) -> None:
        match notice.kind:
            case NoticeKind.PREKEYS_LOW:
                self._on_prekeys_low()
            case NoticeKind.MAILBOX_NEARLY_FULL | NoticeKind.MAILBOX_FULL | NoticeKind.QUARANTINED:
                now = self._system.monotonic_seconds()
                if now - self._warned_at.get(notice.kind, -_NOTICE_SECONDS) < _NOTICE_SECONDS:
                    return
                self._warned_at[notice.kind] = now
                word = notice.kind.name.lower()
                numbers = ", ".join(str(value) for value in notice.data if isinstance(value, int))
                await self._database.run(
                    lambda tx: notices.tell(tx, Warned(word, f"the relay says: {word} ({numbers})"))
                )
                self.news.set()
            case NoticeKind.RESTORED:
                self._on_prekeys_low()
            case NoticeKind.MANIFEST_CHANGED:
                await self._fetch_chain(self._account.account_id)
            case _:
                return
