"""Getting into a group and out of it: nobody is put in, a way in lets in whom it says, who is in reaches the others."""

import msgspec
import pytest

from client.contents import ContentType
from client.errors import UsageError
from client.groups import invitations, requests
from client.groups.invitations import InvitationBody
from client.message_groups import GroupInvited, JoinAsked
from client.signals import draft_signal
from client.store import group_doors
from client.store.group_doors import Invite, Join, JoinState
from client.store.group_tokens import group_tokens, known_own_token, learn_group_token
from client.store.groups import Status, find_group
from client.store.peers import note_sent
from crypto.group_changes import Ban, Remove, RequestKind
from crypto.group_rights import Role
from tests.group_town import Citizen, Town, open_town

SECRET = b"s" * 16


async def members(citizen: Citizen, group: bytes) -> set[bytes]:
    return set((await citizen.row(group)).view.state.by_account)


async def accept_each_other(*people: Citizen) -> None:
    """Each has written to the others."""
    for one in people:
        for other in people:
            if one is not other:
                await one.do(lambda tx, o=other: note_sent(tx, o.id, 1, by_user=True))


async def invite(owner: Citizen, group: bytes, guest: Citizen, role: Role = Role.MEMBER) -> None:
    await owner.do(
        lambda tx: invitations.invite_account(
            tx, owner.person.account, group, guest.id, role, owner.person.system
        )
    )


async def open_link(town: Town, owner: Citizen, group: bytes, *, uses: int = 10, asks: bool = False) -> None:
    way = Invite(
        invitations.secret_hash(SECRET),
        group,
        b"t" * 16,
        Role.MEMBER,
        uses,
        town.clock.ms + 1_000,
        None,
        asks,
    )
    await owner.do(lambda tx: group_doors.add_invite(tx, way))


async def come_by_link(guest: Citizen, owner: Citizen, group: bytes) -> None:
    await guest.do(lambda tx: invitations.want_in(tx, group, owner.id, b"t" * 16, SECRET))


async def test_an_invited_contact_is_in_and_all_reach_all(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        await accept_each_other(alice, bob, carol)
        group = await town.group_of(alice, bob)
        await invite(alice, group, carol)
        await town.settle()
        assert await members(carol, group) == {alice.id, bob.id, carol.id}
        (told,) = [one for one in await carol.person.told() if isinstance(one, GroupInvited)]
        assert told.joining
        for one in (alice, bob, carol):
            others = {other.id for other in (alice, bob, carol)} - {one.id}
            assert set(await one.do(lambda tx: group_tokens(tx, group))) >= others - {bob.id}
        own = await carol.do(lambda tx: known_own_token(tx, group))
        assert own is not None
        assert (await bob.do(lambda tx: group_tokens(tx, group)))[carol.id] == own[0]
        await carol.say(group, "hello from the newcomer")
        await bob.say(group, "hello to the newcomer")
        await town.settle()
        assert len(await bob.texts(group)) == len(await carol.texts(group)) == 1


async def test_an_invitation_of_a_stranger_waits_for_the_user(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await alice.create()
        await invite(alice, group, bob)
        await town.settle()
        assert await bob.do(lambda tx: find_group(tx, group)) is None
        join = await bob.do(lambda tx: group_doors.find_join(tx, group))
        assert join is not None
        assert join.state is JoinState.INVITED
        await bob.do(lambda tx: invitations.accept_invitation(tx, group))
        await town.settle()
        assert await members(bob, group) == {alice.id, bob.id}
        assert await bob.do(lambda tx: group_doors.find_join(tx, group)) is None


async def test_b7_a_welcome_that_nobody_asked_for_is_not_taken(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await alice.create()
        version = bob.person.account.own.version
        from crypto.group_proposals import add

        await alice.want(group, add(bob.id, version))
        await town.settle()
        assert await bob.do(lambda tx: find_group(tx, group)) is None
        # Nor by another than the one who was asked.
        await bob.do(
            lambda tx: group_doors.keep_join(tx, Join(group, mallory.id, SECRET, "", JoinState.ASKED))
        )
        await town.settle()
        assert await bob.do(lambda tx: find_group(tx, group)) is None


async def test_an_invitation_lets_in_nobody_else_and_once(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await alice.create()
        await invite(alice, group, bob)
        await town.settle()
        join = await bob.do(lambda tx: group_doors.find_join(tx, group))
        assert join is not None
        await mallory.do(lambda tx: invitations.want_in(tx, group, alice.id, bytes(16), join.secret))
        await town.settle()
        assert await members(alice, group) == {alice.id}


async def test_a_link_lets_in_as_many_as_it_says(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol", "dave") as (town, (alice, *guests)):
        group = await alice.create()
        await town.settle()
        await open_link(town, alice, group, uses=2)
        for guest in guests:
            await come_by_link(guest, alice, group)
            await town.settle()
        assert await members(alice, group) == {alice.id, guests[0].id, guests[1].id}
        await guests[0].say(group, "who else is here")
        await town.settle()
        assert len(await guests[1].texts(group)) == 1


async def test_a_link_that_is_over_lets_in_nobody(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await alice.create()
        await town.settle()
        await open_link(town, alice, group)
        town.clock.ms += 1_000
        await come_by_link(bob, alice, group)
        await town.settle()
        assert await members(alice, group) == {alice.id}


async def test_who_comes_by_an_asking_link_waits_for_a_yes(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await alice.create()
        await town.settle()
        await open_link(town, alice, group, asks=True)
        for guest in (bob, carol):
            await come_by_link(guest, alice, group)
        await town.settle()
        assert await members(alice, group) == {alice.id}
        asked = [one.account for one in await alice.person.told() if isinstance(one, JoinAsked)]
        assert len(asked) == 2

        def answer(tx):
            for guest, let_in in ((bob, True), (carol, False)):
                invitations.answer_waiting(tx, alice.person.account, group, guest.id, let_in=let_in)

        await alice.do(answer)
        await town.settle()
        assert await members(alice, group) == {alice.id, bob.id}
        assert await alice.do(lambda tx: group_doors.waiting_in(tx, group)) == []


async def test_an_invitation_of_a_contact_helps_who_came_by_a_used_up_link(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        await accept_each_other(alice, carol)
        group = await alice.create()
        await town.settle()
        await open_link(town, alice, group, uses=1)
        for guest in (bob, carol):
            await come_by_link(guest, alice, group)
            await town.settle()
        assert await members(alice, group) == {alice.id, bob.id}
        await invite(alice, group, carol)
        await town.settle()
        assert await members(carol, group) == {alice.id, bob.id, carol.id}


async def test_b7_a_stranger_s_invitation_takes_nobody_off_the_way_in(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await alice.create()
        await town.settle()
        waits = Join(group, alice.id, SECRET, "", JoinState.ASKED)
        await bob.do(lambda tx: group_doors.keep_join(tx, waits))
        body = msgspec.msgpack.encode(InvitationBody(group, b"m" * 16, "a trap"))
        account = mallory.person.account
        await mallory.do(
            lambda tx: draft_signal(
                tx, account, [bob.id], ContentType.GROUP_INVITATION, body, mallory.person.system
            )
        )
        await town.settle()
        assert await bob.do(lambda tx: group_doors.find_join(tx, group)) == waits


async def test_who_is_banned_comes_in_by_no_link(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await alice.create()
        await alice.want(group, Ban(bob.id))
        await town.settle()
        await open_link(town, alice, group)
        await come_by_link(bob, alice, group)
        await town.settle()
        assert await members(alice, group) == {alice.id}
        with pytest.raises(UsageError, match="banned"):
            await invite(alice, group, bob)


async def test_who_may_not_add_gives_out_no_way_in(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob)
        with pytest.raises(UsageError, match="may not add"):
            await invite(bob, group, carol)


async def leave(citizen: Citizen, group: bytes) -> None:
    await citizen.do(
        lambda tx: requests.ask(
            tx, citizen.person.account, group, RequestKind.LEAVE, 0, citizen.person.system
        )
    )


async def test_leaves_share_one_cut_within_ten_minutes(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol", "dave") as (town, (alice, bob, carol, dave)):
        group = await town.group_of(alice, bob, carol, dave)
        epoch = (await alice.row(group)).view.state.epoch
        await leave(bob, group)
        await town.settle()
        await leave(carol, group)
        await town.settle()
        assert await members(alice, group) == {one.id for one in (alice, bob, carol, dave)}
        town.clock.ms += 600_000
        await town.settle()
        assert await members(alice, group) == await members(dave, group) == {alice.id, dave.id}
        assert (await alice.row(group)).view.state.epoch == epoch + 1
        for gone in (bob, carol):
            assert (await gone.row(group)).status is Status.OUT


async def test_the_only_owner_makes_another_before_it_leaves(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        with pytest.raises(UsageError, match="only owner"):
            await leave(alice, group)


async def test_tokens_are_taken_from_who_may_add_and_of_the_teller_itself(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        before = (await carol.do(lambda tx: group_tokens(tx, group))).get(alice.id)

        def lie(tx):
            from client.contents import ContentType
            from client.groups.member_tokens import TokenPair, TokensBody, _encoder
            from client.signals import draft_signal

            body = _encoder.encode(
                TokensBody(group, (TokenPair(alice.id, b"x" * 16), TokenPair(bob.id, b"y" * 16)))
            )
            draft_signal(
                tx, bob.person.account, [carol.id], ContentType.GROUP_TOKENS, body, bob.person.system
            )

        await bob.do(lie)
        await town.settle()
        known = await carol.do(lambda tx: group_tokens(tx, group))
        assert known.get(alice.id) == before
        assert known[bob.id] == b"y" * 16


async def test_b5_c7_a_removed_member_reaches_nobody_by_the_tokens_of_the_group_after_a_week(tmp_path):
    from client.own_tokens import hash_of

    day_ms = 86_400_000
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        inside = (alice, bob)
        old = {one.id: (await one.do(lambda tx: known_own_token(tx, group)))[0] for one in inside}
        for one in inside:
            await carol.do(lambda tx, one=one: learn_group_token(tx, group, one.id, old[one.id]))
        await alice.want(group, Remove(carol.id))
        await town.settle()
        removed_at_ms = town.clock.ms
        town.clock.ms += day_ms
        await alice.look(group)
        await bob.look(group)
        await town.settle()
        new = {one.id: (await one.do(lambda tx: known_own_token(tx, group)))[0] for one in inside}
        known_to_carol = await carol.do(lambda tx: group_tokens(tx, group))
        for one in inside:
            assert new[one.id] != old[one.id]
            assert new[one.id] not in known_to_carol.values()
            assert town.tokens[one.id][hash_of(new[one.id])] is None
            assert town.tokens[one.id][hash_of(old[one.id])] <= removed_at_ms + 8 * day_ms
        # The members reach each other by the new ones, the removed one nobody by the old ones.
        assert (await alice.do(lambda tx: group_tokens(tx, group)))[bob.id] == new[bob.id]
        assert (await bob.do(lambda tx: group_tokens(tx, group)))[alice.id] == new[alice.id]
        town.clock.ms = removed_at_ms + 8 * day_ms
        for one in inside:
            assert town._is_reached(one.id, new[one.id])
            assert not town._is_reached(one.id, old[one.id])


async def test_a_bot_that_does_not_want_to_hear_gets_no_chain(tmp_path):
    from crypto.group_rights import Right

    async with open_town(tmp_path, "alice", "bob", "robot") as (town, (alice, bob, robot)):
        group = await town.group_of(alice, bob, robot)
        await alice.say(group, "all hear this")
        await town.settle()
        assert len(await robot.texts(group)) == 1
        await robot.do(
            lambda tx: requests.ask(
                tx,
                robot.person.account,
                group,
                RequestKind.WANT,
                int(Right.SEND),
                robot.person.system,
            )
        )
        await town.settle()
        member = (await alice.row(group)).view.state.by_account[robot.id]
        assert not member.rights & Right.HEAR
        await alice.say(group, "members alone hear this")
        await town.settle()
        assert len(await bob.texts(group)) == 2
        assert len(await robot.texts(group)) == 1
        assert await robot.refused() == []
