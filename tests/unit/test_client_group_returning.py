"""Groups survive the loss of a device: the account's devices share what brings them back in, and members let them in again."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from client.contents import ContentType
from client.devices.revoking import change_own_tokens
from client.devices.shared_items import apply_items, everything, share_changes, stamp_changes
from client.errors import GroupNotReady, NotInGroup, UsageError
from client.groups import hand_outs
from client.groups.bodies import AskBody, Lacks, WelcomeBody, encode
from client.groups.following import quit_group
from client.groups.hand_outs import draft_welcome
from client.groups.lists import KnownLists
from client.groups.named import find, find_waiting
from client.groups.returning import FIRST_AGAIN_MS, ask_back, give_up, waiting_groups
from client.groups.shared_group import Committer, SharedGroup, group_key, shared_group
from client.groups.shown import show_group
from client.signals import draft_signal
from client.store import queue
from client.store.group_held import parked_of_type
from client.store.group_returns import find_return
from client.store.group_tokens import group_token, known_own_token, learn_group_token
from client.store.groups import Status, find_group
from client.store.peers import save_chain
from client.store.shared import Item, find_item
from crypto.errors import InvalidEncoding
from crypto.group_changes import Remove, SetRole
from crypto.group_proposals import add, propose
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.keys import LocalDevice
from tests.client_pair import bodies, with_device
from tests.group_town import Citizen, Town, know_token, open_town

DAY_MS = 86_400_000


async def backup_of(citizen: Citizen) -> list[Item]:
    return await citizen.do(lambda tx: everything(tx, citizen.person.system))


async def restore(
    town: Town, lost: Citizen, name: str = "restored", *, keep: bool = False, backup: Sequence[Item] = ()
) -> Citizen:
    """A new device of the account with what a backup of the lost one held; without `keep` it is alone in the list."""
    items = backup or await backup_of(lost)
    local = LocalDevice.generate(lost.id, os.urandom)
    other = replace(lost.person.account, local=local, root_seed=None)
    with_device(lost.person, other, keep_first=keep)
    again = await town.move_in(name, replace(lost.person.account, local=local, root_seed=None))

    def take(tx) -> None:
        apply_items(tx, items, town.clock.ms)
        if not keep:
            change_own_tokens(tx, again.person.system)

    await again.do(take)
    return again


async def named_group(town: Town, owner: Citizen, *others: Citizen, **roles: Role) -> bytes:
    by_id = {one.id: roles[one.person.name] for one in others if one.person.name in roles}
    return await town.group_of(owner, *others, roles=by_id, settings=[Setting("name", b"the choir")])


async def status(citizen: Citizen, group: bytes) -> Status | None:
    row = await citizen.do(lambda tx: find_group(tx, group))
    return None if row is None else row.status


async def own_token(citizen: Citizen, group: bytes) -> bytes | None:
    known = await citizen.do(lambda tx: known_own_token(tx, group))
    return None if known is None else known[0]


async def asks_of(citizen: Citizen) -> int:
    """How many accounts wait to be asked."""
    rows = await citizen.do(
        lambda tx: tx.all(
            "SELECT 1 FROM drafts d JOIN messages m ON m.n = d.message_n WHERE m.type = ?",
            ContentType.GROUP_ASK,
        )
    )
    return len(rows)


async def test_a_restored_device_is_let_in_again_and_the_lost_one_reads_nothing_more(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await named_group(town, alice, bob, carol)
        await bob.say(group, "before")
        await town.settle()
        token, began_ms = await own_token(bob, group), town.clock.ms
        again = await restore(town, bob)
        assert [one.status for one in await again.do(waiting_groups)] == ["waiting"]
        assert [one.name for one in await again.do(waiting_groups)] == ["the choir"]
        assert await own_token(again, group) == token
        await town.settle()
        assert await status(again, group) is Status.MEMBER
        assert await again.do(waiting_groups) == []
        town.clock.ms += 31_000
        await alice.look(group)
        await town.settle()
        state = (await alice.row(group)).view.state
        assert (state.epoch, state.member(bob.id).manifest_version) == (2, 2)
        await alice.say(group, "welcome back")
        await town.settle()
        assert await again.texts(group) == bodies("welcome back")
        assert await bob.texts(group) == []
        await again.say(group, "thank you")
        await town.settle()
        assert await alice.texts(group) == bodies("before", "thank you")
        assert await carol.texts(group) == bodies("before", "welcome back", "thank you")
        # The lost device knew the token: all know another one, and the old one ends in 7 days.
        fresh = await own_token(again, group)
        assert fresh != token
        for one in (alice, carol):
            assert await one.do(lambda tx: group_token(tx, group, bob.id)) == fresh
        assert town.tokens[bob.id] == {
            hashlib.sha256(token).digest(): began_ms + 7 * DAY_MS,
            hashlib.sha256(fresh).digest(): None,
        }


async def test_an_owner_comes_back_with_the_write_key(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await named_group(town, alice, bob, bob=Role.ADMIN)
        again = await restore(town, alice)
        await town.settle()
        (number,) = await again.want(group, SetRole(bob.id, Role.MODERATOR))
        await town.settle()
        assert await again.decided([number]) == (set(), None)
        assert (await bob.row(group)).view.state.member(bob.id).role is Role.MODERATOR


async def test_a_welcome_from_somebody_who_is_not_named_is_not_taken(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await named_group(town, alice, bob, carol)
        again = await restore(town, bob)
        own = again.person.account.own
        await carol.do(lambda tx: save_chain(tx, own))
        town.offline = {"alice"}

        async def welcome(by: Citizen) -> None:
            row = await by.row(group)
            await by.do(lambda tx: draft_welcome(tx, by.person.account, row, [bob.id], by.person.system))
            await town.settle()

        await welcome(carol)
        assert await status(again, group) is None
        assert len(await again.do(lambda tx: parked_of_type(tx, ContentType.GROUP_WELCOME))) == 1
        town.offline = set()
        await town.settle()
        assert await status(again, group) is Status.MEMBER


async def test_only_members_are_let_in_again(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await named_group(town, alice, bob, carol)
        items = await backup_of(bob)
        town.offline = {"bob"}
        await alice.want(group, Remove(bob.id))
        await town.settle()
        again = await restore(town, bob, backup=items)
        await town.settle()
        assert await status(again, group) is None
        assert [one.status for one in await again.do(waiting_groups)] == ["waiting"]
        stranger = await town.move_in("dave")
        await town.introduce(alice, stranger)
        ask = encode(AskBody(group, Lacks.WELCOME))
        await stranger.do(
            lambda tx: draft_signal(
                tx, stranger.person.account, [alice.id], ContentType.GROUP_ASK, ask, stranger.person.system
            )
        )
        await town.settle()
        assert await stranger.do(lambda tx: parked_of_type(tx, ContentType.GROUP_WELCOME)) == []


async def test_a_group_that_was_left_is_not_asked_for_and_left_on_all_devices(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, laptop)
        group = await named_group(town, alice, bob)
        await town.settle()
        assert await status(laptop, group) is Status.MEMBER
        await bob.do(lambda tx: quit_group(tx, group, find_group(tx, group).view.state.member(bob.id).since))
        await bob.look(group)
        await town.settle()
        assert await status(laptop, group) is Status.OUT
        assert town.tokens[bob.id] == {}
        assert (await bob.do(lambda tx: shared_group(tx, group))) == SharedGroup(1, True)
        again = await restore(town, bob)
        assert await again.do(waiting_groups) == []
        assert not await again.do(lambda tx: ask_back(tx, again.person.system))
        assert await own_token(again, group) is None


def shared(group: bytes, at_ms: int, since: int, is_out: bool, token: bytes | None = None) -> Item:
    value = SharedGroup(since, is_out, None if is_out else "the choir", token)
    return Item(group_key(group), msgspec.msgpack.encode(value), at_ms, bytes(16))


async def test_who_came_in_again_is_in_whatever_is_said_late_of_the_time_before(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await named_group(town, alice, bob)
        await alice.want(group, Remove(bob.id))
        await town.settle()
        assert await status(bob, group) is Status.OUT
        late_ms = town.clock.ms + DAY_MS
        # The account is out since its first time in the group: it does not wait to come back.
        await bob.do(lambda tx: apply_items(tx, [shared(group, late_ms, 1, False, b"x" * 16)], late_ms))
        assert await bob.do(waiting_groups) == []
        await bob.do(lambda tx: stamp_changes(tx, bob.person.account, late_ms))
        assert await bob.do(lambda tx: shared_group(tx, group)) == SharedGroup(1, True)
        await alice.want(group, add(bob.id, 1, Role.MEMBER))
        await town.settle()
        assert (await bob.row(group)).view.state.member(bob.id).since == 2
        token = await own_token(bob, group)
        for item in (shared(group, late_ms + 5, 1, True), shared(group, late_ms + 6, 1, False, b"y" * 16)):
            await bob.do(lambda tx, one=item: apply_items(tx, [one], late_ms))
            assert (await status(bob, group), await own_token(bob, group)) == (Status.MEMBER, token)
            await bob.do(lambda tx: stamp_changes(tx, bob.person.account, late_ms))
            told = await bob.do(lambda tx: shared_group(tx, group))
            assert (told.since, told.is_out, told.token) == (2, False, token)
        await bob.do(lambda tx: apply_items(tx, [shared(group, late_ms + 9, 2, True)], late_ms))
        assert await status(bob, group) is Status.OUT


async def test_of_two_times_in_a_group_the_later_one_counts_for_who_waits_to_come_back(tmp_path):
    async with open_town(tmp_path, "alice") as (_, (alice,)):
        group = os.urandom(32)

        async def hears(*item) -> tuple[int, bool] | None:
            await alice.do(lambda tx: apply_items(tx, [shared(group, *item)], 10))
            back = await alice.do(lambda tx: find_return(tx, group))
            return None if back is None else (back.since, back.is_out)

        assert await hears(1, 3, False, b"3" * 16) == (3, False)
        assert await hears(2, 2, False, b"2" * 16) == (3, False)
        assert await hears(3, 2, True) == (3, False)
        assert await own_token(alice, group) == b"3" * 16
        await alice.do(lambda tx: give_up(tx, group))
        assert await hears(20, 3, False) == (3, True)
        assert await hears(30, 4, False) == (4, False)
        assert await hears(40, 4, True) is None
        assert await own_token(alice, group) is None


async def test_a_token_that_the_relay_does_not_have_yet_is_not_shared(tmp_path):
    async with open_town(tmp_path, "alice") as (town, (alice,)):
        group = await named_group(town, alice)

        def told(tx) -> bytes | None:
            stamp_changes(tx, alice.person.account, town.clock.ms)
            return shared_group(tx, group).token

        assert await alice.do(told) == await own_token(alice, group)
        await alice.do(lambda tx: tx.run("UPDATE group_own_tokens SET registered = 0"))
        assert await alice.do(told) is None


async def test_a_device_whose_welcome_never_came_learns_the_ways_to_all_members(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, carol, laptop)
        town.offline = {"laptop"}
        group = await named_group(town, alice, bob, carol)
        await know_token(alice, group, carol.id)
        await laptop.do(lambda tx: tx.run("UPDATE peers SET token = NULL, token_class = NULL"))
        laptop.inbox.clear()
        items = [one for one in await backup_of(bob) if one.key == group_key(group)]
        town.offline = {"bob"}
        await laptop.do(lambda tx: apply_items(tx, items, town.clock.ms))
        await town.settle()
        assert await status(laptop, group) is None
        town.clock.ms += DAY_MS
        await town.settle()
        assert await status(laptop, group) is Status.MEMBER
        await laptop.say(group, "to everybody")
        await town.settle()
        for one in (alice, carol):
            assert await one.texts(group) == bodies("to everybody")


async def test_own_devices_end_with_one_token_and_say_so(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, laptop)
        # Each has one of its own at the relay, as before they shared it.
        group = await named_group(town, alice, bob)
        known, other = await own_token(bob, group), os.urandom(16)
        town.tokens[bob.id][hashlib.sha256(other).digest()] = None
        await laptop.do(
            lambda tx: tx.run(
                "UPDATE group_own_tokens SET token = ?, made_here = 1 WHERE group_id = ?", other, group
            )
        )
        town.clock.ms += 1_000
        await laptop.look(group)
        await town.settle()
        tokens = {await own_token(one, group) for one in (bob, laptop)}
        assert len(tokens) == 1
        (token,) = tokens
        assert (token, town.tokens[bob.id][hashlib.sha256(known).digest()]) == (
            other,
            town.clock.ms + 7 * DAY_MS,
        )
        assert await alice.do(lambda tx: group_token(tx, group, bob.id)) == token
        assert town.tokens[bob.id][hashlib.sha256(token).digest()] is None


async def test_the_tokens_of_groups_are_changed_when_a_device_is_out(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, laptop)
        group = await named_group(town, alice, bob)
        await town.settle()
        known = await own_token(laptop, group)
        town.offline = {"laptop"}
        await bob.do(lambda tx: change_own_tokens(tx, bob.person.system))
        await town.settle()
        fresh = await own_token(bob, group)
        assert fresh != known
        assert town.tokens[bob.id][hashlib.sha256(known).digest()] == town.clock.ms + 7 * DAY_MS
        assert await alice.do(lambda tx: group_token(tx, group, bob.id)) == fresh
        # One that was away and made the old one does not give it more time.
        ends = town.tokens[bob.id][hashlib.sha256(known).digest()]
        town.clock.ms += 3 * DAY_MS
        town.offline = set()
        await town.settle()
        assert await own_token(laptop, group) == fresh
        assert town.tokens[bob.id][hashlib.sha256(known).digest()] == ends


async def test_a_group_that_nobody_can_let_in_again_is_told_and_can_be_left(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await named_group(town, alice, bob)
        again = await restore(town, alice)
        await town.settle()
        assert await again.person.warned() == ["group_lost"]
        assert "the choir" in next(one.detail for one in await again.person.told())
        assert [one.status for one in await again.do(waiting_groups)] == ["lost"]
        await town.settle()
        assert await again.person.warned() == ["group_lost"]
        with pytest.raises(NotInGroup):
            await again.do(lambda tx: find(tx, "the choir"))
        waiting = await again.do(lambda tx: find_waiting(tx, "the choir"))
        assert waiting == group
        await again.do(lambda tx: give_up(tx, group))
        await again.care.look()
        assert await again.do(waiting_groups) == []
        assert town.tokens[alice.id] == {}
        await again.do(lambda tx: stamp_changes(tx, again.person.account, town.clock.ms))
        shared = await again.do(lambda tx: shared_group(tx, group))
        assert shared is not None
        assert shared.is_out


async def test_a_name_that_a_waiting_group_shares_is_asked_back_about(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await named_group(town, alice, bob)
        again = await restore(town, bob)
        other = await again.create(Setting("name", b"the choir"))
        await again.care.look()
        with pytest.raises(UsageError, match="use the id"):
            await again.do(lambda tx: find_waiting(tx, "the choir"))
        assert await again.do(lambda tx: find_waiting(tx, f"group:{'nonsense'}")) is None
        shown = await again.do(lambda tx: show_group(tx, again.person.account, group))
        assert (shown.status, shown.members) == ("waiting", ())
        assert await again.do(lambda tx: show_group(tx, again.person.account, other).status) == "member"


async def test_other_own_devices_are_given_a_day_and_members_asked_at_growing_intervals(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await named_group(town, alice, bob)
        laptop = await restore(town, bob, "laptop", keep=True)

        async def asks() -> bool:
            return await laptop.do(lambda tx: ask_back(tx, laptop.person.system))

        assert not await asks()
        town.clock.ms += DAY_MS - 1
        assert not await asks()
        town.clock.ms += 1
        assert await asks()
        assert await asks_of(laptop) == 1
        for pause in (FIRST_AGAIN_MS, 2 * FIRST_AGAIN_MS, 4 * FIRST_AGAIN_MS):
            town.clock.ms += pause - 1
            assert not await asks()
            town.clock.ms += 1
            assert await asks()
        town.offline = {"bob"}
        await town.settle()
        assert await status(laptop, group) is Status.MEMBER
        await alice.say(group, "hello laptop")
        await laptop.say(group, "hello alice")
        await town.settle()
        assert await laptop.texts(group) == bodies("hello laptop")
        assert await alice.texts(group) == bodies("hello alice")


@pytest.mark.parametrize("is_first_read", [True, False])
async def test_a_welcome_that_the_relay_does_not_bear_out_gives_way_and_nothing_is_sent_meanwhile(
    tmp_path, is_first_read
):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await named_group(town, alice, bob, carol, carol=Role.ADMIN)
        items = await backup_of(bob)
        town.offline = {"bob", "carol"}
        await alice.want(group, Remove(carol.id))
        await town.settle()
        assert [one.account_id for one in _committers(items, group)] == [alice.id, carol.id]
        again = await restore(town, bob, backup=items)
        own = again.person.account.own
        await carol.do(lambda tx: save_chain(tx, own))
        # Carol was removed since the backup, and answers first: with a group that there is not.
        town.offline = {"alice"}
        row, carols = await carol.row(group), carol.person.account
        forged = await carol.do(
            lambda tx: propose(
                row.view, carols.local, [], os.urandom, town.clock.ms, KnownLists(tx), cut=True
            )
        )
        body = WelcomeBody(forged.hand_out.encode(), bytes(32), 1_000, forged.state.encode())
        await carol.do(
            lambda tx: draft_signal(
                tx, carols, [bob.id], ContentType.GROUP_WELCOME, encode(body), carol.person.system
            )
        )
        await town._encrypt(carol)
        await town.post(carol)
        await again.care.look()  # it asks
        await town._encrypt(again)
        await town.post(again)
        arrived, again.inbox = again.inbox, []
        await again.person.receive(arrived)
        assert (await again.row(group)).view.next_entry == 1_000
        number = await again.say(group, "only to members")
        await town._encrypt(again)
        assert isinstance(again.errors[0], GroupNotReady)  # the log was not read yet
        if is_first_read:
            town.offline = {"alice", "carol"}
            await town.settle()
            assert await again.do(lambda tx: queue.is_waiting(tx, number))
        else:
            # Alice's answer comes before the relay was asked.
            town.offline = {"restored", "carol"}
            await town.settle()
            arrived, again.inbox = again.inbox, []
            await again.person.receive(arrived)
            assert (await again.row(group)).view.next_entry == 1_000
        town.offline = set()
        await town.settle()
        assert (await again.row(group)).view.state.by_account.keys() == {alice.id, bob.id}
        assert await alice.texts(group) == bodies("only to members")
        assert await carol.texts(group) == []
        assert await again.do(lambda tx: find_return(tx, group)) is None
        assert await again.do(lambda tx: parked_of_type(tx, ContentType.GROUP_WELCOME)) == []


def _committers(items: list[Item], group: bytes) -> tuple[Committer, ...]:
    (item,) = [one for one in items if one.key == group_key(group)]
    return msgspec.msgpack.decode(item.value, type=SharedGroup).committers


async def test_what_is_shared_changes_with_what_it_says_and_not_with_each_commit(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, laptop)
        group = await named_group(town, alice, bob)
        await town.settle()
        before = [await one.do(lambda tx: find_item(tx, group_key(group))) for one in (bob, laptop)]
        assert before[0] == before[1]
        await alice.want_cut(group)
        await town.settle()
        for one in (bob, laptop):
            await one.do(lambda tx, c=one: share_changes(tx, c.person.system))
        after = [await one.do(lambda tx: find_item(tx, group_key(group))) for one in (bob, laptop)]
        assert after == before
        await alice.want(group, SetRole(bob.id, Role.ADMIN))
        await town.settle()
        assert await alice.do(lambda tx: _shared_ids(tx, alice, group)) == [bob.id]
        # What one of them does not know of the way to a member, it does not take from the other.
        await laptop.do(lambda tx: tx.run("DELETE FROM group_tokens WHERE group_id = ?", group))
        await laptop.do(lambda tx: learn_group_token(tx, group, os.urandom(32), os.urandom(16)))
        await laptop.do(lambda tx: share_changes(tx, laptop.person.system))
        assert await laptop.do(lambda tx: find_item(tx, group_key(group))) == after[1]


def _shared_ids(tx, citizen: Citizen, group: bytes) -> list[bytes]:
    stamp_changes(tx, citizen.person.account, citizen.person.clock.now())
    shared = shared_group(tx, group)
    return [] if shared is None else [one.account_id for one in shared.committers]


async def test_values_that_do_not_fit_have_no_effect(tmp_path):
    from client.groups.shared_group import apply_group, read_group

    async with open_town(tmp_path, "alice") as (_, (alice,)):
        account = alice.person.account
        name = bytes(32).hex()
        for key, value in (
            ("nonsense", b"\xc0"),
            (name.upper() + "AA", b"\xc0"),
            (name, b"\xc0"),
            (name, msgspec.msgpack.encode([0, False])),
            (name, msgspec.msgpack.encode([1, False, "x", b"short"])),
            (name, msgspec.msgpack.encode([1, False, "x", None, [[bytes(32), None]] * 9])),
        ):
            with pytest.raises(InvalidEncoding):
                await alice.do(lambda tx, k=key, v=value: apply_group(tx, account, k, v))
        assert await alice.do(lambda tx: find_return(tx, bytes(32))) is None
        assert await alice.do(lambda tx: read_group(tx, account, name)) is None


async def test_a_group_too_large_for_an_envelope_comes_to_own_devices_by_who_may_commit(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(hand_outs, "MAX_INLINE_STATE_BYTES", 10)
    monkeypatch.setattr(hand_outs, "MAX_STATE_BYTES", 10)
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await named_group(town, alice, bob)
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(laptop)
        await bob.do(lambda tx: share_changes(tx, bob.person.system))
        items = await backup_of(bob)
        await laptop.do(lambda tx: apply_items(tx, items, town.clock.ms))
        await bob.look(group)
        await town.settle()
        await alice.look(group)
        town.clock.ms += 31_000
        await alice.look(group)
        await town.settle()
        assert await status(laptop, group) is Status.MEMBER
        await alice.say(group, "large")
        await town.settle()
        assert await laptop.texts(group) == bodies("large")
