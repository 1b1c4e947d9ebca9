"""Groups over real stores: joining, speaking, and what is held until its key comes."""

from client.act_bodies import DeleteBody
from client.acts import facts_of
from client.contacts import block, unblock
from client.contents import ContentType, Reference, encode_body
from client.errors import GroupNotReady
from client.groups.following import apply_entries
from client.groups.kept_back import note_told, require_current
from client.groups.sending import draft_group_signal
from client.message import State
from client.store import history, queue
from client.store.contact_rows import dropped_of
from client.store.group_held import held_count
from client.store.groups import Status
from crypto.group_epoch import EpochHandOut
from crypto.group_rights import Role
from tests.client_pair import bodies
from tests.group_town import open_town

DAY_MS = 86_400_000


async def test_three_people_talk_in_a_group(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        number = await alice.say(group, "hello")
        await town.settle()
        assert await alice.state_of(number) is State.ACCEPTED
        assert await bob.texts(group) == await carol.texts(group) == bodies("hello")
        await bob.say(group, "hi")
        await carol.say(group, "ho")
        await town.settle()
        assert sorted(await alice.texts(group)) == sorted(bodies("hi", "ho"))
        assert await bob.texts(group) == bodies("hello", "ho")
        for one in (alice, bob, carol):
            assert await one.refused() == []
        assert ("joined", "bob") in await bob.changes()
        assert ("added", "carol") in await bob.changes() or ("joined", "bob") in await bob.changes()


async def test_a_message_costs_one_envelope_and_hand_outs_only_once(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        await alice.say(group, "first")
        await town.settle()
        town.envelopes = 0
        town.submitted.clear()
        for text in ("second", "third"):
            await alice.say(group, text)
        await town.settle()
        assert town.envelopes == 4  # two messages, two devices, and nothing else
        assert [row.group is not None for row in town.submitted] == [True, True]
        assert await bob.texts(group) == bodies("first", "second", "third")


async def test_two_devices_each_hear_everything(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.say(group, "before")
        await town.settle()
        laptop = await town.second_device(bob, "laptop")
        tablet = await town.second_device(alice, "tablet")
        await town.introduce(alice, bob, laptop, tablet)
        for one in (alice, bob):
            await one.look(group)
        await town.settle()
        assert (await laptop.row(group)).status is (await tablet.row(group)).status is Status.MEMBER
        # The group goes by the newer lists, and a joining device cut nothing.
        state = (await alice.row(group)).view.state
        assert [member.manifest_version for member in state.members] == [2, 2]
        assert state.epoch == 1
        for one, text in ((alice, "a"), (tablet, "t"), (bob, "b"), (laptop, "l")):
            await one.say(group, text)
            await town.settle()
        assert await alice.texts(group) == bodies("t", "b", "l")
        assert await tablet.texts(group) == bodies("a", "b", "l")
        assert await bob.texts(group) == bodies("before", "a", "t", "l")
        assert await laptop.texts(group) == bodies("a", "t", "b")
        for one in town.citizens:
            assert await one.refused() == []


async def test_b6_a_relay_cannot_add_a_member_no_client_sends_it_a_chain(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "eve") as (town, (alice, bob, eve)):
        group = await town.group_of(alice, bob)
        # The relay puts an entry of its own into the log, and tells everybody that eve is in.
        town.logs.logs[group].append(bytes(256))
        town.logs.keys[group].append(town.logs.keys[group][-1])
        for one in (alice, bob):
            await one.look(group)
        eve.inbox.clear()
        await alice.say(group, "hello")
        await town.settle()
        assert await bob.texts(group) == bodies("hello")
        assert eve.inbox == []
        assert not any(
            addressed.account_id == eve.id
            for row in town.submitted
            if row.group is not None
            for addressed in row.group.targets
        )
        given = await alice.do(lambda tx: tx.all("SELECT account_id FROM group_given"))
        assert {account for (account,) in given} <= {alice.id, bob.id}
        assert (await alice.row(group)).view.next_entry == (await bob.row(group)).view.next_entry == 3


async def test_b8_a_replayed_group_message_is_shown_once_and_alarms_nobody(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.say(group, "once")
        await town.settle()
        (row,) = [row for row in town.submitted if row.group is not None and row.content[1:2] == b"\x01"][-1:]
        for _ in range(3):
            bob.inbox.append(row.group.ciphertext)
        await town.settle()
        assert await bob.texts(group) == bodies("once")
        assert await bob.refused() == []
        assert await bob.do(lambda tx: held_count(tx, group)) == 0


async def test_what_comes_before_its_chain_is_held_and_shown_in_order(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.want_cut(group)
        await town.settle()
        town.offline = {"bob"}
        for text in ("one", "two"):
            await alice.say(group, text)
        await town.settle()
        # The relay lets the messages go before the hand-out.
        hidden = bob.inbox.pop(0)
        town.offline.clear()
        await town.settle()
        assert await bob.texts(group) == []
        assert await bob.do(lambda tx: held_count(tx, group)) == 2
        bob.inbox.append(hidden)
        await town.settle()
        assert await bob.texts(group) == bodies("one", "two")
        assert await bob.do(lambda tx: held_count(tx, group)) == 0


async def test_a_chain_that_never_came_is_asked_for_and_the_next_message_opens(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.want_cut(group)
        await town.settle()
        town.offline = {"bob"}
        await alice.say(group, "lost")
        await town.settle()
        del bob.inbox[0]  # the hand-out
        town.offline.clear()
        await town.settle()
        assert await bob.texts(group) == []
        town.clock.ms += 61_000
        await bob.look(group)
        await town.settle()
        await alice.say(group, "found")
        await town.settle()
        assert await bob.texts(group) == bodies("found")


async def test_a_full_mailbox_keeps_its_own_envelopes_and_holds_nobody_up(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        await alice.say(group, "before")
        await town.settle()
        town.full = {carol.device}
        number = await alice.say(group, "while full")
        await town.settle()
        assert await alice.state_of(number) is State.ACCEPTED
        assert await alice.do(queue.waiting) == 0
        assert await bob.texts(group) == bodies("before", "while full")
        town.full.clear()
        await town.settle()
        assert await carol.texts(group) == bodies("before", "while full")
        assert await alice.do(lambda tx: queue.outgoing_after(tx, 0, 10)) == []


async def test_gaps_in_a_group_are_counted_as_everywhere(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.say(group, "one")
        await town.settle()
        town.offline = {"bob"}
        for text in ("two", "three"):
            await alice.say(group, text)
        await town.settle()
        withheld = bob.inbox.pop(0)
        town.offline.clear()
        await town.settle()
        ((conversation, author, count),) = await bob.do(history.tell_absent)
        assert (conversation, author, count) == (group, alice.id, 1)
        bob.inbox.append(withheld)
        await town.settle()
        assert await bob.texts(group) == bodies("one", "two", "three")


async def test_what_a_blocked_member_says_is_counted_and_not_shown(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        number = await carol.say(group, "shown")
        await town.settle()
        await bob.do(lambda tx: block(tx, carol.id, bob.person.system, new_links=False))
        await carol.say(group, "hidden")
        await town.settle()
        assert await bob.texts(group) == bodies("shown")
        assert await alice.texts(group) == bodies("shown", "hidden")
        assert await bob.do(lambda tx: dropped_of(tx, carol.id)) == 1
        # Nothing is missing for it: the count goes on, and says so once they may speak again.
        await bob.do(lambda tx: unblock(tx, carol.id))
        await carol.say(group, "shown again")
        await town.settle()
        assert await bob.texts(group) == bodies("shown", "shown again")
        assert await bob.do(history.tell_absent) == []
        # Who may tidy up still does, blocked or not.
        await bob.do(lambda tx: block(tx, carol.id, bob.person.system, new_links=False))

        def tidy_up(tx) -> None:
            row = history.find(tx, number)
            assert row is not None
            facts = facts_of(row)
            assert facts is not None
            body = encode_body(DeleteBody(Reference(carol.id, row.message_id, facts.reference())))
            draft_group_signal(tx, carol.person.account, group, ContentType.DELETE, body, carol.person.system)

        await carol.do(tidy_up)
        await town.settle()
        assert await bob.texts(group) == [b"", *bodies("shown again")]


async def test_a_message_waits_for_a_secret_that_has_not_come(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol, roles={carol.id: Role.ADMIN})
        await alice.want_cut(group)
        town.offline = {"bob"}
        await town.settle()
        secret = bob.inbox.pop()
        town.offline.clear()
        bob.inbox.clear()
        entry = town.logs.logs[group][-1]
        index = len(town.logs.logs[group]) - 1
        await bob.do(lambda tx: apply_entries(tx, group, [(index, entry)], bob.person.system))
        await bob.say(group, "waits")
        await town.settle()
        assert isinstance(bob.errors[-1], GroupNotReady)
        bob.inbox.append(secret)
        await town.settle()
        assert await alice.texts(group) == bodies("waits")


async def test_nothing_is_sent_for_a_day_while_a_cut_is_kept_back(tmp_path, monkeypatch):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        reading = bob.care._reader.read

        async def kept_back(group_id: bytes) -> bool:
            return False

        monkeypatch.setattr(bob.care._reader, "read", kept_back)
        await alice.want_cut(group)
        await town.settle()
        row = await bob.row(group)
        assert row.view.state.epoch < max(one.epoch for one in row.view.waiting)
        town.clock.ms += 61_000
        await bob.say(group, "waits")
        await town.settle()
        assert isinstance(bob.errors[-1], GroupNotReady)
        assert "keeps back" in str(bob.errors[-1])
        assert await alice.texts(group) == []
        monkeypatch.setattr(bob.care._reader, "read", reading)
        await bob.look(group)
        await town.settle()
        assert await alice.texts(group) == bodies("waits")


async def test_who_says_that_a_cut_is_kept_back_stops_nobody_for_ever(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        row, start_ms = await bob.row(group), town.clock.ms

        async def is_held(at_ms: int, teller: bytes | None = None, epoch: int = 0) -> bool:
            given = [] if teller is None else [EpochHandOut(group, epoch, 0, bytes(32), bytes(32))]

            def tell_and_ask(tx) -> bool:
                if teller is not None:
                    note_told(tx, row, teller, given, start_ms + at_ms)
                try:
                    require_current(tx, row, bob.id, start_ms + at_ms)
                except GroupNotReady:
                    return True
                return False

            return await bob.do(tell_and_ask)

        assert not await is_held(0, carol.id, 9)
        assert not await is_held(DAY_MS // 2), "she may not commit"
        assert not await is_held(0, alice.id, 7), "it may be on its way"
        assert await is_held(60_000)
        assert await is_held(DAY_MS - 1, alice.id, 8)
        assert not await is_held(DAY_MS), "and not longer by another one"
        assert not await is_held(2 * DAY_MS, alice.id, 2**50)
        assert not await is_held(2 * DAY_MS + 60_000)
