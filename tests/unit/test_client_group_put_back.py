"""Who is out of a group is put back into it by nobody: a welcome is taken only where the user said yes (B7)."""

from pathlib import Path

from client.contents import ContentType
from client.groups.bodies import WelcomeBody, encode
from client.groups.following import quit_group
from client.groups.lists import KnownLists
from client.signals import draft_signal
from client.store.database import Transaction
from client.store.groups import Status
from crypto.group_changes import Remove
from crypto.group_log import Welcome
from crypto.group_proposals import add, begin_group, first_view, welcome
from crypto.group_rights import Role
from tests.group_restoring import named_group, status
from tests.group_town import open_town


async def test_b7_who_left_is_not_added_again_without_asking(tmp_path: Path) -> None:
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await named_group(town, alice, bob, carol)
        await bob.do(lambda tx: quit_group(tx, group, 1))
        await alice.want(group, Remove(bob.id))
        await town.settle()
        assert await status(bob, group) is Status.OUT
        await alice.want(group, add(bob.id, bob.person.account.own.version))
        await town.settle()
        assert await status(bob, group) is Status.OUT


async def test_b7_a_stranger_puts_nobody_back_into_a_made_up_group_of_the_same_id(tmp_path: Path) -> None:
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await named_group(town, alice, bob)
        await alice.want(group, Remove(bob.id))
        await town.settle()
        assert await status(bob, group) is Status.OUT
        account, system = mallory.person.account, mallory.person.system

        def make(tx: Transaction) -> None:
            drawn = iter([group])  # the group's id is the first that is drawn
            made = begin_group(
                account.local,
                account.own,
                [add(bob.id, 1, Role.MEMBER)],
                [],
                lambda count: next(drawn, None) or system.random(count),
                town.clock.ms,
                KnownLists(tx),
            )
            told = Welcome.parse(welcome(first_view(made), bob.id).encode())
            body = WelcomeBody(told.hand_out.encode(), bytes(32), told.next_entry, told.state.encode(), None)
            draft_signal(tx, account, [bob.id], ContentType.GROUP_WELCOME, encode(body), system)

        await mallory.do(make)
        await town.introduce(mallory, bob)
        await town.settle()
        assert await status(bob, group) is Status.OUT
        row = await bob.row(group)
        assert mallory.id not in row.view.state.by_account
