"""Commits of groups over real stores: cuts, races, who may do what, and a committer that is gone."""

import pytest

from client.errors import NotInGroup, Refused
from client.groups import care
from client.logs import LogKeys
from client.store.group_doors import Join, JoinState, keep_join
from client.store.group_held import held_count
from client.store.group_senders import find_sender
from client.store.group_sending import sending_chain
from client.store.group_wants import Stage, find_pending
from client.store.groups import Status
from crypto import group_proposals
from crypto.group_changes import Ban, ChangeSetting, Give, Remove, SetRole
from crypto.group_proposals import add
from crypto.group_rights import Right, Role
from crypto.group_state import Setting
from tests.client_pair import bodies
from tests.group_town import open_town

DAY_MS = 86_400_000


@pytest.mark.proves("M-GROUP-05")
async def test_b5_after_a_removal_the_next_message_is_under_new_chains_and_the_removed_one_is_not_shown(
    tmp_path,
):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await town.group_of(alice, bob, mallory)
        for one in (alice, mallory):
            await one.say(group, "all of us")
        await town.settle()
        before = await alice.do(lambda tx: sending_chain(tx, group))
        # Mallory has something finished that the relay holds back until it is out.
        await mallory.say(group, "too late")
        town.offline = {"alice", "bob"}
        await town.settle()
        (late,) = [row for row in town.submitted if row.group is not None][-1:]
        for one in (alice, bob):
            one.inbox.clear()
        town.offline = {"mallory"}
        numbers = await alice.want(group, Remove(mallory.id))
        await town.settle()
        assert await alice.decided(numbers) == (set(), None)
        await alice.say(group, "the two of us")
        await town.settle()
        after = await alice.do(lambda tx: sending_chain(tx, group))
        assert after.opening.chain_id != before.opening.chain_id
        assert after.opening.epoch == before.opening.epoch + 1
        assert await bob.texts(group) == bodies("all of us", "all of us", "the two of us")
        # What it had sent comes now: it is refused, and the user sees that something was.
        bob.inbox.append(late.group.ciphertext)
        await town.settle()
        assert await bob.do(lambda tx: held_count(tx, group)) == 1  # until the log was read again
        town.clock.ms += 11_000
        await town.settle()
        assert await bob.texts(group) == bodies("all of us", "all of us", "the two of us")
        assert len(await bob.refused()) == 1
        assert (await bob.do(lambda tx: find_sender(tx, group, mallory.device))).chains == ()
        town.offline.clear()
        await town.settle()
        assert (await mallory.row(group)).status is Status.OUT
        assert ("removed", "mallory") in await mallory.changes()
        assert await mallory.texts(group) == bodies("all of us")
        await mallory.say(group, "hello?")
        await town.settle()
        assert isinstance(mallory.errors[-1], NotInGroup)


async def test_b5_a_removed_member_reads_and_appends_nothing(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "mallory") as (town, (alice, bob, mallory)):
        group = await town.group_of(alice, bob, mallory, roles={mallory.id: Role.ADMIN})
        old = (await mallory.row(group)).view
        town.offline = {"mallory"}
        await alice.want(group, Remove(mallory.id))
        await town.settle()
        for token in (keys.read_token for keys in old.epochs):
            with pytest.raises(Refused, match="another token"):
                await town.logs.read(group, token, 0)
        # Unaware of it, the removed admin still wants something: the log takes nothing under the old key.
        entries = len(town.logs.logs[group])
        mallory.inbox.clear()
        town.offline.clear()
        numbers = await mallory.want(group, Remove(bob.id))
        await mallory.look(group)
        assert len(town.logs.logs[group]) == entries
        assert (await mallory.decided(numbers))[0] == set(numbers)
        assert bob.id in (await alice.row(group)).view.state.by_account


async def test_b15_two_admins_commit_at_once_and_nothing_is_lost(tmp_path):
    names = ("alice", "bob", "carol", "dave", "erin")
    async with open_town(tmp_path, *names) as (town, people):
        alice, bob, carol, dave, erin = people
        group = await town.group_of(alice, bob, carol, dave, erin, roles={bob.id: Role.ADMIN})
        first = await alice.want(group, Remove(dave.id))
        second = await bob.want(group, Remove(erin.id))
        # Both prepare on the same state; the log takes one.
        town.offline = {"carol", "dave", "erin"}
        await town.settle()
        town.offline = {"dave", "erin"}
        await town.settle()
        assert await alice.decided(first) == await bob.decided(second) == (set(), None)
        states = [(await one.row(group)).view.state for one in (alice, bob, carol)]
        assert len({state.hash for state in states}) == 1
        assert states[0].by_account.keys() == {alice.id, bob.id, carol.id}
        assert states[0].epoch == 3  # two cuts: the loser's secret opens nothing
        for one in (alice, bob, carol):
            await one.say(group, one.person.name)
        await town.settle()
        assert sorted(await carol.texts(group)) == sorted(bodies("alice", "bob"))


async def test_a_change_that_the_rules_forbid_is_refused_and_the_others_go_on(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        good = await alice.want(group, ChangeSetting(Setting("about", b"us")))
        bad = await alice.want(group, Remove(alice.id))
        town.offline = set()
        await town.settle()
        assert await alice.decided(good) == (set(), None)
        waiting, reason = await alice.decided(bad)
        assert waiting == set()
        assert reason.startswith("commit_refused: nobody takes itself out")
        # Bob is told by a message of the group, and reads what was changed.
        assert (await bob.row(group)).view.state.setting("about") == b"us"
        assert ("setting", "about") in await bob.changes()
        none = await bob.want(group, Remove(alice.id))
        await town.settle()
        assert (await bob.decided(none))[1].startswith("not_entitled")


async def test_who_is_promoted_gets_the_write_key_and_commits(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        await alice.want(group, SetRole(bob.id, Role.ADMIN))
        await town.settle()
        numbers = await bob.want(group, Give(carol.id, int(Right.HEAR)))
        await town.settle()
        assert await bob.decided(numbers) == (set(), None)
        assert not (await alice.row(group)).view.state.member(carol.id).bits & Right.SEND
        # A muted member's client refuses to send, and says why.
        await carol.say(group, "mmh")
        await town.settle()
        assert carol.errors[-1].code == "not_entitled"


async def test_a_cut_that_shut_the_log_is_learnt_of_by_its_secret_however_late(tmp_path):
    """A member that was away for 50 epochs catches up."""
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        town.offline = {"bob"}
        for number in range(50):
            await alice.want_cut(group)
            await town.settle()
            if number % 10 == 0:
                await alice.say(group, f"epoch {number}")
                await town.settle()
        assert (await alice.row(group)).view.state.epoch == 51
        town.offline.clear()
        await town.settle()
        assert (await bob.row(group)).view.state.hash == (await alice.row(group)).view.state.hash
        assert await bob.texts(group) == bodies(*(f"epoch {number}" for number in range(0, 50, 10)))
        await bob.say(group, "back")
        await town.settle()
        assert await alice.texts(group) == bodies("back")
        assert await bob.refused() == []


async def test_b15_a_committer_that_is_gone_between_append_and_secrets_is_stood_in_for(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol", "dave") as (town, people):
        alice, bob, carol, dave = people
        group = await town.group_of(alice, bob, carol, dave, roles={bob.id: Role.ADMIN})
        await alice.want(group, Remove(dave.id))
        town.offline = {"bob", "carol", "dave"}
        while (await alice.do(lambda tx: find_pending(tx, group))) is None:
            await alice.care.look()
        await town._encrypt(alice)  # the secret for bob alone
        await town.post(alice)
        pending = await alice.do(lambda tx: find_pending(tx, group))
        assert pending.stage is Stage.HANDING_OUT
        # It appends, and dies before it keeps anything of that.
        row = await alice.row(group)
        keys = pending.hand_out.keys()
        following = LogKeys(pending.hand_out.write_seed, keys.read_token)
        await town.logs.append(group, pending.entry_index, pending.entry, row.view.write_seed, following)
        town.offline = {"alice", "dave"}
        await town.settle()
        # Bob has read the cut; carol's log is shut, and its user cannot write.
        assert (await bob.row(group)).view.state.epoch == 2
        await carol.look(group)
        assert (await carol.row(group)).view.state.epoch == 1
        assert (await carol.row(group)).missing_since_ms is not None
        town.clock.ms += 61_000
        await carol.look(group)
        await town.settle()
        town.clock.ms += 31_000
        await town.settle()
        # One commit later all agree: bob has cut anew, and handed out both secrets.
        states = [(await one.row(group)).view.state for one in (bob, carol)]
        assert states[0].hash == states[1].hash
        assert (states[0].epoch, dave.id in states[0].by_account) == (3, False)
        await carol.say(group, "we are whole")
        await town.settle()
        assert await bob.texts(group) == bodies("we are whole")
        # The one that was gone comes back, and is where the others are.
        town.offline = {"dave"}
        await alice.look(group)
        await town.settle()
        assert (await alice.row(group)).view.state.hash == states[0].hash
        assert await alice.texts(group) == bodies("we are whole")


async def test_nobody_is_put_into_a_group_that_it_did_not_want(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await alice.create()
        await alice.want(group, add(bob.id, 1))
        await town.settle()
        assert await bob.do(lambda tx: tx.all("SELECT id FROM groups")) == []
        # It may say yes later: the welcome waits.
        join = Join(group, alice.id, bytes(16), "a group", JoinState.ASKED)
        await bob.do(lambda tx: keep_join(tx, join))
        await town.settle()
        assert (await bob.row(group)).status is Status.MEMBER


async def test_weekly_secrets_are_fresh(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        town.clock.ms += 8 * DAY_MS
        await alice.look(group)
        town.clock.ms += 3_600_000
        await alice.look(group)
        await town.settle()
        assert (await alice.row(group)).view.state.epoch == (await bob.row(group)).view.state.epoch == 2


@pytest.mark.parametrize("told_ms", [2**53 - 1, 2**64 - 1])
async def test_a_cut_of_the_future_does_not_end_the_weekly_ones(tmp_path, monkeypatch, told_ms):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        honest = group_proposals._head
        monkeypatch.setattr(group_proposals, "_head", lambda *given: honest(*given[:-1], told_ms))
        await alice.want_cut(group)
        await town.settle()
        monkeypatch.setattr(group_proposals, "_head", honest)
        assert (await bob.row(group)).view.state.epoch_at_ms == told_ms
        for days in (6, 2):
            town.clock.ms += days * DAY_MS
            await alice.look(group)
            town.clock.ms += 3_600_000
            await alice.look(group)
            await town.settle()
            epochs = [(await one.row(group)).view.state.epoch for one in (alice, bob)]
            assert epochs == ([2, 2] if days == 6 else [3, 3])
        assert (await bob.row(group)).view.state.epoch_at_ms <= town.clock.ms


@pytest.mark.proves("M-GROUP-01")
async def test_a_critical_setting_that_is_unknown_stops_writing_and_says_so(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.want(group, ChangeSetting(Setting("colour", b"blue")))
        await town.settle()
        await bob.say(group, "an unknown setting is kept")
        await town.settle()
        assert (await bob.row(group)).view.state.setting("colour") == b"blue"
        await alice.want(group, ChangeSetting(Setting("sealed-sender", b"x", critical=True)))
        await town.settle()
        await bob.say(group, "but not one that is critical")
        await town.settle()
        assert bob.errors[-1].code == "group_too_new"
        assert "newer version" in str(bob.errors[-1])


async def test_a_group_that_is_banned_from_stays_shut(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        await alice.want(group, Ban(bob.id))
        await town.settle()
        numbers = await alice.want(group, add(bob.id, 1))
        await town.settle()
        assert "banned" in (await alice.decided(numbers))[1]


async def test_what_a_look_has_no_time_for_is_done_in_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(care, "_ROUNDS", 1)
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        assert (await bob.row(group)).status is (await carol.row(group)).status is Status.MEMBER
