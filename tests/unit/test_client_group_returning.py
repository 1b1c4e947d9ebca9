"""Groups survive the loss of a device: the account's devices share what brings them back in, and members let them in again."""

import hashlib
import os

import msgspec
import pytest

from client.contents import ContentType
from client.devices.shared_items import apply_items, stamp_changes
from client.errors import GroupNotReady, NotInGroup, UsageError
from client.groups.bodies import AskBody, Lacks, WelcomeBody, encode
from client.groups.hand_outs import draft_welcome
from client.groups.lists import KnownLists
from client.groups.named import find, find_waiting
from client.groups.returning import FIRST_AGAIN_MS, ask_back, give_up, waiting_group, waiting_groups
from client.groups.shared_group import Committer, SharedGroup, group_key, shared_group
from client.signals import draft_signal
from client.store import queue
from client.store.group_held import parked_of_type
from client.store.group_returns import find_return
from client.store.group_tokens import group_token
from client.store.groups import Status
from client.store.peers import save_chain
from client.store.shared import Item
from crypto.group_changes import Remove, SetRole
from crypto.group_proposals import propose
from crypto.group_rights import Role
from crypto.group_state import Setting
from tests.client_pair import bodies
from tests.group_restoring import DAY_MS, backup_of, named_group, own_token, restore, status
from tests.group_town import Citizen, know_token, open_town


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


@pytest.mark.proves("M-GROUP-07")
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
        shown = await again.do(lambda tx: waiting_group(tx, group))
        assert shown is not None
        assert (shown.status, shown.members) == ("waiting", ())
        assert await again.do(lambda tx: waiting_group(tx, other)) is None


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
