"""A relay that a member of the group helps: who is in reads its secrets, and may not do more for that."""

import os
from typing import Any

from client.contents import ContentType
from client.groups.bodies import CommitBody, encode
from client.groups.rooms import group_id_of
from client.signals import draft_signal
from client.store.groups import find_group
from crypto.group_changes import Remove
from crypto.group_commits import FORMAT, Commit, CommitHead, CommitKind, sign_commit
from crypto.group_log import seal_entry
from crypto.group_proposals import add
from crypto.group_rights import Role
from relay.wire.links import encode_bytes
from tests.hostile.attacks import Guard, attack, nothing
from tests.hostile.attacks_on_device_lists import account_of
from tests.hostile.attacks_on_groups import circle, sees_that_the_log_is_shut, the_log_is
from tests.hostile.stage import Stage


@attack(Guard("crypto.group_rules.ed25519_verify", nothing))
async def adds_a_member_with_a_members_help(stage: Stage) -> None:
    """adds a member in the owner's name, sealed with the key of a member who helps it"""
    group = await circle(stage, "alice", "bob", "carol")
    alice, bob, carol = group.members
    (dave,) = await stage.people("dave")
    await bob.says(dave, "hello")
    async with carol.store() as store:
        view = (await store.read(lambda tx: find_group(tx, group_id_of(group.id)))).view
    head = CommitHead(
        FORMAT,
        CommitKind.PLAIN,
        view.state.group_id,
        view.state.hash,
        alice.account_id,
        alice.device_id,
        1,
        carol.system.now_ms(),
    )
    commit = Commit(head, b"", (add(dave.account_id, 1, Role.MEMBER),))
    signed = sign_commit(commit, (await account_of(carol)).local)
    entry = seal_entry(view.keys, view.next_entry, signed, os.urandom)

    def put(log: dict[str, Any]) -> None:
        log["entries"] = [{"index": view.next_entry, "entry": encode_bytes(entry), "at_ms": 0}]
        log["next_index"] = view.next_entry + 1

    the_log_is(stage, put)
    async with bob.online() as live:
        stage.relay.exchanges.clear()
        await stage.until(lambda: any(one.is_of("GET", "/v1/group-logs/*") for one in stage.relay.exchanges))
        await live.client.send(group.recipient, "one")
    stage.holds(await group.names(bob) == {"alice", "bob", "carol"}, "nobody came in")
    stage.nothing_told(bob)


@attack(Guard("crypto.group_exclusion._is_within_rights", lambda *_: True))
async def throws_a_member_out_with_a_members_help(stage: Stage) -> None:
    """shuts the log of a group to a member, while another one, who may remove nobody, tells it that it is out"""
    group = await circle(stage, "alice", "bob", "carol")
    _, bob, carol = group.members
    account = await account_of(bob)
    async with bob.store() as store:
        view = (await store.read(lambda tx: find_group(tx, group_id_of(group.id)))).view
        head = CommitHead(
            FORMAT,
            CommitKind.CUT,
            view.state.group_id,
            os.urandom(32),
            bob.account_id,
            bob.device_id,
            account.own.version,
            bob.system.now_ms(),
        )
        signed = sign_commit(Commit(head, os.urandom(32), (Remove(carol.account_id),)), account.local)
        index = view.next_entry + 1  # carol cannot read what would lie between
        body = encode(
            CommitBody(group_id_of(group.id), index, seal_entry(view.keys, index, signed, os.urandom))
        )
        await store.run(
            lambda tx: draft_signal(
                tx, account, [carol.account_id], ContentType.GROUP_COMMIT, body, bob.system
            )
        )
    async with bob.online() as live:
        await live.client.flush()
    stage.relay.changes_answers(
        "GET", "/v1/group-logs/*", lambda exchange: exchange.refuse(403, "not_allowed")
    )
    await carol.listens()
    stage.relay.exchanges.clear()
    async with carol.online() as live:
        await sees_that_the_log_is_shut(stage, live, group)
    stage.holds((await group.info(carol)).status == "member", "for carol, she is in the group still")
