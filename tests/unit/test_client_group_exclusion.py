"""Taken out while the commits before were not read: the log is shut by then, and what somebody tells of its entry is judged."""

import pytest

from client.contents import ContentType
from client.groups.bodies import AskBody, CommitBody, Lacks, encode
from client.signals import draft_signal
from client.store.group_wants import find_pending
from client.store.groups import Status
from crypto.group_changes import (
    Answer,
    Ban,
    ChangeSetting,
    Remove,
    Request,
    RequestKind,
    SetRole,
    sign_request,
)
from crypto.group_commits import Commit, CommitHead, CommitKind, sign_commit
from crypto.group_log import seal_entry
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.limits import EPOCH_SECRET_WAIT_MS
from tests.group_town import Citizen, Town, open_town


async def remove(town: Town, by: Citizen, whom: Citizen, group: bytes) -> None:
    """While `whom` is away."""
    town.offline.add(whom.person.name)
    await by.want(group, Remove(whom.id))
    await town.settle()


@pytest.mark.parametrize("between", ["a setting", "a newcomer and a cut"])
async def test_who_read_nothing_for_a_while_hears_that_it_is_out(tmp_path, between):
    async with open_town(tmp_path, "alice", "bob", "carol", "dave") as (town, (alice, bob, carol, dave)):
        group = await town.group_of(alice, bob, carol, roles={carol.id: Role.ADMIN})
        town.offline = {"bob"}
        if between == "a setting":
            await carol.want(group, ChangeSetting(Setting("about", b"new")))
        else:
            await carol.want(group, add(dave.id, 1))
            await town.settle()
            await carol.want_cut(group)
        await town.settle()
        await remove(town, alice, bob, group)
        assert (await bob.row(group)).status is Status.MEMBER
        town.offline.clear()
        await town.settle()
        assert (await bob.row(group)).status is Status.OUT
        assert (await bob.changes())[-1] == ("removed", "bob")
        assert await bob.do(lambda tx: find_pending(tx, group)) is None


async def tell(town: Town, author: Citizen, told: Citizen, group: bytes, *changes, index: int) -> None:
    """An entry as the author would seal it, on a state that nobody has; the log is shut to whom it is told."""
    view, account = (await author.row(group)).view, author.person.account
    version = account.own.version
    head = CommitHead(
        1, CommitKind.CUT, group, b"\x01" * 32, account.account_id, account.device_id, version, 5
    )
    signed = sign_commit(Commit(head, b"\x02" * 32, changes), account.local)
    entry = seal_entry(view.keys, index, signed, author.person.system.random)
    body = encode(CommitBody(group, index, entry))
    await author.do(
        lambda tx: draft_signal(tx, account, [told.id], ContentType.GROUP_COMMIT, body, author.person.system)
    )
    await town.settle()


async def status_after_a_told_removal(
    tmp_path, role: Role, target_role: Role, *, shut: bool = True, leave: bool = False
) -> Status:
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        roles = {bob.id: target_role, mallory.id: role}
        group = await town.group_of(alice, bob, mallory, roles=roles)
        read = town.logs.read
        end = len(town.logs.logs[group])
        if shut:
            town.logs.read = lambda log_id, _token, from_index: read(log_id, b"shut", from_index)
        asked = Request(group, bob.id, bytes(16), 1, RequestKind.LEAVE, 0, 5)
        change = Answer(sign_request(asked, mallory.person.account.local)) if leave else Remove(bob.id)
        await tell(town, mallory, bob, group, change, index=end + 3)
        town.logs.read = read
        return (await bob.row(group)).status


async def test_a_member_without_the_right_takes_nobody_out(tmp_path):
    assert await status_after_a_told_removal(tmp_path, Role.MEMBER, Role.MEMBER) is Status.MEMBER


async def test_a_moderator_takes_no_admin_out(tmp_path):
    assert await status_after_a_told_removal(tmp_path, Role.MODERATOR, Role.ADMIN) is Status.MEMBER


async def test_a_leave_that_the_rules_would_take_is_heard_of_as_a_removal_is(tmp_path):
    """Nobody signed it; whoever may remove a member may grant it, so the account is out."""
    for name, role, outcome in (("member", Role.MEMBER, Status.MEMBER), ("admin", Role.ADMIN, Status.OUT)):
        assert await status_after_a_told_removal(tmp_path / name, role, Role.MEMBER, leave=True) is outcome


async def test_who_may_is_believed_only_if_the_log_is_shut(tmp_path):
    assert await status_after_a_told_removal(tmp_path / "shut", Role.ADMIN, Role.MEMBER) is Status.OUT
    told = await status_after_a_told_removal(tmp_path / "open", Role.ADMIN, Role.MEMBER, shut=False)
    assert told is Status.MEMBER


async def test_who_may_take_nobody_out_writes_over_nothing_that_was_told(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await town.group_of(alice, bob, mallory)
        town.offline = {"bob"}
        await alice.want(group, ChangeSetting(Setting("about", b"new")))
        await town.settle()
        await remove(town, alice, bob, group)
        # After that a member tells bob of an entry that means nothing.
        account, system = mallory.person.account, mallory.person.system
        junk = encode(CommitBody(group, 1_000, bytes(512)))
        await mallory.do(
            lambda tx: draft_signal(tx, account, [bob.id], ContentType.GROUP_COMMIT, junk, system)
        )
        await town.settle()
        town.offline.clear()
        await town.settle()
        assert (await bob.row(group)).status is Status.OUT


async def test_who_is_banned_by_somebody_whose_promotion_it_did_not_read_hears_of_it_when_it_asks(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        town.offline = {"carol"}
        await alice.want(group, SetRole(bob.id, Role.ADMIN))
        await town.settle()
        await bob.want(group, Ban(carol.id))
        await town.settle()
        town.offline.clear()
        await town.settle()
        assert (await carol.row(group)).status is Status.MEMBER
        town.clock.ms += EPOCH_SECRET_WAIT_MS + 1_000
        await carol.look(group)
        await town.settle()
        assert (await carol.row(group)).status is Status.OUT
        assert (await carol.changes())[-1] == ("removed", "carol")


@pytest.mark.parametrize(
    ("role", "shut", "outcome"),
    [
        (Role.ADMIN, True, Status.OUT),
        (Role.ADMIN, False, Status.MEMBER),
        (Role.MEMBER, True, Status.MEMBER),
    ],
)
async def test_the_word_of_who_may_take_out_counts_while_the_log_is_shut(tmp_path, role, shut, outcome):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await town.group_of(alice, bob, mallory, roles={mallory.id: role})
        read = town.logs.read
        if shut:
            town.logs.read = lambda log_id, _token, from_index: read(log_id, b"shut", from_index)
        account, system = mallory.person.account, mallory.person.system
        body = encode(AskBody(group, Lacks.NOTHING))
        await mallory.do(lambda tx: draft_signal(tx, account, [bob.id], ContentType.GROUP_ASK, body, system))
        await town.settle()
        assert (await bob.row(group)).status is outcome


async def test_who_may_not_take_out_tells_nobody_that_it_is_out(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob)
        await alice.do(lambda tx: tx.run("DELETE FROM drafts"))
        body = encode(AskBody(group, Lacks.SECRETS))
        account, system = carol.person.account, carol.person.system
        await carol.do(lambda tx: draft_signal(tx, account, [bob.id], ContentType.GROUP_ASK, body, system))
        await town.settle()
        assert await bob.refused() == ["not_entitled"]
