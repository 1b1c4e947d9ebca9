"""Devices in groups without any network: real stores and real sessions, a log in memory, a post that the test can hold up."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

from client.account import Account
from client.contents import FilePointer, Text, encode_body
from client.envelopes import Encrypted, encrypt_drafts
from client.errors import GroupError, Refused
from client.first_contact import Fetched, Missing
from client.groups.care import GroupCare
from client.groups.committing import begin_creation
from client.groups.doors import tend_doors
from client.groups.sending import GroupEncrypted, encrypt_group_drafts, group_recipient
from client.groups.submits import address
from client.groups.tokens import care_for_token
from client.groups.wanted import want, want_cut
from client.message import State, Unopened
from client.message_groups import GroupChanged
from client.own_tokens import hash_of
from client.store import history, queue
from client.store.database import Transaction
from client.store.group_doors import Join, JoinState, keep_join
from client.store.group_tokens import learn_group_token
from client.store.group_wants import undecided
from client.store.groups import GroupRow, Status, find_group, make_due
from client.store.peers import find_peer, learn_token, save_chain
from client.submit_answers import Answer, file_answers
from client.transport import Transport
from crypto.group_changes import Change
from crypto.group_log import GroupView
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.keys import LocalDevice
from relay.wire.frames import Outcome
from tests.client_pair import Clock, Person, open_person, with_device
from tests.group_relay import LogsInMemory, TokenDoor


@dataclass
class Citizen:
    """One device with its errands."""

    person: Person
    care: GroupCare
    town: "Town"
    inbox: list[bytes] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        return self.person.id

    @property
    def device(self) -> bytes:
        return self.person.account.device_id

    async def do(self, function):
        """A job on this device's store."""
        return await self.person.database.run(function)

    async def create(self, *settings: Setting) -> bytes:
        """A group of its own; its id."""
        return await self.do(lambda tx: begin_creation(tx, settings, self.person.system))

    async def want(self, group: bytes, *changes: Change, not_before_ms: int = 0) -> list[int]:
        return await self.do(lambda tx: want(tx, group, changes, not_before_ms=not_before_ms))

    async def want_cut(self, group: bytes) -> int:
        return await self.do(lambda tx: want_cut(tx, group))

    async def decided(self, numbers: Sequence[int]) -> tuple[set[int], str | None]:
        return await self.do(lambda tx: undecided(tx, numbers))

    async def row(self, group: bytes) -> GroupRow:
        row = await self.do(lambda tx: find_group(tx, group))
        assert row is not None
        return row

    async def say(self, group: bytes, text: str) -> int:
        """A text for the group that waits to be encrypted; its number."""

        def keep(tx: Transaction) -> int:
            number = history.add_outgoing(
                tx,
                account_id=self.id,
                message_id=os.urandom(16),
                content_type=1,
                body=encode_body(Text(text)),
                sent_at_ms=self.person.clock.now(),
            )
            queue.add_draft(tx, number, group_recipient(group), group, is_group=True)
            return number

        return await self.do(keep)

    async def texts(self, group: bytes) -> list[bytes]:
        """Bodies that came from others."""
        rows = await self.do(lambda tx: history.of_conversation(tx, group, None))
        return [row.body for row in rows if not row.outgoing]

    async def state_of(self, number: int) -> State:
        row = await self.do(lambda tx: history.find(tx, number))
        return row.state

    async def refused(self) -> list[str]:
        """Why envelopes did not open."""
        return [one.reason for one in await self.person.told() if isinstance(one, Unopened)]

    async def changes(self) -> list[tuple[str, str]]:
        """(Kind, name) of every change that was told."""
        told = [one for one in await self.person.told() if isinstance(one, GroupChanged)]
        return [(change.kind, change.name) for one in told for change in one.changes]

    async def look(self, group: bytes) -> None:
        """Have the group looked at now."""
        await self.do(lambda tx: make_due(tx, group))
        await self.care.look()


@dataclass
class Town:
    """Everybody, the log, and the post."""

    folder: Path
    stack: AsyncExitStack
    clock: Clock = field(default_factory=Clock)
    logs: LogsInMemory = field(default_factory=LogsInMemory)
    citizens: list[Citizen] = field(default_factory=list)
    offline: set[str] = field(default_factory=set)
    """Names: they do nothing, and their mail waits."""
    full: set[bytes] = field(default_factory=set)
    """Devices whose mailbox is full."""
    lost: set[tuple[bytes, int]] = field(default_factory=set)
    tokens: dict[bytes, dict[bytes, int | None]] = field(default_factory=dict)
    """Account → SHA-256 of a delivery token of class `group` that the relay takes → when it ends."""
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    """States of large groups, as at the relay."""
    envelopes: int = 0
    """Counted: one for each target."""
    submitted: list[queue.Outgoing] = field(default_factory=list)

    async def move_in(self, name: str, account: Account | None = None) -> Citizen:
        """A new device: of a new account, or of this one."""
        person = await self.stack.enter_async_context(
            open_person(self.folder / name, name, self.clock, account)
        )

        async def fetch_list(account_id: bytes) -> None:
            await self._fetch_list(person, account_id)

        tokens = cast(Transport, TokenDoor(self.tokens.setdefault(person.id, {})))

        async def store_state(view: GroupView) -> FilePointer:
            state, key = view.state.encode(), os.urandom(32)
            self.blobs[key] = state
            return FilePointer(key, key, len(state), bytes(32), "state", "application/octet-stream")

        async def fetch_state(blob: FilePointer) -> bytes:
            return self.blobs[blob.key]

        care = GroupCare(
            self.logs,
            person.database,
            person.system,
            fetch_list=fetch_list,
            care_for_token=partial(care_for_token, tokens, person.database, person.system),
            store_state=store_state,
            on_way_in=partial(tend_doors, tokens, person.database, person.system),
            fetch_state=fetch_state,
            on_drafts=lambda: None,
            on_news=lambda: None,
        )
        citizen = Citizen(person, care, self)
        self.citizens.append(citizen)
        return citizen

    async def _fetch_list(self, person: Person, account_id: bytes) -> None:
        """Keep an account's newest list, if this one reaches it. Raises Refused."""
        peer = await person.database.read(lambda tx: find_peer(tx, account_id))
        if account_id != person.id and not self._is_reached(account_id, peer and peer.token):
            raise Refused("not_allowed", "nobody lives there, or not for this token")
        newest = self.account(account_id)
        await person.database.run(lambda tx: save_chain(tx, newest.own))
        if account_id == person.id:
            person.account = person.account.with_chain(newest.own)

    def _is_reached(self, account_id: bytes, token: bytes | None) -> bool:
        """By a token of `introduce`, or one of class `group` that has not ended."""
        if token is None or not self._is_known(account_id):
            return False
        known = self.tokens.get(account_id, {})
        ends_at_ms = known.get(hash_of(token), 0)
        return token == bytes(16) or ends_at_ms is None or self.clock.ms < ends_at_ms

    async def second_device(self, first: Citizen, name: str) -> Citizen:
        """Another device of the account, which its other devices know of."""
        local = LocalDevice.generate(first.id, os.urandom)
        with_device(first.person, replace(first.person.account, local=local, root_seed=None))
        own = first.person.account.own
        await first.do(lambda tx: save_chain(tx, own))
        return await self.move_in(name, replace(first.person.account, local=local, root_seed=None))

    def account(self, account_id: bytes) -> Account:
        """The account with the newest list."""
        found = [one.person.account for one in self.citizens if one.id == account_id]
        return max(found, key=lambda account: account.own.version)

    async def introduce(self, *people: Citizen) -> None:
        """Everybody knows everybody's list, and how to reach them."""
        for one in people:
            for other in people:
                if other.id != one.id:
                    own = self.account(other.id).own
                    await one.do(lambda tx, i=other.id: learn_token(tx, i, bytes(16), "contact"))
                    await one.do(lambda tx, chain=own: save_chain(tx, chain))

    async def group_of(
        self, owner: Citizen, *others: Citizen, roles: dict[bytes, Role] | None = None, settings=()
    ) -> bytes:
        """A group of these, all of them in."""
        group = await owner.create(*settings)
        for other in others:
            join = Join(group, owner.id, bytes(16), "a group", JoinState.ASKED)
            await other.do(lambda tx, one=join: keep_join(tx, one))
        accounts = {other.id: self.account(other.id).own.version for other in others}
        changes = [
            add(account, version, (roles or {}).get(account, Role.MEMBER))
            for account, version in accounts.items()
        ]
        await owner.want(group, *changes)
        await self.settle()
        for other in others:
            assert (await other.row(group)).status is Status.MEMBER
        return group

    # The post.

    async def settle(self, *, rounds: int = 30) -> None:
        """Until nobody has anything to do any more."""
        for _ in range(rounds):
            worked = False
            for citizen in self.citizens:
                if citizen.person.name not in self.offline:
                    worked = await self._work(citizen) or worked
            if not worked:
                return
        raise AssertionError("it does not settle")

    async def _work(self, citizen: Citizen) -> bool:
        arrived, citizen.inbox = citizen.inbox, []
        if arrived:
            frames = [citizen.person.frame(one) for one in arrived]
            fetched: frozenset[bytes] = frozenset()
            while (taken := await citizen.person.take(frames, fetched)).gap_of is not None:
                with suppress(Refused):
                    await self._fetch_list(citizen.person, taken.gap_of)
                fetched |= {taken.gap_of}
        wait_seconds = await citizen.care.look()
        encrypted = await self._encrypt(citizen)
        encrypted = await self._encrypt(citizen) or encrypted  # the hand-outs that a message needs first
        sent = await self.post(citizen)
        return bool(arrived or encrypted or sent or not wait_seconds)

    async def _encrypt(self, citizen: Citizen) -> bool:
        """Encrypt what can be; whether something was."""
        drafts = await citizen.do(lambda tx: queue.next_drafts(tx, 10_000))
        by_recipient: dict[str, list[queue.Draft]] = {}
        for draft in drafts:
            by_recipient.setdefault(draft.recipient, []).append(draft)
        worked = False
        for theirs in by_recipient.values():
            account_id = theirs[0].account_id
            if theirs[0].is_group:
                worked = await self._encrypt_group(citizen, account_id, theirs) or worked
            elif self._is_known(account_id):
                worked = await self._encrypt_direct(citizen, account_id, theirs) or worked
        return worked

    def _is_known(self, account_id: bytes) -> bool:
        return any(one.id == account_id for one in self.citizens)

    async def _encrypt_direct(self, citizen: Citizen, account_id: bytes, drafts: list[queue.Draft]) -> bool:
        fetched = Fetched()
        while True:
            now = fetched
            result = await citizen.do(
                lambda tx: encrypt_drafts(tx, account_id, drafts, now, citizen.person.system)  # noqa: B023
            )
            if isinstance(result, Encrypted):
                return True
            assert isinstance(result, Missing)
            if result.chain:
                try:
                    await self._fetch_list(citizen.person, account_id)
                except Refused:
                    return False
            bundles = dict(fetched.bundles)
            for one in self.citizens:
                if one.id == account_id and one.device in result.devices:
                    bundles[one.device] = await one.person.bundle()
            fetched = Fetched(bundles, self.clock.now())

    async def _encrypt_group(self, citizen: Citizen, group: bytes, drafts: list[queue.Draft]) -> bool:
        try:
            result = await citizen.do(
                lambda tx: encrypt_group_drafts(tx, group, drafts, citizen.person.system)
            )
        except GroupError as error:
            citizen.errors.append(error)
            return False
        assert isinstance(result, GroupEncrypted)
        return bool(result.messages or result.again or not result.waits)

    async def post(self, citizen: Citizen) -> bool:
        """Hand what is finished to the mailboxes, and file the answers."""
        rows = await citizen.do(lambda tx: queue.outgoing_after(tx, 0, 10_000))
        answers = []
        for row in rows:
            addressing = None
            if row.group is None:
                pairs = [(one.device_id, one.ciphertext) for one in row.envelopes]
            else:
                addressing = await citizen.do(lambda tx, r=row: address(tx, r, r.group))
                if addressing.submit is None and addressing.unreached:
                    continue
                pairs = [(target.device_id, row.group.ciphertext) for target in addressing.targets]
            if row.group is not None and pairs and all(device in self.full for device, _ in pairs):
                continue  # waits longer, as the submitter does
            self.submitted.append(row)
            outcomes = tuple(self._put(*pair) for pair in pairs)
            answers.append(Answer(row, outcomes, addressing=addressing))
        if answers:
            await citizen.do(lambda tx: file_answers(tx, answers, citizen.person.system))
        return bool(answers)

    def _put(self, device: bytes, ciphertext: bytes) -> Outcome:
        for other in self.citizens:
            if other.device == device:
                if device in self.full:
                    return Outcome.MAILBOX_FULL
                self.envelopes += 1
                other.inbox.append(ciphertext)
                return Outcome.STORED
        return Outcome.UNKNOWN_DEVICE


async def know_token(citizen: Citizen, group: bytes, account_id: bytes) -> None:
    """A token of class `group` for this member."""
    await citizen.do(lambda tx: learn_group_token(tx, group, account_id, os.urandom(16)))


@asynccontextmanager
async def open_town(
    folder: Path, *names: str, strangers: bool = False
) -> AsyncIterator[tuple[Town, list[Citizen]]]:
    """People of these names, who know each other; as strangers, each knows the first, and is known to it."""
    async with AsyncExitStack() as stack:
        town = Town(folder, stack)
        people = [await town.move_in(name) for name in names]
        for circle in [(people[0], one) for one in people[1:]] if strangers else [people]:
            await town.introduce(*circle)
        yield town, people
