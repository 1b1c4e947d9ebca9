"""An account whose store is open: its parts, started when they are first needed and stopped in reverse."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

from relay.wire.links import ContactLink, encode_id

from .account import Account, load_account
from .acting import Acting
from .archive.history_archive import HistoryArchive
from .came_back import CameBack
from .contact_book import ContactBook
from .contents import direct_conversation
from .conversation_care import ConversationCare
from .devices.device_care import DeviceCare
from .devices.hearing import hear_everything
from .devices.own_devices import OwnDevices
from .errors import DeviceRevoked, UnknownRecipient, UsageError
from .events import receive_events
from .expiry import remove_due
from .groups.membership import Membership
from .groups.named import find, is_group
from .groups.rooms import Groups
from .groups.sending import group_recipient, require_sender
from .inbox import Inbox
from .kept_files import KeptFiles
from .message import Event, Message
from .outbox import Outbox, Sending
from .passing import PassingEvents, PassingSender
from .prekey_care import PrekeyCare
from .recipients import known_recipient, look_up, parse_recipient, remembered
from .recovery.words import Recovery
from .registration import register_token
from .shown_message import Showing
from .store import facts, history, sent_contents
from .store.database import Database, Transaction
from .store.key_file import load_key
from .store.peers import GROUPS_DUE
from .system import System
from .transparency.care import LogCare
from .transparency.kept_alarm import KeptAlarm, kept_alarms, trust_again
from .transport import Transport

_REPLY_PATIENCE_SECONDS: Final = 5.0


class OpenAccount:
    """The parts of an open client and what they do together. Made by `open`."""

    def __init__(
        self, home: Path, system: System, account: Account, database: Database, transport: Transport
    ) -> None:
        self.account: Final = account
        self._system = system
        self._database = database
        self._transport = transport
        self._showing = Showing(account, self._reply, self._fetch)
        self.files: Final = KeptFiles(home, database, transport, system)
        self.outbox: Final = Outbox(
            account,
            transport,
            database,
            system,
            self.files.spool,
            drained=self._drained,
            on_answered=self._answered,
        )
        self.groups: Final = Groups(
            account,
            transport,
            database,
            system,
            self.files.spool,
            on_drafts=self.outbox.wake,
            on_news=self._look_for_news,
        )
        self.devices: Final = OwnDevices(
            account, transport, database, system, self.outbox, settle_tokens=self._settle_tokens
        )
        self.membership: Final = Membership(
            account,
            transport,
            database,
            system,
            resolve=self._account_of,
            groups=self.groups,
            settle=self.settle,
            listen=self._listen,
        )
        self._tending = ConversationCare(
            database, system, on_drafts=self.outbox.wake, on_emptied=self._after_emptying
        )
        self.recovery: Final = Recovery(transport, database, system)
        self.history_archive: Final = HistoryArchive(
            transport, database, system, on_drafts=self.outbox.wake, send_out=self.outbox.send_out
        )
        came_back = CameBack(transport, database, account, system, on_given=self.groups.wake)
        errands = (
            came_back.give_back,
            self.devices.remove_silent,
            self.recovery.back_up_when_it_rests,
            self.history_archive.look,
            lambda: self.contact_book.profiles.look(),  # noqa: PLW0108  (it is made below)
        )
        self._device_care = DeviceCare(errands, on_news=self._look_for_news)
        self.acting: Final = Acting(
            database,
            system,
            self.outbox,
            self._showing.message,
            on_due=self._tending.due,
            on_wiped=self.files.tidy,
        )
        self._care = PrekeyCare(transport, database, account, system, on_tended=self._look_for_news)
        self._log_care = LogCare(
            transport,
            database,
            account,
            system,
            on_drafts=self.outbox.wake,
            on_news=self._look_for_news,
        )
        self._inbox = Inbox(
            account,
            transport,
            database,
            system,
            on_drafts=self.outbox.wake,
            on_errands=self.groups.wake,
            on_prekeys_low=self._care.due,
            on_caught_up=self._caught_up,
            on_look_at_log=self._log_care.due,
            log_looked_at=self._log_care.looked,
            on_kept=self._tending.due,
            is_known_again=came_back.is_known_again,
            passing=PassingEvents(system),
        )
        self.passing: Final = PassingSender(
            account.account_id,
            transport,
            database,
            system,
            is_connected=lambda: self._inbox.is_connected,
        )
        self.contact_book: Final[ContactBook] = ContactBook(account, transport, database, system, self.outbox)
        self._listening: asyncio.Task[None] | None = None
        self._caring: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._tender: asyncio.Task[None] | None = None
        self._iteration: AsyncGenerator[Event, None] | None = None
        self._iteration_ended = asyncio.Event()
        database.watch(GROUPS_DUE, self._look_after_groups)

    @classmethod
    @asynccontextmanager
    async def open(cls, home: Path, passphrase: str | None, system: System) -> AsyncIterator["OpenAccount"]:
        """Open the store of the account in `home`; needs no relay."""
        key = await asyncio.to_thread(load_key, home, passphrase)
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(Database(home, key))
            account = await database.read(load_account)
            transport = await stack.enter_async_context(Transport(account.origin, system, account))
            opened = cls(home, system, account, database, transport)
            await stack.enter_async_context(opened.outbox)
            await database.run(history.forget_settled_signals)
            await database.run(lambda tx: sent_contents.forget_old(tx, system.now_ms()))
            await database.run(lambda tx: remove_due(tx, system.now_ms()))
            await opened.files.tidy_spool()
            await opened.files.tidy()
            stack.push_async_callback(opened.groups.close)
            opened._watching = asyncio.create_task(opened._log_care.run(), name="log-care")
            stack.push_async_callback(opened._stop_listening)
            opened._tender = asyncio.create_task(opened._tending.run(), name="conversation-care")
            yield opened
            await opened.outbox.linger()

    # Listening.

    def events(self, *, until_caught_up: bool, patience_seconds: float | None) -> AsyncGenerator[Event, None]:
        """See `Client.events`."""
        return self._iterate(until_caught_up, patience_seconds)

    async def _iterate(
        self, until_caught_up: bool, patience_seconds: float | None
    ) -> AsyncGenerator[Event, None]:
        """The newest iteration is the one that goes on: one that was left may be on its way out still."""
        await self._end_iteration()
        iteration = receive_events(
            self._inbox,
            self._listen(),
            self._database,
            self._system,
            self._showing.message,
            is_over=lambda: self._iteration is not iteration,
            until_caught_up=until_caught_up,
            patience_seconds=patience_seconds,
        )
        self._iteration = iteration
        ended = self._iteration_ended = asyncio.Event()
        try:
            async with aclosing(iteration):
                async for event in iteration:
                    yield event
        finally:
            if self._iteration is iteration:
                self._iteration = None
            ended.set()

    async def _end_iteration(self) -> None:
        iteration, self._iteration = self._iteration, None
        if iteration is None:
            return
        self._inbox.news.set()
        try:
            await iteration.aclose()
        except RuntimeError:
            # Somebody is in it at this moment: it ends by itself, now that it is over.
            await self._iteration_ended.wait()

    def _listen(self) -> "asyncio.Task[None]":
        """Take the mailbox, and from now on look after the prekeys and the outbox."""
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._inbox.run(), name="inbox")
            self._listening.add_done_callback(lambda _: self._inbox.settled.set())
            self._listening.add_done_callback(lambda _: self._inbox.news.set())
        if not self._caring:
            parts = self._care, self.contact_book.token_care, self._device_care
            self._caring = [asyncio.create_task(part.run(), name=type(part).__name__) for part in parts]
        self._tending.is_listening = True
        self._tending.due()
        self.outbox.wake()
        self.groups.wake()
        return self._listening

    async def hear_from_own_devices(self) -> None:
        """Send what asks them, and take the mailbox until one has told everything; a few seconds at most."""
        await hear_everything(self._inbox, self._listen(), self._database)

    async def _settle_tokens(self) -> None:
        await self.contact_book.token_care.settle(_REPLY_PATIENCE_SECONDS)
        if await self.groups.renew_tokens():
            self.outbox.wake()

    def _caught_up(self) -> None:
        self._care.due()
        self._device_care.due()

    def _look_for_news(self) -> None:
        self._inbox.news.set()

    def _look_after_groups(self) -> None:
        """A newer device list is here: the groups of its account heed it."""
        if self._listening is not None:
            self.groups.wake()

    def _answered(self) -> None:
        self.groups.care.answered()

    async def _drained(self) -> None:
        """What waits in the mailbox may change how to encrypt: it goes first, if this client listens."""
        if self._listening is not None and not self._listening.done():
            await self._inbox.settled.wait()

    async def _stop_listening(self) -> None:
        mine = (self._listening, self._watching, self._tender, *self._caring)
        tasks = [task for task in mine if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end_iteration()

    # People.

    async def recipient(self, to: str) -> tuple[str, bytes | None]:
        """(One name for them, account or group id if it is known).

        Raises UsageError, UnknownRecipient, and for a group what forbids to write there.
        """
        if await self._database.read(lambda tx: facts.number(tx, facts.REVOKED)):
            raise DeviceRevoked("this device was removed from its account: it sends nothing any more")
        if is_group(to):
            group_id = await self._database.read(
                lambda tx: require_sender(tx, self.account, find(tx, to).group_id).group_id
            )
            return group_recipient(group_id), group_id
        parsed = parse_recipient(to)
        if isinstance(parsed, ContactLink):
            is_self = parsed.account_id == self.account.account_id
        else:
            is_self = parsed in (self.account.account_id, self.account.handle)
        if is_self:
            raise UsageError("this is you: choose somebody else")
        peer = await self._database.run(lambda tx: known_recipient(tx, parsed, self.account.origin))
        if peer is None or peer.token is None:
            if not isinstance(parsed, str):
                raise UnknownRecipient("nothing here reaches this account any more: ask for a contact link")
            return parsed, None
        if peer.blocked:
            raise UsageError(f"{peer.name} is blocked: unblock first")
        return encode_id(peer.account_id), peer.account_id

    async def _account_of(self, who: str) -> bytes:
        """The account behind a name, a contact link or an id. Raises UsageError, UnknownRecipient, RelayUnreachable."""
        recipient, account_id = await self.recipient(who)
        if account_id is not None:
            return account_id
        return (await look_up(self._transport, self._database, recipient)).account_id

    async def evidence(self) -> list[KeptAlarm]:
        """See `Client.evidence`."""
        return await self._database.read(kept_alarms)

    async def trust_log_again(self) -> None:
        """See `Client.trust_log_again`."""
        await self._database.run(trust_again)

    async def contact(self, who: str) -> bytes:
        """The account id of somebody who is known here. Raises UsageError, UnknownRecipient."""
        parsed = parse_recipient(who)
        peer = await self._database.run(lambda tx: remembered(tx, parsed, self.account.origin))
        return peer.account_id

    async def contact_link(self) -> str:
        """See `Client.contact_link`."""
        token = await register_token(self._transport, self._database, "link", self._system)
        return str(ContactLink(self.account.origin, self.account.account_id, token))

    # Messages.

    async def message(self, number: int) -> Message:
        """A message that is kept, by its row number."""

        def show(tx: Transaction) -> Message:
            row = history.find(tx, number)
            if row is None:
                raise UsageError("there is no such message")
            return self._showing.message(tx, row)

        return await self._database.read(show)

    async def history(self, with_: str, limit: int | None) -> list[Message]:
        """See `Client.history`."""

        def show(tx: Transaction) -> list[Message]:
            if is_group(with_):
                conversation = find(tx, with_).group_id
            else:
                peer = remembered(tx, parse_recipient(with_), self.account.origin)
                conversation = direct_conversation(self.account.account_id, peer.account_id)
            return [
                self._showing.message(tx, row) for row in history.of_conversation(tx, conversation, limit)
            ]

        return await self._database.run(show)

    async def reply(self, to: Message | str, text: str, patience_seconds: float) -> Message:
        """See `Client.reply`."""
        answered, message = await self.acting.answer(to, text)
        recipient, account_id = await self.recipient(answered)
        return await self.finish(await self.outbox.send(recipient, account_id, [message]), patience_seconds)

    async def _reply(self, number: int, text: str) -> Message:
        return await self.reply(await self.message(number), text, _REPLY_PATIENCE_SECONDS)

    async def settle(self, patience_seconds: float) -> None:
        """See `Client.settle`."""
        self.groups.wake()
        try:
            async with asyncio.timeout(patience_seconds):
                while True:
                    await self.groups.care.idle.wait()
                    await self.outbox.send_out(patience_seconds)
                    if self.groups.care.idle.is_set() and not await self.outbox.size():
                        return
        except TimeoutError:
            return

    async def finish(self, sending: Sending, patience_seconds: float) -> Message:
        """The first message of `sending` once it is accepted. Raises RelayUnreachable, or why it was refused."""
        try:
            await sending.until(0, patience_seconds)
        finally:
            sending.close()
        if sending.waiter.error is not None:
            raise sending.waiter.error
        return await self.message(sending.numbers[0])

    # Files.

    async def _fetch(self, number: int) -> Message:
        """The message with its file on this machine."""
        await self.files.fetch(number)
        return await self.message(number)

    async def _after_emptying(self) -> None:
        self._look_for_news()
        await self.files.tidy()
