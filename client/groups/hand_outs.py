"""Secrets, chains and welcomes on their way to devices of members, each in its session: hidden contents to accounts.

Only members of the audience of the newest state get one, whatever the relay says (B6). Functions of a Transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from client.account import Account
from client.contents import ContentType, FilePointer
from client.signals import draft_signal
from client.store import facts, queue
from client.store.database import Transaction
from client.store.group_added import withheld
from client.store.group_sending import (
    Listener,
    audience,
    checked,
    drop_sending,
    given,
    hand_outs_wait,
    note_checked,
    note_given,
    save_sending,
    sending_chain,
    split_devices,
)
from client.store.group_tokens import known_own_token
from client.store.group_welcomes import owe_welcomes, owed_welcomes, settle_welcomes
from client.store.groups import GroupRow
from client.system import System
from crypto.group_log import GroupView
from crypto.group_proposals import hand_outs, welcome
from crypto.group_rights import Right
from crypto.sender_chains import SendingChain, begin_chain, hand_out
from crypto.transcript import u64

from .bodies import ChainBody, SecretsBody, WelcomeBody, encode

MAX_INLINE_STATE_BYTES: Final = (
    32_768  # of a state in each welcome; of a larger one there is one blob for all
)
_NONE: Final = b"?", 0  # instead of what was handed to somebody
AT_ONCE: Final = 256  # accounts that one transaction hands something to


@dataclass(frozen=True, slots=True)
class StateBlob:
    """A state that lies at the relay as a blob, for welcomes to the group."""

    state_hash: bytes
    """32 B."""
    pointer: FilePointer


def draft_secrets(
    tx: Transaction,
    account: Account,
    view: GroupView,
    accounts: Sequence[bytes],
    system: System,
    *,
    since_epoch: int,
) -> list[int]:
    """The secrets from an epoch on (of each member: from when it was added on), to these; numbers of the hidden messages."""
    alike: dict[bytes, list[bytes]] = {}
    for member in accounts:
        since = max(since_epoch, view.state.member(member).since)
        told = hand_outs(view, member, since_epoch=since)
        if told:
            body = encode(SecretsBody(tuple(one.encode() for one in told)))
            alike.setdefault(body, []).append(member)
    return [
        draft_signal(tx, account, members, ContentType.GROUP_SECRETS, body, system)
        for body, members in alike.items()
    ]


def draft_welcome(
    tx: Transaction,
    account: Account,
    row: GroupRow,
    accounts: Sequence[bytes],
    system: System,
    *,
    blob: StateBlob | None = None,
) -> None:
    """Where the group stands now, to new members or new devices. `blob`: as `needs_blob` asks for it.

    Raises NotEntitled for who is out or may not hear, ChainMissing while the present secret is not here.
    """
    view = row.view
    if needs_blob(view, blob):
        raise ValueError("a welcome without the blob of the present state")
    alike: dict[bool, list[bytes]] = {}
    for member in accounts:
        alike.setdefault(view.state.member(member).may_commit, []).append(member)
    for members in alike.values():
        told = welcome(view, members[0])
        given = (told.state.encode(), None) if blob is None else (b"", blob.pointer)
        body = WelcomeBody(told.hand_out.encode(), row.read_token, told.next_entry, *given)
        draft_signal(tx, account, members, ContentType.GROUP_WELCOME, encode(body), system)


def needs_blob(view: GroupView, blob: StateBlob | None = None) -> bool:
    """Whether a welcome to this group waits for a blob: its state is large, and `blob` is not of this very state."""
    if len(view.state.encode()) <= MAX_INLINE_STATE_BYTES:
        return False
    return blob is None or blob.state_hash != view.state.hash


def welcome_soon(
    tx: Transaction, account: Account, row: GroupRow, accounts: Sequence[bytes], system: System
) -> bool:
    """A welcome to these, now (True), or by `give_owed` once there is a blob. Raises what `draft_welcome` raises."""
    if not needs_blob(row.view):
        draft_welcome(tx, account, row, accounts, system)
        return True
    for one in accounts:
        row.view.state.require_right(one, Right.HEAR)
    owe_welcomes(tx, row.group_id, accounts)
    return False


def give_owed(
    tx: Transaction, account: Account, row: GroupRow, system: System, *, blob: StateBlob | None
) -> bool:
    """The welcomes that wait for a blob, to the next AT_ONCE accounts; False, and nothing, if they need another blob."""
    if needs_blob(row.view, blob):
        return False
    owed = owed_welcomes(tx, row.group_id, AT_ONCE)
    members, kept_out = row.view.state.by_account, withheld(tx, row.group_id)
    hear = [one for one in owed if one in members and members[one].hears and one not in kept_out]
    draft_welcome(tx, account, row, hear, system, blob=blob)
    settle_welcomes(tx, row.group_id, owed)
    return True


def draft_chain(
    tx: Transaction, account: Account, accounts: Iterable[bytes], chain: SendingChain, system: System
) -> int:
    """The own chain where it stands, to these; the number of the hidden message.

    With the own token: who speaks since a moment ago is asked for what gets lost, by listeners who never reached it.
    """
    token = known_own_token(tx, chain.opening.group_id)
    body = encode(ChainBody(hand_out(chain).encode(), token[0] if token is not None and token[1] else b""))
    return draft_signal(tx, account, accounts, ContentType.GROUP_CHAIN, body, system)


def ready_chain(
    tx: Transaction, account: Account, row: GroupRow, system: System
) -> tuple[SendingChain, bool, bool]:
    """(The own chain for the next message, whether all of the audience has it or is past waiting for, whether more is to
    be handed out now). Begins one where there is none, it is used up, its epoch is over, or a device left a member's list.

    Hands it out to at most AT_ONCE accounts. Raises ChainMissing while the present secret is not here.
    """
    group_id, state, now_ms = row.group_id, row.view.state, system.now_ms()
    keys = row.view.keys
    chain = sending_chain(tx, group_id)
    if chain is not None and (
        (chain.opening.epoch, chain.opening.cut_hash) != (state.epoch, state.cut_hash)
        or chain.is_used_up(now_ms)
    ):
        drop_sending(tx, group_id)
        chain = None
    mark = u64(state.index) + u64(facts.number(tx, facts.DEVICE_LISTS_SEEN))
    if chain is not None and checked(tx, group_id) == mark:
        return chain, not hand_outs_wait(tx, group_id), False
    kept_out = withheld(tx, group_id)
    listeners = [one for one in audience(tx, group_id) if one.account_id not in kept_out]
    handed = given(tx, group_id)
    # Most have it on just the devices that they have: who was handed it is looked at more closely only if not.
    open_cases = [one for one in listeners if not one.ids or handed.get(one.account_id, _NONE)[0] != one.ids]
    _settle(tx, group_id, handed, open_cases)
    if chain is not None and any(_has_left(handed, one) for one in open_cases):
        drop_sending(tx, group_id)
        chain, handed, open_cases = None, {}, listeners
    if chain is None:
        chain = begin_chain(keys, account.account_id, account.device_id, system.random, now_ms)
        save_sending(tx, group_id, chain)
    own = account.account_id, account.device_id
    lacking = list(islice((one for one in open_cases if _lacks(tx, handed, one, own)), AT_ONCE + 1))
    part = lacking[:AT_ONCE]
    if part:
        number = draft_chain(tx, account, [one.account_id for one in part], chain, system)
        note_given(tx, group_id, [(one.account_id, one.ids) for one in part], number)
    if len(part) == len(lacking):
        note_checked(tx, group_id, mark)
    return chain, not hand_outs_wait(tx, group_id), len(part) < len(lacking)


def _settle(
    tx: Transaction, group_id: bytes, handed: dict[bytes, tuple[bytes, int]], listeners: Iterable[Listener]
) -> None:
    """Whose devices were not known when the chain was drafted for it got it on those that are known now."""
    for one in listeners:
        devices, number = handed.get(one.account_id, _NONE)
        if not devices and one.ids and not queue.draft_waits(tx, number, one.account_id):
            handed[one.account_id] = one.ids, number
            note_given(tx, group_id, [(one.account_id, one.ids)], number)


def _has_left(handed: dict[bytes, tuple[bytes, int]], listener: Listener) -> bool:
    """Whether a device that has the chain is in its account's list no more."""
    before = handed.get(listener.account_id)
    return before is not None and bool(set(split_devices(before[0])) - set(listener.devices))


def _lacks(
    tx: Transaction, handed: dict[bytes, tuple[bytes, int]], listener: Listener, own: tuple[bytes, bytes]
) -> bool:
    """Whether a device of the listener needs the chain."""
    devices = {device for device in listener.devices if (listener.account_id, device) != own}
    before = handed.get(listener.account_id)
    if before is None:
        return bool(devices) or listener.account_id != own[0]
    known, number = before
    if not known or not devices - set(split_devices(known)):
        return False
    # What is not encrypted yet goes to all devices that are listed when it is.
    return not queue.draft_waits(tx, number, listener.account_id)
