"""What it costs a client to remove one of 1,000 members: the commit, and the new secret for each device that stays.

    python -m bench.group_removal

A real store, 2,000 devices with sessions on which both sides have spoken, a log in memory, no relay: from the wish to the
finished envelopes in the outbox, in CPU seconds of the whole process.
"""

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.results import Result, table
from client.draft_worker import AT_ONCE
from client.envelopes import can_encrypt, encrypt_drafts
from client.first_contact import Fetched
from client.groups.wanted import want
from client.logs import LogKeys
from client.store import queue
from client.store.database import Transaction
from client.store.group_tokens import learn_group_token, own_group_token, own_token_registered
from client.store.group_wants import find_pending
from client.store.groups import Status, find_group, note_cut, save_view
from client.store.peers import save_chain
from client.store.session_rows import save_sessions
from crypto import limits, sessions
from crypto.group_changes import Remove
from crypto.group_log import seal_entry
from crypto.group_proposals import add, begin_group, first_view
from crypto.keys import LocalDevice, RootKeyPair, account_id
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import VerifiedManifest, verify_chain
from crypto.prekeys import Bundle, KeyClass
from crypto.primitives import require_supported_build
from crypto.sealed_first_message import open_setup
from crypto.session_start import receive_setup, start_session
from crypto.sessions import PeerSessions
from tests.group_town import Citizen, open_town

MEMBERS = 1_000
DEVICES = 2  # of each account but the committer's


@dataclass(frozen=True)
class Account:
    """Another account: its list, and its devices."""

    chain: VerifiedManifest
    devices: tuple[LocalDevice, ...]


def other_account(now_ms: int) -> Account:
    """A fresh account with DEVICES devices."""
    root = RootKeyPair.generate(os.urandom)
    account = account_id(root.public)
    devices = sorted(
        (LocalDevice.generate(account, os.urandom) for _ in range(DEVICES)), key=lambda one: one.device_id
    )
    entries = [device_entry(one, added_at_ms=now_ms, manager=True) for one in devices]
    signed = sign_manifest(build_manifest(root.public, 1, None, entries), root)
    return Account(verify_chain(account, None, [signed]), tuple(devices))


def warm_session(committer: Citizen, other: Account, device: LocalDevice, now_ms: int) -> PeerSessions:
    """The committer's side of a session on which both have spoken."""
    own = committer.person.account
    prekeys = LocalPrekeys().refresh(
        one_time_at_relay=limits.ONE_TIME_STOCK,
        kem_at_relay=limits.ONE_TIME_STOCK,
        now_ms=now_ms,
        random=os.urandom,
    )
    bundle = Bundle.of(key for key in prekeys.to_upload(device) if key.key_class is not KeyClass.ONE_TIME)
    mine = start_session(
        PeerSessions(device.account_id, device.device_id),
        own.local,
        own.own,
        other.chain,
        bundle,
        fetched_at_ms=now_ms,
        now_ms=now_ms,
        random=os.urandom,
    )
    mine, setup = sessions.encrypt(mine, b"hello", own.own, now_ms=now_ms, random=os.urandom)
    theirs = receive_setup(
        PeerSessions(own.account_id, own.device_id),
        open_setup(setup, prekeys, device.account_id, device.device_id),
        device,
        other.chain,
        None,
        prekeys,
        own_is_current=True,
        now_ms=now_ms,
    ).sessions
    _, answer = sessions.encrypt(theirs, b"hello", other.chain, now_ms=now_ms, random=os.urandom)
    return sessions.receive(mine, sessions.locate(mine, answer), answer, now_ms=now_ms).sessions


async def large_group(committer: Citizen) -> tuple[bytes, list[Account]]:
    """A group of MEMBERS with the committer as its owner, who knows all lists and has all sessions."""
    now_ms, person = committer.person.clock.now(), committer.person
    others = [other_account(now_ms) for _ in range(MEMBERS - 1)]
    found = {
        (device.account_id, device.device_id): warm_session(committer, other, device, now_ms)
        for other in others
        for device in other.devices
    }
    own = person.account
    made = begin_group(
        own.local,
        own.own,
        [add(other.chain.account_id, 1) for other in others],
        [],
        os.urandom,
        now_ms,
        {own.account_id: own.own},
    )
    group_id = made.state.group_id
    assert made.hand_out is not None

    def keep(tx: Transaction) -> None:
        for other in others:
            save_chain(tx, other.chain)
        save_sessions(tx, (own.account_id, own.device_id), found, now_ms)
        save_view(tx, first_view(made), status=Status.MEMBER)
        note_cut(tx, group_id, now_ms, is_own=True)
        own_group_token(tx, group_id, os.urandom)
        own_token_registered(tx, group_id)
        for other in others:
            learn_group_token(tx, group_id, other.chain.account_id, os.urandom(16))

    await person.database.run(keep)
    entry = seal_entry(made.keys, 0, made.signed, os.urandom)
    await committer.town.logs.create(group_id, LogKeys(made.hand_out.write_seed, made.keys.read_token), entry)
    return group_id, others


def encrypt_some(tx: Transaction, committer: Citizen) -> bool:
    """Encrypt the next AT_ONCE drafts; False if there are none."""
    system = committer.person.system
    drafts = queue.next_drafts(tx, AT_ONCE)
    waiting: dict[str, list[queue.Draft]] = {}
    for draft in drafts:
        waiting.setdefault(draft.recipient, []).append(draft)
    for theirs in waiting.values():
        account = theirs[0].account_id
        assert account is not None
        assert can_encrypt(tx, account, theirs, system.now_ms())
        encrypt_drafts(tx, account, theirs, Fetched(), system)
    return bool(drafts)


async def remove_one(committer: Citizen, group_id: bytes, target: bytes) -> float:
    """CPU seconds from the wish to the last finished envelope."""
    start = time.process_time()
    await committer.do(lambda tx: want(tx, group_id, [Remove(target)]))
    while True:
        await committer.care.look()
        is_busy = await committer.do(partial(encrypt_some, committer=committer))
        if not is_busy and await committer.do(lambda tx: find_pending(tx, group_id)) is None:
            break
        committer.care.answered()
    seconds = time.process_time() - start
    row = await committer.do(lambda tx: find_group(tx, group_id))
    assert row is not None
    assert target not in row.view.state.by_account
    rows = await committer.do(lambda tx: queue.outgoing_after(tx, 0, 100_000))
    staying = len(row.view.state.members) - 1
    assert sum(len(one.envelopes) for one in rows) >= staying * DEVICES
    await committer.do(lambda tx: queue.remove_outgoing(tx, [one.n for one in rows]))
    return seconds


async def _run() -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            _, (committer,) = await stack.enter_async_context(open_town(Path(folder), "owner"))
            group_id, others = await large_group(committer)
            rounds = [
                await remove_one(committer, group_id, others[number].chain.account_id) for number in range(3)
            ]
    name = f"groups: a commit that removes one of {MEMBERS:,}, {(MEMBERS - 1) * DEVICES:,} devices"
    return [Result.of(name, "CPU s", rounds)]


def run() -> list[Result]:
    """The figure."""
    require_supported_build()
    return asyncio.run(_run())


if __name__ == "__main__":
    print(table(run()))
