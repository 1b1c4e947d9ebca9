"""A relay that sets the members of a group against each other: by its log, by its messages, by what it keeps back."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from client.groups.rooms import group_id_of
from client.message_groups import GroupInfo
from client.store.group_doors import Join, JoinState, keep_join
from client.store.groups import Status, find_group
from crypto.group_changes import Change, ChangeSetting, Remove
from crypto.group_log import seal_entry
from crypto.group_proposals import add, propose
from crypto.group_rights import Role
from crypto.group_state import NAME, Setting
from relay.wire.frames import Deliver
from relay.wire.links import encode_bytes
from tests.chatting import machine_that_is_late
from tests.hostile.attacks import Guard, Unseen, attack, nothing
from tests.hostile.attacks_on_device_lists import account_of
from tests.hostile.attacks_on_mail import NO_GAPS, NOTHING_UNOPENED, ONCE_ALONE, TEXTS, changing, flipping
from tests.hostile.false_mailbox import Change as MailChange
from tests.hostile.false_mailbox import FalseMailbox
from tests.hostile.middleman import Exchange
from tests.hostile.stage import WITHIN_SECONDS, Live, Person, Stage

_KIND_GROUP = 3


@dataclass(eq=False)
class Circle:
    """A group whose members know each other; each is online while something is done."""

    stage: Stage
    id: str
    owner: Person
    members: tuple[Person, ...]

    @property
    def recipient(self) -> str:
        return f"group:{self.id}"

    @asynccontextmanager
    async def online(self, *who: Person) -> AsyncIterator[list[Live]]:
        """These, or all of them."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(one.online()) for one in who or self.members]

    async def info(self, person: Person) -> GroupInfo:
        """The group as this person sees it."""
        async with person.client() as client:
            return await client.group(self.id)

    async def names(self, person: Person) -> set[str]:
        """Who is in it, as this person sees it."""
        return {self.stage.plain(one.name) for one in (await self.info(person)).members}

    async def says(self, person: Person, *texts: str) -> None:
        """Send texts to the group."""
        async with person.client() as client:
            for text in texts:
                await client.send(self.recipient, text)

    async def commits(self, *changes: Change, online: Sequence[Person] = ()) -> None:
        """The owner changes something; these are online meanwhile."""
        async with self.online(self.owner, *online) as (owner, *_):
            await owner.client.commit_changes(self.id, changes)
            await owner.client.flush()


async def circle(stage: Stage, *names: str) -> Circle:
    """A group of the first one, the owner, with all others in it; everybody has written to everybody."""
    people = await stage.people(*names)
    for one in people:
        for other in people:
            if one is not other:
                await one.says(other, "hello")
    for one in (*people, *people):
        await one.listens()
    return await group_of(stage, *people)


async def group_of(stage: Stage, *people: Person) -> Circle:
    """A group of people who know each other; each has said something there."""
    owner, *others = people
    async with owner.client() as client:
        made = Circle(stage, (await client.create_group("friends")).id, owner, tuple(people))
    join = Join(group_id_of(made.id), owner.account_id, bytes(16), "friends", JoinState.ASKED)
    for one in people:
        one.heard.clear()
    for one in others:
        async with one.store() as store:
            await store.run(lambda tx: keep_join(tx, join))
    async with made.online() as (host, *guests):
        await host.client.commit_changes(made.id, [add(one.account_id, 1, Role.MEMBER) for one in others])
        for guest in guests:
            await guest.is_told("group_changed")
        for speaker in (host, *guests):
            await speaker.client.send(made.recipient, f"this is {speaker.person.name}")
        for listener in (host, *guests):
            for speaker in people:
                if speaker is not listener.person:
                    await listener.hears(f"this is {speaker.name}")
    for one in people:
        one.heard.clear()
    return made


def the_log_is(stage: Stage, change: Callable[[dict[str, Any]], None]) -> None:
    """From now on `change` is done to what the relay answers of a group's log."""

    def answer(exchange: Exchange) -> None:
        log = exchange.json
        change(log)
        exchange.json = log

    stage.relay.changes_answers("GET", "/v1/group-logs/*", answer)


def _garbage(index: int) -> dict[str, Any]:
    """An entry that the relay made: of the right form and size, sealed by nobody."""
    return {"index": index, "entry": encode_bytes(b"\x01" + os.urandom(511)), "at_ms": 0}


NOBODY_TELLS = (
    Guard("client.groups.upkeep.tell_withheld", nothing),
    Guard("client.groups.care.tell_withheld", nothing),
)


async def _carol_is_removed_and_bob_does_not_see_it(
    stage: Stage, change: Callable[[dict[str, Any]], None]
) -> None:
    group = await circle(stage, "alice", "bob", "carol")
    _, bob, carol = group.members
    await group.commits(Remove(carol.account_id))
    the_log_is(stage, change)
    await bob.listens()
    stage.holds("carol" in await group.names(bob), "the attack works: for bob, carol is in the group still")
    bob.system = machine_that_is_late(-120_000)
    async with bob.online() as live:
        await live.is_told("commit_withheld", within_seconds=5)
    stage.tells(bob, "commit_withheld")


@attack(*NOBODY_TELLS)
async def withholds_a_commit(stage: Stage) -> None:
    """keeps the removal of a member from another member"""

    def withhold(log: dict[str, Any]) -> None:
        log["entries"], log["next_index"] = [], 2

    await _carol_is_removed_and_bob_does_not_see_it(stage, withhold)


@attack(*NOBODY_TELLS)
async def replaces_a_commit(stage: Stage) -> None:
    """shows one member an entry of its own in the place of a removal"""

    def replace(log: dict[str, Any]) -> None:
        log["entries"] = [_garbage(one["index"]) for one in log["entries"]]

    await _carol_is_removed_and_bob_does_not_see_it(stage, replace)


@attack(*NOBODY_TELLS)
async def answers_nonsense_for_a_group_log(stage: Stage) -> None:
    """answers something that is no log to a member who should see a removal"""
    await _carol_is_removed_and_bob_does_not_see_it(stage, lambda log: log.update(entries="none"))


@attack(*NOBODY_TELLS)
async def redirects_a_group_log(stage: Stage) -> None:
    """answers with the log of another group of the same people in the place of a removal"""
    group = await circle(stage, "alice", "bob", "carol")
    _, bob, carol = group.members
    other = await group_of(stage, *group.members)
    elsewhere = stage.relay.answer_to("GET", "/v1/group-logs/*").json
    await group.commits(Remove(carol.account_id))

    def redirect(exchange: Exchange) -> None:
        if not exchange.is_of("GET", f"/v1/group-logs/{other.id}"):
            exchange.json = elsewhere

    stage.relay.changes_answers("GET", "/v1/group-logs/*", redirect)
    await bob.listens()
    stage.holds("carol" in await group.names(bob), "the attack works: for bob, carol is in the group still")
    stage.holds("carol" in await other.names(bob), "the other group is as it was")
    bob.system = machine_that_is_late(-120_000)
    async with bob.online() as live:
        await live.is_told("commit_withheld", within_seconds=5)
    stage.tells(bob, "commit_withheld")


@attack(*NOBODY_TELLS)
async def forks_a_group_log(stage: Stage) -> None:
    """shows one member another commit than all others, made with the stolen keys of the owner"""
    group = await circle(stage, "alice", "bob", "carol")
    alice, bob, carol = group.members
    async with alice.store() as store:
        view = (await store.read(lambda tx: find_group(tx, group_id_of(group.id)))).view
    accounts = [await account_of(one) for one in group.members]
    fork = propose(
        view,
        accounts[0].local,
        [ChangeSetting(Setting(NAME, b"good friends"))],
        os.urandom,
        alice.system.now_ms(),
        {one.account_id: one.own for one in accounts},
    )
    entry = seal_entry(fork.keys, view.next_entry, fork.signed, os.urandom)
    await group.commits(Remove(carol.account_id))

    def put(log: dict[str, Any]) -> None:
        fork_entry = {"index": view.next_entry, "entry": encode_bytes(entry), "at_ms": 0}
        log["entries"] = [fork_entry] if log["entries"] else []
        log["next_index"] = view.next_entry + 1

    the_log_is(stage, put)
    await bob.listens()  # the secret of the true cut is here from now on
    async with bob.online() as live:
        await live.is_told("group_changed")
    stage.holds((await group.info(bob)).name == "good friends", "the attack works: bob follows the fork")
    bob.system = machine_that_is_late(-120_000)
    async with bob.online() as live:
        await live.is_told("commit_withheld", within_seconds=10)
    stage.tells(bob, "commit_withheld")


@attack(cannot="what was read is not read again, and nothing goes back to a state before")
async def answers_with_old_log_entries(stage: Stage) -> None:
    """answers with the log of a group as it was before"""
    group = await circle(stage, "alice", "bob")
    alice, bob = group.members
    before = stage.relay.answer_to("GET", "/v1/group-logs/*").json
    await group.commits(ChangeSetting(Setting(NAME, b"good friends")))
    async with bob.online() as live:
        await live.is_told("group_changed")
    bob.heard.clear()
    the_log_is(stage, lambda log: log.update(before))
    await group.says(alice, "one")
    await bob.listens()
    stage.holds((await group.info(bob)).name == "good friends", "bob goes by the newest state")
    await stage.reads(bob, group.recipient, "one", after=("this is alice",))
    stage.nothing_told(bob)


@attack(cannot="the keys of a group open nothing of another")
async def redirects_between_groups(stage: Stage) -> None:
    """delivers a message of one group to a member of another group of the same people"""
    group = await circle(stage, "alice", "bob", "carol")
    alice, bob, carol = group.members
    smaller = await group_of(stage, alice, bob)
    at_bob = FalseMailbox.of(bob, list)
    await smaller.says(alice, "not for carol")
    await bob.listens()
    await stage.reads(bob, smaller.recipient, "not for carol", after=("this is alice",))
    FalseMailbox.of(carol, lambda envelopes: [*envelopes, *at_bob.kept])
    await group.says(alice, "for all")
    await carol.listens()
    await stage.reads(carol, group.recipient, "for all", after=("this is alice", "this is bob"))


@attack(
    cannot="what is not sealed with the epoch's key is no commit, and without that key nothing can be sealed"
)
async def adds_entries_to_a_group_log(stage: Stage) -> None:
    """adds entries of its own to the log of a group"""
    group = await circle(stage, "alice", "bob")
    alice, bob = group.members

    def add_some(log: dict[str, Any]) -> None:
        first = log["next_index"]
        log["entries"] += [_garbage(first + number) for number in range(3)]
        log["next_index"] = first + 3

    the_log_is(stage, add_some)
    async with group.online():
        await group.says(alice, "one")
    await bob.listens()
    stage.holds(await group.names(bob) == {"alice", "bob"}, "nobody came in")
    await stage.reads(bob, group.recipient, "one", after=("this is alice",))
    stage.nothing_told(bob)


def _nothing_is_missing(tx: Any, group_id: bytes, since_ms: int | None) -> None:
    """A log that cannot be read is as good as one in which nothing is new."""


async def sees_that_the_log_is_shut(stage: Stage, live: Live, group: Circle) -> None:
    """Until this client, the only one online, has asked for the log and done all that follows from the refusal, or is out.

    Raises Unseen if it does not know afterwards that nothing it has reads the log. Forget the exchanges before it is online.
    """
    account = live.client._account
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            await account.groups.care.idle.wait()  # set at the end of a look, at the first one of all groups
            asked = any(one.is_of("GET", "/v1/group-logs/*") for one in stage.relay.exchanges)
            row = await account._database.read(lambda tx: find_group(tx, group_id_of(group.id)))
            if asked or row is None or row.status is not Status.MEMBER:
                break
            await asyncio.sleep(0.05)
    if row is None or row.missing_since_ms is None:
        raise Unseen("nothing seems to be missing")


@attack(Guard("client.groups.log_reader.note_missing", _nothing_is_missing))
async def withholds_an_epoch_secret(stage: Stage) -> None:
    """keeps the secret of a new epoch from a member"""
    group = await circle(stage, "alice", "bob", "carol")
    _, bob, carol = group.members
    FalseMailbox.of(bob, lambda envelopes: ())
    await group.commits(Remove(carol.account_id))
    await bob.listens()
    stage.relay.exchanges.clear()
    async with bob.online() as live:
        await sees_that_the_log_is_shut(stage, live, group)
        await stage.refuses(bob, live.client.send(group.recipient, "one"), "group_not_ready")


def _of_groups(change: MailChange) -> MailChange:
    """Done to a group's messages alone."""

    def changed(envelopes: Sequence[Deliver]) -> Iterable[Deliver]:
        theirs = [one for one in envelopes if one.ciphertext[0] == _KIND_GROUP]
        return [one for one in envelopes if one not in theirs] + list(change(theirs))

    return changed


@attack(NO_GAPS)
async def withholds_a_group_message(stage: Stage) -> None:
    """leaves one message of a group out"""
    group = await circle(stage, "alice", "bob")
    alice, bob = group.members
    FalseMailbox.of(bob, _of_groups(lambda theirs: [one for n, one in enumerate(theirs) if n != 1]))
    await group.says(alice, *TEXTS)
    await bob.listens()
    stage.tells(bob, "gap")


@attack(Guard("client.groups.opening.save_sender", nothing), ONCE_ALONE[-1])
async def duplicates_group_messages(stage: Stage) -> None:
    """delivers each message of a group twice"""
    group = await circle(stage, "alice", "bob")
    alice, bob = group.members
    FalseMailbox.of(bob, _of_groups(lambda theirs: [one for each in theirs for one in (each, each)]))
    await group.says(alice, *TEXTS)
    await bob.listens()
    await stage.reads(bob, group.recipient, *TEXTS, after=("this is alice",))
    stage.nothing_told(bob)


@attack(NOTHING_UNOPENED)
async def changes_a_group_message(stage: Stage) -> None:
    """changes one bit of a message of a group"""
    group = await circle(stage, "alice", "bob")
    alice, bob = group.members
    FalseMailbox.of(bob, _of_groups(changing(flipping(180, 1))))
    await group.says(alice, "one")
    await bob.listens()
    stage.tells(bob, "unopened")


@attack(cannot="no key of another group, or of another epoch, opens it")
async def delivers_to_a_removed_member(stage: Stage) -> None:
    """delivers what is written after a removal to the removed member, whose client does as it is told"""
    group = await circle(stage, "alice", "bob", "carol")
    alice, bob, carol = group.members
    at_bob = FalseMailbox.of(bob, list)
    await group.commits(Remove(carol.account_id))
    async with group.online(bob) as (live,):
        await group.says(alice, "not for carol")
        await live.hears("not for carol")
    await stage.reads(bob, group.recipient, "not for carol", after=("this is alice", "this is carol"))
    FalseMailbox.of(carol, lambda envelopes: [*envelopes, *at_bob.kept])
    await alice.says(carol, "hello again")
    await carol.listens()
    stage.holds("not for carol" not in carol.texts(), "carol reads nothing of it")
