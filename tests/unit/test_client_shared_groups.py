"""What own devices share of a group: in any order, once or late, all end alike, with one delivery token for the account."""

import hashlib
import os

import msgspec
import pytest

from client.devices.revoking import change_own_tokens
from client.devices.shared_items import apply_items, share_changes, stamp_changes
from client.groups.following import quit_group
from client.groups.returning import ask_back, give_up, waiting_groups
from client.groups.shared_group import SharedGroup, group_key, shared_group
from client.own_tokens import OLD_TOKEN_MS
from client.store.group_doors import Join, JoinState, keep_join
from client.store.group_returns import find_return
from client.store.group_tokens import group_token, learn_group_token
from client.store.groups import Status, find_group
from client.store.shared import Item, find_item
from crypto.errors import InvalidEncoding
from crypto.group_changes import Remove, SetRole
from crypto.group_proposals import add
from crypto.group_rights import Role
from tests.group_restoring import DAY_MS, named_group, own_token, restore, status
from tests.group_town import Citizen, open_town


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
        assert list(town.tokens[bob.id].values()) == [town.clock.ms + OLD_TOKEN_MS]
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
        asked = Join(group, alice.id, os.urandom(16), "", JoinState.ASKED)
        await bob.do(lambda tx: keep_join(tx, asked))  # nobody is put back without that
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
