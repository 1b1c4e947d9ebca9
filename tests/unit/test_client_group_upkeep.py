"""What a group needs beside commits that somebody wants: device lists, lost log entries, large states, full mailboxes."""

from dataclasses import replace

import pytest

from client.contents import FilePointer
from client.groups import hand_outs
from client.groups.submits import address, heed_outcomes
from client.store import queue
from client.store.group_added import note_added
from client.store.group_sending import sending_chain
from client.store.group_tokens import group_token, known_own_token, learn_group_token
from client.store.group_welcomes import owe_welcomes, owed_welcomes
from client.store.groups import GroupRow, Status, set_status
from client.store.peers import find_peer, save_chain
from crypto.group_changes import ChangeSetting
from crypto.group_rights import Role
from crypto.group_state import Setting
from crypto.manifest import build_manifest, sign_manifest
from crypto.manifest_chain import verify_chain
from relay.wire.frames import Outcome
from tests.client_pair import bodies
from tests.group_town import Citizen, open_town


def without_device(person: Citizen, gone: Citizen) -> None:
    """The next manifest of the account, without this device."""
    own = person.person.account.own
    entries = [one for one in own.manifest.devices if one.device_id != gone.device]
    body = build_manifest(own.manifest.root_public, own.version + 1, own.hash, entries)
    account = person.person.account
    signed = sign_manifest(body, account.local.signing, account.device_id)
    person.person.account = account.with_chain(verify_chain(own.account_id, own, [signed]))


async def test_a_device_that_left_ends_chains_at_once_and_is_cut_out(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, laptop)
        group = await town.group_of(alice, bob)
        # The laptop is in the account before the group was: bob's phone tells it.
        await bob.do(lambda tx: tx.run("UPDATE groups SET list_told = 1"))
        await bob.look(group)
        await town.settle()
        await alice.say(group, "to both")
        await town.settle()
        assert await bob.texts(group) == await laptop.texts(group) == bodies("to both")
        before = await alice.do(lambda tx: sending_chain(tx, group))
        without_device(bob, laptop)
        own = bob.person.account.own
        town.offline = {"laptop"}
        await bob.do(lambda tx: save_chain(tx, own))
        await alice.do(lambda tx: save_chain(tx, own))
        # Before anybody has committed, alice speaks: the laptop gets neither the chain nor the message.
        laptop.inbox.clear()
        await alice.say(group, "not to the laptop")
        await town._encrypt(alice)
        await town._encrypt(alice)
        await town.post(alice)
        await town._encrypt(alice)
        await town.post(alice)
        after = await alice.do(lambda tx: sending_chain(tx, group))
        assert after.opening.chain_id != before.opening.chain_id
        assert laptop.inbox == []
        await alice.look(group)
        town.clock.ms += 31_000
        await town.settle()
        state = (await bob.row(group)).view.state
        assert (state.epoch, state.member(bob.id).manifest_version) == (2, 3)
        await bob.say(group, "we are alone")
        await town.settle()
        assert await alice.texts(group) == bodies("we are alone")
        assert await bob.texts(group) == bodies("to both", "not to the laptop")
        assert await laptop.texts(group) == bodies("to both")
        assert laptop.inbox == []


async def test_a_member_whose_next_entry_is_gone_from_the_log_is_welcomed_anew(tmp_path):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        town.offline = {"bob"}
        for about in (b"1", b"2", b"3"):
            await alice.want(group, ChangeSetting(Setting("about", about)))
            await town.settle()
        bob.inbox.clear()
        read = town.logs.read

        async def trimmed(log_id, token, from_index):
            page = await read(log_id, token, max(from_index, 4))
            return replace(page, first_index=4)

        town.logs.read = trimmed
        town.offline.clear()
        await bob.look(group)
        assert (await bob.row(group)).status is Status.BEHIND
        town.clock.ms += 3_600_000
        await bob.look(group)
        await town.settle()
        assert (await bob.row(group)).status is Status.MEMBER
        assert (await bob.row(group)).view.state.setting("about") == b"3"
        await alice.say(group, "here we are")
        await town.settle()
        assert await bob.texts(group) == bodies("here we are")


async def test_who_fell_behind_is_brought_up_by_who_may_commit_alone_and_never_back(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        old = await alice.row(group)
        await alice.want(group, ChangeSetting(Setting("about", b"newer")))
        await town.settle()
        await carol.look(group)

        async def welcome(by: Citizen, row: GroupRow) -> Status:
            """Whether carol takes a welcome that she asked for."""
            account = by.person.account
            await carol.do(lambda tx: set_status(tx, group, Status.BEHIND))
            await by.do(lambda tx: hand_outs.draft_welcome(tx, account, row, [carol.id], by.person.system))
            await town._encrypt(by)
            await town.post(by)
            arrived, carol.inbox = carol.inbox, []
            await carol.person.take([carol.person.frame(one) for one in arrived])
            return (await carol.row(group)).status

        assert await welcome(bob, await bob.row(group)) is Status.BEHIND  # a plain member
        assert await welcome(alice, old) is Status.BEHIND
        assert await welcome(alice, await alice.row(group)) is Status.MEMBER
        assert (await carol.row(group)).view.state.setting("about") == b"newer"


async def test_a_state_that_is_too_large_for_an_envelope_comes_as_a_blob(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_outs, "MAX_INLINE_STATE_BYTES", 10)
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        assert len(town.blobs) == 1
        await alice.say(group, "large")
        await town.settle()
        assert await bob.texts(group) == bodies("large")


async def test_new_own_devices_and_who_is_behind_get_the_blob_of_a_large_state_one_for_all(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(hand_outs, "MAX_INLINE_STATE_BYTES", 10)
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        laptop = await town.second_device(bob, "laptop")
        await town.introduce(alice, bob, laptop, carol)
        group = await town.group_of(alice, bob, carol)
        town.blobs.clear()
        await bob.do(lambda tx: tx.run("UPDATE groups SET list_told = 1"))
        await bob.look(group)
        await town.settle()
        assert (await laptop.row(group)).status is Status.MEMBER
        assert len(town.blobs) == 1
        for one in (laptop, carol):
            await one.do(lambda tx: set_status(tx, group, Status.BEHIND))
            await one.do(lambda tx: tx.run("UPDATE groups SET asked_at_ms = 0"))
        await alice.want(group, ChangeSetting(Setting("about", b"later")))
        town.clock.ms += 1
        for one in (laptop, carol):
            await one.look(group)
        await town.settle()
        for one in (laptop, carol):
            row = await one.row(group)
            assert (row.status, row.view.state.setting("about")) == (Status.MEMBER, b"later")
        assert len(town.blobs) <= 3  # of bob for the laptop, and of alice for both who were behind
        assert await alice.do(lambda tx: owed_welcomes(tx, group, 9)) == []
        await alice.say(group, "all are here")
        await town.settle()
        for one in (bob, laptop, carol):
            assert (await one.texts(group))[-1:] == bodies("all are here")


async def test_a_welcome_waits_for_the_blob_of_the_very_state_that_it_tells(tmp_path, monkeypatch):
    async with open_town(tmp_path, "alice", "bob") as (town, (alice, bob)):
        group = await town.group_of(alice, bob)
        monkeypatch.setattr(hand_outs, "MAX_INLINE_STATE_BYTES", 10)
        row, account = await alice.row(group), alice.person.account
        pointer = FilePointer(bytes(32), bytes(32), 1, bytes(32), "state", "application/octet-stream")
        old, new = (hand_outs.StateBlob(one, pointer) for one in (bytes(32), row.view.state.hash))

        def give(tx):
            owe_welcomes(tx, group, [bob.id, carol_who_left])
            given = [
                hand_outs.give_owed(tx, account, row, alice.person.system, blob=blob)
                for blob in (None, old, new)
            ]
            return given, owed_welcomes(tx, group, 9), tx.all("SELECT account_id FROM drafts")

        carol_who_left = b"carol".ljust(32)
        assert await alice.do(give) == ([False, False, True], [], [(bob.id,)])
        with pytest.raises(ValueError, match="blob"):
            await alice.do(
                lambda tx: hand_outs.draft_welcome(tx, account, row, [bob.id], alice.person.system)
            )


async def test_b6_who_was_added_by_a_device_that_had_left_hears_nothing_until_the_next_cut(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        await alice.want_cut(group)
        await town.settle()
        # A device that alice's account lists no more had added carol.
        await bob.do(lambda tx: note_added(tx, group, [carol.id], alice.id, bytes(16)))
        await bob.say(group, "not to carol")
        await town.settle()
        assert await alice.texts(group) == bodies("not to carol")
        assert await carol.texts(group) == []
        given = await bob.do(lambda tx: tx.all("SELECT account_id FROM group_given"))
        assert (carol.id,) not in given
        await alice.want_cut(group)
        await town.settle()
        await bob.say(group, "to all")
        await town.settle()
        assert await carol.texts(group) == bodies("to all")


async def test_each_outcome_counts_for_its_target_alone(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol", "dave", "erin") as (town, people):
        alice, bob, carol, dave, erin = people
        group = await town.group_of(alice, bob, carol, dave, erin, roles={bob.id: Role.ADMIN})
        await alice.do(lambda tx: learn_group_token(tx, group, dave.id, b"d" * 16))
        await alice.say(group, "hello")
        for _ in range(2):
            await town._encrypt(alice)
            rows = await alice.do(lambda tx: queue.outgoing_after(tx, 0, 10))
            if not any(row.group for row in rows):
                await town.post(alice)
        (row,) = [row for row in rows if row.group is not None]
        sent = await alice.do(lambda tx: address(tx, row, row.group))
        told = await bob.do(lambda tx: known_own_token(tx, group))  # with its chain
        tokens = {grant.account_id: grant.token for grant in sent.submit.grants}
        assert tokens.pop(bob.id) == told[0]
        assert tokens == {carol.id: bytes(16), dave.id: b"d" * 16, erin.id: bytes(16)}
        by_account = {
            bob.id: Outcome.STORED,
            carol.id: Outcome.MAILBOX_FULL,
            dave.id: Outcome.NOT_ALLOWED,
            erin.id: Outcome.UNKNOWN_DEVICE,
        }
        outcomes = [by_account[account] for account in sent.accounts]
        rest = await alice.do(lambda tx: heed_outcomes(tx, group, sent, outcomes, ()))
        assert {one.account_id for one in rest.targets} == {carol.id, dave.id}
        assert (rest.is_taken, rest.lists_changed) == (True, True)
        assert await alice.do(lambda tx: group_token(tx, group, dave.id)) is None
        assert (await alice.do(lambda tx: find_peer(tx, erin.id))).stale
        assert not (await alice.do(lambda tx: find_peer(tx, bob.id))).stale


async def test_who_is_not_reached_yet_gets_the_message_when_a_token_is_known(tmp_path):
    async with open_town(tmp_path, "alice", "bob", "carol") as (town, (alice, bob, carol)):
        group = await town.group_of(alice, bob, carol)
        await town.settle()
        await bob.do(
            lambda tx: tx.run(
                "UPDATE peers SET token = NULL, token_class = NULL WHERE account_id = ?", carol.id
            )
        )
        await bob.do(lambda tx: tx.cache.clear())
        number = await bob.say(group, "who hears me?")
        drafts = await bob.do(lambda tx: queue.next_drafts(tx, 10))
        await town.settle()
        # The town's post does not look at tokens of sessions; the group's envelope does.
        assert drafts
        assert await alice.texts(group) == bodies("who hears me?")
        assert await carol.texts(group) == []
        assert await bob.do(lambda tx: queue.is_waiting(tx, number)) is False
        await bob.do(lambda tx: learn_group_token(tx, group, carol.id, bytes(16)))
        await town.settle()
        assert await carol.texts(group) == bodies("who hears me?")
