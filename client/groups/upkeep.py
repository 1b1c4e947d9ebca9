"""What a group needs beside commits that somebody wants: asking for what did not come, new device lists, weekly cuts.

Functions of a Transaction; `care` calls them after reading the log.
"""

import hashlib
from typing import Final

from msgspec.structs import replace

from client.account import Account, load_account
from client.contents import ContentType
from client.message import Warned
from client.signals import draft_signal
from client.store import facts, notices
from client.store.database import Transaction
from client.store.group_held import forget_old_held, lacking_chains, note_chain_asked
from client.store.group_senders import find_sender
from client.store.group_sending import audience
from client.store.group_tokens import forget_gone, known_own_token
from client.store.group_wants import find_pending, wants
from client.store.groups import GroupRow, Status, find_group, note_asked, note_list_told
from client.store.peers import find_peer, list_versions
from client.system import System
from crypto.group_changes import NewManifest
from crypto.group_state import NAME
from crypto.limits import DAY_MS, EPOCH_SECRET_WAIT_MS, MAX_CHAIN_AGE_MS
from relay.wire.links import encode_id

from .bodies import AskBody, Lacks, encode
from .following import has_secret
from .hand_outs import welcome_soon
from .member_tokens import tell_tokens
from .wanted import want, want_cut

ASK_AGAIN_MS: Final = 10 * 60_000
READ_FOR_SECRET_MS: Final = 10 * 60_000  # so long is a cut looked for whose secret has come
MAX_ASKED: Final = 8  # members that may commit, who are asked for a secret
_CUT_JITTER_MS: Final = 60 * 60_000
_TURN_MS: Final = 10_000
"""So much later than the one before it does each account that may commit say that a member's list is newer."""
_DEVICE_TURN_MS: Final = 2_000


def tend(tx: Transaction, group_id: bytes, system: System, *, is_read: bool) -> None:
    """All upkeep of one group. `is_read`: its log was just read to the end."""
    row, account, now_ms = find_group(tx, group_id), load_account(tx), system.now_ms()
    if row is None:
        return
    if dropped := forget_old_held(tx, now_ms):
        detail = f"{dropped} messages to groups were given up: what opens them never came"
        notices.tell(tx, Warned("held_dropped", detail))
    if row.status is Status.BEHIND and now_ms - row.asked_at_ms >= ASK_AGAIN_MS:
        _ask_entitled(tx, account, row, AskBody(group_id, Lacks.WELCOME), system)
    if row.status is not Status.MEMBER:
        return
    tell_withheld(tx, group_id, now_ms)
    _ask_for_secret(tx, account, row, system)
    _ask_for_chains(tx, account, row, system)
    if is_read and has_secret(row.view):
        forget_gone(tx, group_id)
        _heed_lists(tx, account, row, system)
        _cut_weekly(tx, account, row, system)


def next_look_ms(tx: Transaction, group_id: bytes, system: System) -> int:
    """When the group should be looked at again: once a day at a random time, or as soon as something waits for a time."""
    row, now_ms = find_group(tx, group_id), system.now_ms()
    due = now_ms + DAY_MS // 2 + _random_ms(system, DAY_MS)
    if row is None or row.status is Status.OUT:
        return due
    times = [one.not_before_ms for one in wants(tx, group_id) if one.not_before_ms > now_ms]
    if row.missing_since_ms is not None or row.status is Status.BEHIND:
        since = row.missing_since_ms or now_ms
        times.append(max(since + EPOCH_SECRET_WAIT_MS, row.asked_at_ms + ASK_AGAIN_MS, now_ms + 1_000))
    if row.view.waiting and now_ms - row.secret_at_ms < READ_FOR_SECRET_MS:
        # The cut of this secret is about to be in the log; who makes it may be stopped before it says so.
        times.append(now_ms + EPOCH_SECRET_WAIT_MS)
    held = tx.one("SELECT min(held_at_ms) FROM group_held WHERE group_id = ? AND asked_at_ms = 0", group_id)[
        0
    ]
    if held is not None:
        times.append(max(held + EPOCH_SECRET_WAIT_MS, now_ms + 1_000))
    return min([due, *times])


def _random_ms(system: System, below_ms: int) -> int:
    return int.from_bytes(system.random(8), "big") % below_ms


def tell_withheld(tx: Transaction, group_id: bytes, now_ms: int) -> None:
    """Secrets go out when their cut is in the log. One that is not there after a while was kept back, or replaced by
    something that opens for nobody: whom it removed reads on. Who may commit has secrets earlier, and cannot tell.
    """
    row = find_group(tx, group_id)
    if row is None or row.status is not Status.MEMBER:
        return
    newest = max((given.epoch for given in row.view.waiting), default=0)
    if newest <= row.view.state.epoch or now_ms - row.secret_at_ms < EPOCH_SECRET_WAIT_MS:
        return
    told = f"withheld_epoch/{encode_id(group_id)}"
    account_id = load_account(tx).account_id
    if row.view.state.member(account_id).may_commit or facts.number(tx, told) >= newest:
        return
    facts.set_number(tx, told, newest)
    name = (row.view.state.setting(NAME) or b"").decode("utf-8", "replace")
    detail = (
        f"the relay keeps back a change of the group {name} that its members know of: whoever was removed by it"
        " may still read what you write there"
    )
    notices.tell(tx, Warned("commit_withheld", detail))


def _ask_entitled(tx: Transaction, account: Account, row: GroupRow, ask: AskBody, system: System) -> None:
    """Ask some of those who may commit, the own other devices too."""
    entitled = [member.account for member in row.view.state.entitled()]
    entitled.sort(key=lambda _: system.random(8))
    # Who is out by then is in nobody's list: its token comes with the question.
    mine = known_own_token(tx, row.group_id)
    if mine is not None and mine[1]:
        ask = replace(ask, token=mine[0])
    draft_signal(tx, account, entitled[:MAX_ASKED], ContentType.GROUP_ASK, encode(ask), system)
    note_asked(tx, row.group_id, system.now_ms())


def _ask_for_secret(tx: Transaction, account: Account, row: GroupRow, system: System) -> None:
    """After 60 s without the secret of a cut: its committer may have been stopped."""
    now_ms = system.now_ms()
    if row.missing_since_ms is None or now_ms - row.missing_since_ms < EPOCH_SECRET_WAIT_MS:
        return
    if now_ms - row.asked_at_ms < ASK_AGAIN_MS:
        return
    missing = row.view.missing
    epoch = missing[-1].epoch if missing else row.view.state.epoch
    _ask_entitled(tx, account, row, AskBody(row.group_id, Lacks.SECRETS, epoch), system)


def _ask_for_chains(tx: Transaction, account: Account, row: GroupRow, system: System) -> None:
    """After a while without the chain of a message: its hand-out may have been lost."""
    now_ms = system.now_ms()
    lacking = lacking_chains(tx, row.group_id, now_ms - EPOCH_SECRET_WAIT_MS)
    if not lacking:
        return
    owners = {device: one.account_id for one in audience(tx, row.group_id) for device in one.devices}
    for device, chain_id in lacking:
        sender = find_sender(tx, row.group_id, device)
        owner = owners.get(device) if sender is None else sender.account
        if owner is not None:
            ask = AskBody(row.group_id, Lacks.CHAIN, 0, chain_id)
            draft_signal(tx, account, [owner], ContentType.GROUP_ASK, encode(ask), system)
        note_chain_asked(tx, row.group_id, chain_id, now_ms)


def _heed_lists(tx: Transaction, account: Account, row: GroupRow, system: System) -> None:
    """A member's device list is newer than the group's: who may commit says so, others have it said."""
    state = row.view.state
    mine = state.member(account.account_id)
    if mine.may_commit:
        for account_id, version in list_versions(tx, row.group_id):
            member = state.by_account.get(account_id)
            if member is not None and version > member.manifest_version:
                _want_list(tx, account, row, account_id, member.manifest_version, system)
    if account.own.version > row.list_told:
        # Another device is told by this one, whom it trusts: nobody else can put it into a group.
        if len(account.own.manifest.devices) > 1:
            welcome_soon(tx, account, row, [account.account_id], system)
            tell_tokens(tx, account, state, [account.account_id], system)
        if not mine.may_commit and account.own.version > mine.manifest_version:
            _ask_entitled(tx, account, row, AskBody(row.group_id, Lacks.LIST), system)
        note_list_told(tx, row.group_id, account.own.version)


def _want_list(
    tx: Transaction, account: Account, row: GroupRow, account_id: bytes, known: int, system: System
) -> None:
    peer = find_peer(tx, account_id)
    if peer is None or peer.chain is None:
        return
    before = peer.chain.signed(known)
    listed = {entry.device_id for entry in peer.chain.manifest.devices}
    # A version that is not known here may have listed a device that has left.
    has_left = before is None or any(e.device_id not in listed for e in before.manifest.devices)
    waits = any(
        isinstance(one.change, NewManifest) and one.change.account == account_id
        for one in wants(tx, row.group_id)
    )
    if waits:
        return
    wait_ms = 0 if account_id == account.account_id else _turn_ms(account, row, account_id)
    change = NewManifest(account_id, peer.chain.version, has_left)
    want(tx, row.group_id, [change], not_before_ms=system.now_ms() + wait_ms if wait_ms else 0)


def turn_order(group_id: bytes, about: bytes, accounts: list[bytes]) -> list[bytes]:
    """These accounts in the order in which they commit that this member's list is newer."""
    return sorted(accounts, key=lambda one: hashlib.sha256(group_id + about + one).digest())


def _turn_ms(account: Account, row: GroupRow, about: bytes) -> int:
    """How long this device leaves the commit to others: nothing for the first of an order that is another one for each
    member, so that the work is spread, and a device that left is out of the group at once. The next is there if it is away.
    """
    may = [member.account for member in row.view.state.entitled() if member.account != about]
    entitled = turn_order(row.group_id, about, may)
    devices = sorted(entry.device_id for entry in account.own.manifest.devices)
    own_turn = devices.index(account.device_id) if account.device_id in devices else len(devices)
    return entitled.index(account.account_id) * _TURN_MS + own_turn * _DEVICE_TURN_MS


def _cut_weekly(tx: Transaction, account: Account, row: GroupRow, system: System) -> None:
    """Every 7 days the secrets are fresh. The cut's time is what its committer says: one in the future must not end that."""
    now_ms, state = system.now_ms(), row.view.state
    if not state.member(account.account_id).may_commit or find_pending(tx, row.group_id) is not None:
        return
    if now_ms - min(state.epoch_at_ms, row.cut_read_at_ms) >= MAX_CHAIN_AGE_MS:
        want_cut(tx, row.group_id, not_before_ms=now_ms + _random_ms(system, _CUT_JITTER_MS))
