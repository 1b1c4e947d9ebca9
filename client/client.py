"""The friendly object: one account on one relay, opened from its folder.

    async with Client.open("~/.tokenim/alice") as alice:
        await alice.send("bob", "hello")
        async for message in alice.messages():
            await message.reply(f"you said {message.text}")

What is sent is first kept, then encrypted and kept finished, and only then handed to the relay; what arrives is
acknowledged only after it is kept. Several processes may open one folder; the newest that listens has the mailbox.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from crypto.group_changes import Change
from crypto.group_state import Setting
from crypto.primitives import require_supported_build

from .archive.history_archive import HistoryArchive
from .contacts import Contact
from .devices.own_devices import OwnDevices
from .entrances import Entrances
from .errors import UsageError
from .expiry import MAX_EXPIRY_SECONDS
from .groups.membership import Membership
from .groups.rooms import group_id_of
from .media import Progress
from .message import Event, Identity, Message, SafetyNumber, SendReport
from .message_calls import MessageCalls
from .message_groups import GroupInfo
from .open_account import OpenAccount
from .outbox import Sending, text_message
from .own_invites import OwnInvites
from .profiles import Profiles, ShownProfile
from .recovery.words import Recovery
from .registration import parse_entrance, prepare_home, register_account
from .store.database import Database
from .system import System, this_machine
from .transparency.kept_alarm import KeptAlarm
from .wakeups import Wakeups

LINES_AT_ONCE: Final = 128
LINES_UNDER_WAY: Final = 512


class Client(Entrances, MessageCalls):
    """One account, as an async context manager. Make it with `Client.open`; register first with `Client.register`."""

    def __init__(self, home: str | PathLike[str], *, passphrase: str | None, system: System) -> None:
        self._home = _folder(home)
        self._passphrase = passphrase
        self._system = system
        self._stack = AsyncExitStack()
        self._opened: OpenAccount | None = None

    @classmethod
    def open(
        cls, home: str | PathLike[str], *, passphrase: str | None = None, system: System | None = None
    ) -> "Client":
        """The account in the folder `home`; entering opens its store and does not need the relay.

        Entering raises NoAccount, LoosePermissions, WrongPassphrase, StoreDamaged or StoreTooNew.
        """
        return cls(home, passphrase=passphrase, system=system or this_machine())

    @classmethod
    async def register(
        cls,
        home: str | PathLike[str],
        invite_link: str,
        *,
        handle: str | None = None,
        passphrase: str | None = None,
        device_name: str | None = None,
        system: System | None = None,
    ) -> Identity:
        """Make an account from an invite in the empty or missing folder `home`, publish its keys, and close it again.

        With a handle others find it by that name; the device's name is shown on the own devices alone. Safe to call
        again after it was cut off: the same keys go up. A passphrase wraps the store's key. Raises UsageError (not an
        invite), AccountExists, RelayUnreachable, RelayKeyChanged, Refused (`invite_invalid`, `handle_taken`, `handle_invalid`).
        """
        require_supported_build()
        system = system or this_machine()
        entrance = parse_entrance(invite_link)
        folder = _folder(home)
        key = await asyncio.to_thread(prepare_home, folder, passphrase, system)
        async with Database(folder, key) as database:
            return await register_account(database, entrance, handle, system, device_name)

    async def __aenter__(self) -> Self:
        require_supported_build()
        async with AsyncExitStack() as stack:
            self._opened = await stack.enter_async_context(
                OpenAccount.open(self._home, self._passphrase, self._system)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        await self._stack.aclose()

    @property
    def _account(self) -> OpenAccount:
        if self._opened is None:
            raise RuntimeError("enter the client first: `async with Client.open(home) as client`")
        return self._opened

    @property
    def devices(self) -> OwnDevices:
        """The devices of this account: list, link, rename, revoke."""
        return self._account.devices

    @property
    def recovery(self) -> Recovery:
        """The recovery words of this account, and its backups."""
        return self._account.recovery

    @property
    def history_archive(self) -> HistoryArchive:
        """What was said, sealed at the relay for devices that come later: on, off, status."""
        return self._account.history_archive

    def whoami(self) -> Identity:
        """Who this folder is; needs no relay."""
        return self._account.account.identity()

    async def contact_link(self) -> str:
        """A link by which anybody who has it can write to this account; the same one each time.

        Raises RelayUnreachable if the relay does not know it yet and is not reached.
        """
        return await self._account.contact_link()

    async def send(
        self,
        to: str,
        text: str | None = None,
        *,
        file: str | PathLike[str] | None = None,
        expires_after_seconds: int = 0,
        progress: Progress | None = None,
        patience_seconds: float = 5.0,
    ) -> Message:
        """Send a text or a file to a handle, a contact link, the account id of a known contact, or a group (`group:ID`).

        With `expires_after_seconds` it disappears on both sides: so long after it was read there, and after the first
        receipt here; unread, 30 days later than that.

        Returns when the relay has it durably for every device of the recipient. Raises RelayUnreachable if the relay
        is not reached (again) within `patience_seconds`: the message then stays in the outbox and goes out with the
        next call that reaches it. Raises UsageError, UnknownRecipient, NotSent, DevicesForked; Refused (`mailbox_full`,
        `no_prekeys` …) for what stays in the outbox and is tried again.
        """
        if (text is None) == (file is None):
            raise UsageError("send a text or a file: one of them")
        if not 0 <= expires_after_seconds <= MAX_EXPIRY_SECONDS:
            raise UsageError(f"a message disappears after 1 to {MAX_EXPIRY_SECONDS} seconds, or never (0)")
        opened = self._account
        recipient, account_id = await opened.recipient(to)
        if file is not None:
            message = await opened.files.seal(_folder(file))
        else:
            if not text:
                raise UsageError("the text is empty")
            message = text_message(text)
        message = replace(message, expires_after_seconds=expires_after_seconds)
        sending = await opened.outbox.send(recipient, account_id, [message], progress=progress)
        return await opened.finish(sending, patience_seconds)

    async def send_lines(
        self,
        to: str,
        lines: Iterable[str] | AsyncIterable[str],
        *,
        on_accepted: Callable[[int], None] | None = None,
        patience_seconds: float = 5.0,
    ) -> SendReport:
        """Send many texts (also empty ones), each its own envelope, in order and pipelined.

        `on_accepted` gets the running count. Raises what `send` raises; lines taken before stay in the outbox, the
        iterable is not read further.
        """
        opened = self._account
        recipient, account_id = await opened.recipient(to)
        sending: Sending | None = None
        try:
            async for chunk in _chunks(lines):
                messages = [text_message(line) for line in chunk]
                if sending is None:
                    sending = await opened.outbox.send(recipient, account_id, messages)
                else:
                    await opened.outbox.add_to(sending, recipient, account_id, messages)
                await _settle(sending, LINES_UNDER_WAY, patience_seconds, on_accepted)
            if sending is None:
                return SendReport(0, 0, None, None)
            await _settle(sending, 0, patience_seconds, on_accepted)
        finally:
            if sending is not None:
                sending.close()
        first, last = [await opened.message(n) for n in (sending.numbers[0], sending.numbers[-1])]
        return SendReport(sending.waiter.accepted, sending.waiter.refused, first.id, last.id)

    async def flush(self, *, patience_seconds: float = 5.0) -> int:
        """Send what waits in the outbox; returns how many messages the relay accepted. Raises what `send` raises."""
        sending = await self._account.outbox.everything()
        try:
            await sending.until(0, patience_seconds)
        finally:
            sending.close()
        if sending.waiter.error is not None:
            raise sending.waiter.error
        return sending.waiter.accepted

    async def outbox_size(self) -> int:
        """How many messages wait to be accepted by the relay."""
        return await self._account.outbox.size()

    async def messages(
        self, *, until_caught_up: bool = False, patience_seconds: float | None = None
    ) -> AsyncGenerator[Message, None]:
        """Messages of others that were not given out before, as they come; see `events`."""
        events = self.events(until_caught_up=until_caught_up, patience_seconds=patience_seconds)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Message) and not event.outgoing:
                    yield event

    def events(
        self, *, until_caught_up: bool = False, patience_seconds: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """Take the mailbox and give what comes: messages, gaps, warnings, each once; reconnects by itself.

        Among them are the messages that other devices of this account sent (`outgoing`).
        A message counts as given out when the next one is asked for, or the iteration ends; so one may come again,
        under the same id, after the process was killed while it handled it. Stops after `CaughtUp` with
        `until_caught_up`; a new iteration ends the one before. Raises Replaced when another process takes the mailbox,
        DeviceRevoked, and RelayUnreachable after `patience_seconds` without a connection, or, with `until_caught_up`,
        without a word of the relay (None: never).
        """
        return self._account.events(until_caught_up=until_caught_up, patience_seconds=patience_seconds)

    async def settle(self, *, patience_seconds: float = 5.0) -> None:
        """Wait until what this client does by itself (joining, commits, answers) is done, or out of patience: it goes on
        with the next call. Raises RelayUnreachable.
        """
        await self._account.settle(patience_seconds)

    async def history(self, with_: str, *, limit: int | None = None) -> list[Message]:
        """The conversation with a handle, contact link or account id, oldest first; needs no relay.

        `limit` keeps the newest ones only. Raises UnknownRecipient.
        """
        return await self._account.history(with_, limit)

    async def create_group(
        self,
        name: str,
        *,
        about: str = "",
        broadcast: bool = False,
        settings: Iterable[Setting] = (),
        patience_seconds: float = 10.0,
    ) -> GroupInfo:
        """A new group with this account as its owner. `broadcast`: for thousands who hear and a few who speak.

        Raises UsageError; RelayUnreachable if the relay does not have it within `patience_seconds`: then it is made with
        the next call that reaches it.
        """
        return await self._account.groups.create(name, about, settings, broadcast, patience_seconds)

    async def groups(self, *, with_left: bool = False) -> list[GroupInfo]:
        """The groups of this account, oldest first; needs no relay."""
        return await self._account.groups.all(with_left)

    async def group(self, group: str) -> GroupInfo:
        """One group by its id, with or without `group:` before it; needs no relay. Raises UnknownGroup."""
        return await self._account.groups.info(group_id_of(group))

    @property
    def membership(self) -> Membership:
        """Who is in groups: ways in, joining, leaving, and changing it."""
        return self._account.membership

    async def commit_changes(
        self, group: str, changes: Iterable[Change] = (), *, cut: bool = False, patience_seconds: float = 10.0
    ) -> GroupInfo:
        """Commit changes (`crypto.group_changes`) in a group, together with what waits there; `cut`: with fresh secrets.

        Returns when the group has them, by whoever's commit. Raises UnknownGroup, NotInGroup, NotEntitled, GroupTooNew,
        CommitImpossible; RelayUnreachable out of patience: then they are committed by the next call that reaches it.
        """
        return await self._account.groups.commit(group_id_of(group), changes, patience_seconds, cut=cut)

    @property
    def invites(self) -> OwnInvites:
        """Links by which others make accounts on this relay."""
        return self._account.contact_book.invites

    @property
    def profiles(self) -> Profiles:
        """What this account says of itself to its contacts."""
        return self._account.contact_book.profiles

    @property
    def wakeups(self) -> Wakeups:
        """Where this device is woken while it has no connection."""
        return self._account.contact_book.wakeups

    async def profile(self, who: str | None = None) -> ShownProfile | None:
        """What a contact says of itself now; of nobody: the own profile, None for none. Raises what `Profiles.show` does."""
        return await self._account.contact_book.profile(who)

    async def contacts(self) -> list[Contact]:
        """Accepted contacts, contact requests, and who is blocked; needs no relay."""
        return await self._account.contact_book.everybody()

    async def accept(self, who: str, *, patience_seconds: float = 5.0) -> Contact:
        """Make a contact of somebody who asked; they are told the way to write to this account.

        `who` is a handle, the name they claim, a contact link or an account id. Writing to them accepts them too.
        Raises UnknownRecipient, UsageError (blocked), RelayUnreachable (accepted all the same, they hear of it later).
        """
        return await self._account.contact_book.accept(who, patience_seconds)

    async def block(self, who: str, *, new_links: bool = False, patience_seconds: float = 5.0) -> Contact:
        """Show nothing of theirs from now on, and give all other contacts a new way to write, so that theirs ends.

        The old way ends 7 days after the others were told; what comes by it until then is dropped and counted. `new_links`:
        make a new contact link and a new entry in the directory, too, if they came by those: the old ones end at once.
        Raises UnknownRecipient, RelayUnreachable (blocked all the same; the rest goes on with the next `events`).
        """
        return await self._account.contact_book.block(
            who, new_links=new_links, patience_seconds=patience_seconds
        )

    async def unblock(self, who: str) -> Contact:
        """Let them ask again: what they write is a contact request. Raises UnknownRecipient."""
        return await self._account.contact_book.unblock(who)

    async def evidence(self) -> list[KeptAlarm]:
        """Every alarm over the relay and over device lists, with the two objects that prove it; oldest first."""
        return await self._account.evidence()

    async def trust_log_again(self) -> None:
        """Go on with the relay after `log_split` or `log_rolled_back`, once its operator has said what happened.

        What was known of its log is forgotten, and its next head taken as the first; the evidence stays. Until then no new
        device list and no handle is believed, while messages go on.
        """
        await self._account.trust_log_again()

    async def safety_number(self, with_: str) -> SafetyNumber:
        """The number to compare with this contact. Raises UnknownRecipient, and RelayUnreachable for a new handle."""
        return await self._account.contact_book.safety_number(with_)


def _folder(path: str | PathLike[str]) -> Path:
    return Path(path).expanduser().absolute()


async def _settle(
    sending: Sending, most_left: int, patience_seconds: float, on_accepted: Callable[[int], None] | None
) -> None:
    """Wait until at most so many are undecided, in steps that `on_accepted` can tell; raise the first refusal."""
    while True:
        left = len(sending.waiter.left)
        await sending.until(max(most_left, left - LINES_AT_ONCE), patience_seconds)
        if sending.waiter.error is not None:
            raise sending.waiter.error
        if on_accepted is not None and len(sending.waiter.left) < left:
            on_accepted(sending.waiter.accepted)
        if len(sending.waiter.left) <= most_left:
            return


async def _chunks(lines: Iterable[str] | AsyncIterable[str]) -> AsyncGenerator[list[str], None]:
    """Lines in groups of at most LINES_AT_ONCE; of an async source, what is there is not held back for more."""
    chunk: list[str] = []
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield [line]
        return
    for line in lines:
        chunk.append(line)
        if len(chunk) == LINES_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
