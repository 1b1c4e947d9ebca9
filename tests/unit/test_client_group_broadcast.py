"""Broadcast groups: who joins re-keys nobody, and thousands are served in small pieces."""

import os
from collections import Counter

import pytest

from client.account import new_account
from client.contents import ContentType
from client.errors import GroupNotReady
from client.groups.committing import Spread, spread
from client.groups.hand_outs import AT_ONCE
from client.groups.sending import MAX_TARGETS, encrypt_group_drafts
from client.store import queue
from client.store.group_sending import sending_chain
from client.store.group_tokens import group_tokens, known_own_token, learn_group_token
from client.store.peers import drop_token, find_peer, save_chain
from crypto import limits
from crypto.group_changes import SetRole
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import BROADCAST, Setting
from relay.wire.links import InviteLink
from tests.client_pair import START_MS, bodies
from tests.group_town import Citizen, open_town

SETTINGS = (Setting(BROADCAST, b"\x01", critical=True),)
INVITE = InviteLink("http://relay.example", bytes(32), bytes(16))


async def listeners(owner: Citizen, group: bytes, count: int) -> list[bytes]:
    """Accounts that the owner knows, and nobody plays."""
    made = [new_account(INVITE, None, now_ms=START_MS, random=os.urandom) for _ in range(count)]

    def learn(tx):
        for account in made:
            save_chain(tx, account.own)
            learn_group_token(tx, group, account.account_id, os.urandom(16))

    await owner.do(learn)
    return [account.account_id for account in made]


async def drafted(owner: Citizen) -> Counter:
    """(Type, number of the hidden message) → how many accounts it is for; then as if all were sent."""

    def take(tx):
        rows = tx.all(
            "SELECT m.type, d.message_n FROM drafts d JOIN messages m ON m.n = d.message_n WHERE NOT d.is_group"
        )
        tx.run("DELETE FROM drafts WHERE NOT is_group")
        return Counter(rows)

    return await owner.do(take)


async def encrypt(owner: Citizen, group: bytes) -> tuple[int, ...]:
    """Go on with what the owner says in the group; the messages that are finished by that."""

    def go_on(tx):
        drafts = [draft for draft in queue.next_drafts(tx, 10) if draft.is_group]
        return encrypt_group_drafts(tx, group, drafts, owner.person.system).messages

    return await owner.do(go_on)


async def test_who_was_away_over_more_joins_than_keys_are_kept_opens_what_was_sent_meanwhile(
    tmp_path, monkeypatch
):
    # As it is with 256 and a thousand joins.
    monkeypatch.setattr(limits, "MAX_KEPT_EPOCHS", 4)
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        roles = dict.fromkeys((bob.id, carol.id), Role.LISTENER)
        group = await town.group_of(alice, bob, carol, roles=roles, settings=SETTINGS)
        town.offline = {"bob", "carol"}
        joined = await listeners(alice, group, 24)
        said: list[str] = []

        async def say(text: str) -> None:
            said.append(text)
            await alice.say(group, text)
            await town.settle()
            nobody = ",".join(f"x'{one.hex()}'" for one in joined)
            await alice.do(lambda tx: tx.run(f"DELETE FROM drafts WHERE account_id IN ({nobody})"))
            await town.settle()

        for number, one in enumerate(joined):
            if number % 6 == 0:
                await say(f"before join {number}")
            await alice.want(group, add(one, 1, Role.LISTENER))
            if number == 15:
                await alice.want_cut(group)
            await alice.care.look()
            await town.settle()
        await say("now")
        row = await alice.row(group)
        assert row.view.state.index >= len(joined) + 1
        town.clock.ms += 3_600_000
        town.offline = {"carol"}
        await bob.look(group)
        await town.settle()
        assert await bob.texts(group) == bodies(*said)
        view = (await bob.row(group)).view
        assert len(view.epochs) == 4
        assert sum(steps.count for steps in view.earlier) > 16
        # Were they not kept, what was said in between would not open.
        monkeypatch.setattr(limits, "MAX_KEPT_STEPS", 3)
        town.offline = set()
        await carol.look(group)
        await town.settle()
        assert await carol.texts(group) == bodies(said[0], *said[-2:])


async def test_a_thousand_who_join_within_ten_minutes_cost_three_envelopes_each_and_small_transactions(
    tmp_path,
):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob, roles={bob.id: Role.LISTENER}, settings=SETTINGS)
        await alice.say(group, "we begin")
        await town.settle()
        chain = await alice.do(lambda tx: sending_chain(tx, group))
        joined = await listeners(alice, group, 1_000)
        cost: Counter = Counter()
        for start in range(0, 1_000, 125):
            await alice.want(group, *(add(one, 1, Role.LISTENER) for one in joined[start : start + 125]))
            await alice.care.look()
            cost += await drafted(alice)
            # Between the joins the sender speaks: newcomers get the chain where it stands, nobody gets another one.
            number = await alice.say(group, f"to {start + 125}")
            messages: tuple[int, ...] = ()
            while not messages:
                messages = await encrypt(alice, group)
                cost += await drafted(alice)
            assert messages == (number,)
        by_type: Counter = Counter()
        for (kind, _), accounts in cost.items():
            assert accounts <= AT_ONCE
            by_type[kind] += accounts
        assert by_type[ContentType.GROUP_WELCOME] == by_type[ContentType.GROUP_CHAIN] == 1_000
        assert sum(by_type.values()) < 3_100
        state = (await alice.row(group)).view.state
        assert (state.epoch, state.step, len(state.members)) == (1, 9, 1_002)
        assert (
            await alice.do(lambda tx: sending_chain(tx, group))
        ).opening.chain_id == chain.opening.chain_id
        rows = await alice.do(lambda tx: queue.outgoing_after(tx, 0, 100))
        assert [sum(len(one.devices) for one in row.group.targets) for row in rows][-1] == 1_001


async def test_a_listener_that_was_told_nothing_finds_the_step_by_itself(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(
            alice, bob, carol, roles={bob.id: Role.LISTENER, carol.id: Role.LISTENER}, settings=SETTINGS
        )
        (joined,) = await listeners(alice, group, 1)
        await alice.want(group, add(joined, 1, Role.LISTENER))
        await alice.care.look()
        await drafted(alice)
        assert (await bob.row(group)).view.state.step == 1
        await alice.say(group, "under the new step")
        await town.settle()
        await drafted(alice)  # the chain for who joined
        await town.settle()
        town.clock.ms += 11_000
        await town.settle()
        assert (await bob.row(group)).view.state.step == 2
        assert await bob.texts(group) == await carol.texts(group) == bodies("under the new step")
        assert await bob.refused() == []


async def test_a_message_for_more_than_one_submit_holds_goes_in_parts(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob, roles={bob.id: Role.LISTENER}, settings=SETTINGS)
        account = new_account(INVITE, None, now_ms=START_MS, random=os.urandom)
        devices = b"".join(os.urandom(16) for _ in range(MAX_TARGETS // 2))
        joined = await listeners(alice, group, 3)
        await alice.want(group, *(add(one, 1, Role.LISTENER) for one in joined))
        await alice.care.look()
        await drafted(alice)
        # As if each of the three had thousands of devices.
        await alice.do(
            lambda tx: tx.run("UPDATE peers SET devices = ? WHERE account_id <> ?", devices, bob.id)
        )
        await alice.say(group, "for all")
        for _ in range(3):
            await encrypt(alice, group)
            await drafted(alice)
        rows = await alice.do(lambda tx: queue.outgoing_after(tx, 0, 100))
        sizes = [sum(len(one.devices) for one in row.group.targets) for row in rows]
        assert max(sizes) <= MAX_TARGETS
        assert len(rows) == 2
        assert account.account_id not in {one.account_id for row in rows for one in row.group.targets}


async def test_a_cut_of_a_large_group_is_told_in_small_transactions(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob, roles={bob.id: Role.LISTENER}, settings=SETTINGS)
        joined = await listeners(alice, group, 600)
        await alice.want(group, *(add(one, 1, Role.LISTENER) for one in joined))
        await alice.care.look()
        await drafted(alice)
        await alice.want_cut(group)
        await alice.care.look()
        while await alice.do(lambda tx: tx.one("SELECT 1 FROM group_proposals")):
            await drafted(alice)
            await alice.look(group)
        told = await drafted(alice)
        assert max(told.values()) <= AT_ONCE
        assert await alice.do(lambda tx: spread(tx, group, alice.person.system)) is Spread.DONE


async def test_what_would_reach_nobody_is_not_said_to_be_sent(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob, roles={bob.id: Role.LISTENER}, settings=SETTINGS)
        known = await alice.do(lambda tx: find_peer(tx, bob.id).token)

        def lose(tx):
            tx.run("DELETE FROM group_tokens")
            drop_token(tx, bob.id, known)

        await alice.do(lose)
        number = await alice.say(group, "is anybody there?")
        await encrypt(alice, group)  # the chain
        await drafted(alice)
        for _ in range(2):
            with pytest.raises(GroupNotReady, match="nobody in the group can be reached"):
                await encrypt(alice, group)
        assert await alice.do(lambda tx: queue.is_waiting(tx, number))
        await alice.do(lambda tx: learn_group_token(tx, group, bob.id, os.urandom(16)))
        assert await encrypt(alice, group) == (number,)


async def test_who_speaks_from_now_on_gets_the_tokens_of_all_and_tells_its_own_with_its_chain(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        roles = dict.fromkeys((bob.id, carol.id), Role.LISTENER)
        group = await town.group_of(alice, bob, carol, roles=roles, settings=SETTINGS)
        for one, other in ((bob, carol), (carol, bob)):
            await one.do(
                lambda tx, other=other: tx.run("DELETE FROM group_tokens WHERE account_id = ?", other.id)
            )
        await alice.do(lambda tx: learn_group_token(tx, group, carol.id, os.urandom(16)))
        (joined,) = await listeners(alice, group, 1)
        await alice.want(group, add(joined, 1, Role.LISTENER))
        await alice.care.look()
        await alice.want(group, SetRole(bob.id, Role.MEMBER))
        await alice.care.look()
        await town.settle()
        assert await bob.do(lambda tx: group_tokens(tx, group).keys()) >= {carol.id, joined}
        assert bob.id not in await carol.do(lambda tx: group_tokens(tx, group))
        await bob.say(group, "good evening")
        await town.settle()
        await bob.do(lambda tx: tx.run("DELETE FROM drafts WHERE account_id = ?", joined))  # nobody plays it
        await town.settle()
        town.clock.ms += 11_000
        await town.settle()
        assert await carol.texts(group) == bodies("good evening")
        assert (await carol.do(lambda tx: group_tokens(tx, group)))[bob.id] == (
            await bob.do(lambda tx: known_own_token(tx, group))
        )[0]
