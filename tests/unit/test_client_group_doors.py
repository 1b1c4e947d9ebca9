"""Ways into groups are kept and counted: each lets in as many as it says, and each account once."""

from dataclasses import replace

import pytest

from client.store import group_doors
from client.store.database import Database
from client.store.group_doors import MAX_OPEN_INVITATIONS, Invite, Join, JoinState, Waiting
from crypto.group_rights import Role

GROUP, SECRET_HASH = b"g" * 32, b"h" * 32
INVITE = Invite(SECRET_HASH, GROUP, b"t" * 16, Role.MEMBER, 2, 1_000, None, asks=False)


@pytest.fixture
async def database(tmp_path):
    async with Database(tmp_path, bytes(32)) as opened:
        yield opened


async def test_an_invite_lets_in_as_many_as_it_says_and_each_once(database):
    def use(tx):
        group_doors.add_invite(tx, INVITE)
        found = group_doors.find_invite(tx, SECRET_HASH)
        assert found == INVITE
        return [group_doors.use_invite(tx, found, bytes([who]) * 32) for who in (1, 1, 2, 3, 1, 3)]

    assert await database.run(use) == [True, True, True, False, True, False]
    left = await database.read(lambda tx: group_doors.invites_of(tx, GROUP))
    assert [invite.uses_left for invite in left] == [0]
    await database.run(lambda tx: group_doors.remove_invite(tx, SECRET_HASH))
    assert await database.read(lambda tx: group_doors.find_invite(tx, SECRET_HASH)) is None


async def test_who_waits_waits_once_and_in_order(database):
    def wait(tx):
        first = Waiting(GROUP, b"a" * 32, 3, 2**32 - 1, Role.MEMBER, 20)
        second = replace(first, account_id=b"b" * 32, asked_at_ms=10)
        assert group_doors.keep_waiting(tx, first)
        assert not group_doors.keep_waiting(tx, first)
        assert group_doors.keep_waiting(tx, second)
        assert group_doors.waiting_in(tx, GROUP) == [second, first]
        group_doors.stop_waiting(tx, GROUP, second.account_id)
        assert group_doors.waiting_in(tx, GROUP) == [first]

    await database.run(wait)


async def test_strangers_cannot_fill_the_store_with_invitations(database):
    def fill(tx):
        wanted = Join(b"w" * 32, b"i" * 32, b"s" * 16, "wanted", JoinState.WANTED)
        group_doors.keep_join(tx, wanted)
        for number in range(MAX_OPEN_INVITATIONS + 50):
            group_id = number.to_bytes(32, "big")
            group_doors.keep_join(tx, replace(wanted, group_id=group_id, state=JoinState.INVITED))
        assert len(group_doors.joins(tx, JoinState.INVITED)) <= MAX_OPEN_INVITATIONS
        assert group_doors.joins(tx, JoinState.WANTED) == [wanted]
        newest = group_doors.find_join(tx, (MAX_OPEN_INVITATIONS + 49).to_bytes(32, "big"))
        assert newest is not None
        group_doors.keep_join(tx, replace(newest, state=JoinState.WANTED))
        assert group_doors.joins(tx, JoinState.WANTED)[-1].group_id == newest.group_id
        group_doors.forget_join(tx, newest.group_id)
        assert group_doors.find_join(tx, newest.group_id) is None

    await database.run(fill)
