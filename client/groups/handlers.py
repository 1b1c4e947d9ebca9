"""What other devices tell this one of a group inside their sessions: welcome, secrets, chains, asking, commits.

Each does the same thing twice without harm. docs/protocol.md, "Groups", "What travels in sessions".
"""

from collections.abc import Callable, Mapping
from typing import Final

from client.contents import ContentType
from client.incoming import Incoming
from client.mailbox_batch import Batch, warn_of_copy
from client.store.database import Transaction
from client.store.group_doors import forget_join
from client.store.group_held import Parked, park, take_parked
from client.store.group_returns import find_return, note_refused
from client.store.group_senders import find_sender, save_sender
from client.store.groups import (
    GroupRow,
    Status,
    find_group,
    make_due,
    note_cut,
    note_list_told,
    note_missing,
    note_read_token,
    note_told_entry,
    save_view,
    told_entry,
)
from crypto.errors import CopiedState, InvalidEncoding, NotEntitled
from crypto.group_epoch import EpochHandOut
from crypto.group_exclusion import may_take_out
from crypto.group_log import Welcome, join
from crypto.group_state import parse_state
from crypto.sender_chains import ChainHandOut, SenderChains, accept_hand_out

from .answers import answer_ask
from .bodies import AskBody, ChainBody, CommitBody, Lacks, SecretsBody, WelcomeBody, decode
from .following import apply_entries, learn
from .joined import may_welcome, tell_joined
from .kept_back import note_told
from .member_tokens import take_first_token
from .opening import release_group
from .returning import is_named

_Take = Callable[[Transaction, Batch, Parked], None]


def _welcome(tx: Transaction, batch: Batch, told: Parked) -> None:
    body = decode(told.body, WelcomeBody)
    hand_out = EpochHandOut.parse(body.hand_out)
    group_id = hand_out.group_id
    row = find_group(tx, group_id)
    if not may_welcome(tx, batch.account, group_id, told.account_id, row):
        park(tx, group_id, told, batch.now_ms)
        return
    if not takes_whole(tx, row, told.account_id):
        if row is not None and not hand_out.step:
            _learn(tx, batch, row, told, (hand_out,))
        if waits_for_log(tx, row, told.account_id):
            park(tx, group_id, told, batch.now_ms)
        return
    if body.blob is not None:
        # Too large for an envelope: the care fetches it, and comes back with the whole.
        park(tx, group_id, told, batch.now_ms)
        batch.errands = True
        return
    welcome = Welcome(hand_out, body.next_entry, parse_state(body.state))
    take_welcome(tx, batch, told, welcome, body.read_token)


def takes_whole(tx: Transaction, row: GroupRow | None, welcomer: bytes) -> bool:
    """Whether more than its secret is taken of a welcome: this device is not in the group, or fell behind; or came back by
    one by which the relay does not open the log. Who gave that may be out of the group, or tell of one that there is not.
    """
    if row is None or row.status in (Status.OUT, Status.BEHIND):
        return True
    back = find_return(tx, row.group_id)
    return back is not None and back.refused and is_named(tx, row.group_id, welcomer)


def waits_for_log(tx: Transaction, row: GroupRow | None, welcomer: bytes) -> bool:
    """Whether a welcome is kept until the relay was asked for the log by the one that was taken, which is not known yet."""
    if row is None or row.status is not Status.MEMBER or not is_named(tx, row.group_id, welcomer):
        return False
    back = find_return(tx, row.group_id)
    return back is not None and not back.refused


def take_welcome(tx: Transaction, batch: Batch, told: Parked, welcome: Welcome, read_token: bytes) -> None:
    """This account is in the group from here on. Raises InvalidEncoding, NotEntitled."""
    state = welcome.state
    before = find_group(tx, state.group_id)
    is_behind = before is not None and before.status is Status.BEHIND
    if before is not None and is_behind and not _may_bring_up(before, told.account_id, state.index):
        raise NotEntitled("a welcome from somebody who may not give one, or to an older state")
    is_again = before is not None and before.status is Status.MEMBER
    save_view(tx, join(welcome, batch.account.account_id), status=Status.MEMBER)
    note_read_token(tx, state.group_id, read_token)
    note_cut(tx, state.group_id, batch.now_ms, is_own=False)
    note_list_told(tx, state.group_id, batch.account.own.version)
    make_due(tx, state.group_id)
    forget_join(tx, state.group_id)
    if find_return(tx, state.group_id) is not None:
        # Nothing is sent before the relay has opened the log by this welcome: only then is it of the group as it is now.
        note_missing(tx, state.group_id, batch.now_ms)
        note_refused(tx, state.group_id, False)
    if not is_again:
        tell_joined(tx, batch.account, told.account_id, state, batch.now_ms)
    for parked in take_parked(tx, state.group_id, but=ContentType.GROUP_WELCOME):
        _TAKE[parked.content_type](tx, batch, parked)
    release_group(tx, batch, state.group_id)
    batch.errands = True


def _may_bring_up(row: GroupRow, account_id: bytes, index: int) -> bool:
    """Whether this account may say where the group stands, past what can be read of the log."""
    member = row.view.state.by_account.get(account_id)
    return member is not None and member.may_commit and index >= row.view.state.index


def _secrets(tx: Transaction, batch: Batch, told: Parked) -> None:
    given = tuple(map(EpochHandOut.parse, decode(told.body, SecretsBody).hand_outs))
    if len({one.group_id for one in given}) > 1:
        raise InvalidEncoding("secrets of several groups in one hand-out")
    row = find_group(tx, given[0].group_id)
    if row is None:
        park(tx, given[0].group_id, told, batch.now_ms)
    else:
        _learn(tx, batch, row, told, given)


def _learn(
    tx: Transaction, batch: Batch, row: GroupRow, told: Parked, given: tuple[EpochHandOut, ...]
) -> None:
    """Secrets are good only for the cuts whose commitments they open; those of strangers are not even kept waiting."""
    is_known = told.account_id in row.view.state.by_account
    note_told(tx, row, told.account_id, given, batch.now_ms)
    if is_known and learn(tx, row.group_id, given, batch.now_ms):
        release_group(tx, batch, row.group_id)
        batch.drafted = True  # what waited for the secret goes out
    make_due(tx, row.group_id)
    batch.errands = True


def _chain(tx: Transaction, batch: Batch, told: Parked) -> None:
    body = decode(told.body, ChainBody)
    given = ChainHandOut.parse(body.hand_out)
    row = find_group(tx, given.group_id)
    if row is None:
        park(tx, given.group_id, told, batch.now_ms)
        return
    if told.account_id not in row.view.state.by_account:
        # Perhaps it came in by a commit that was not read yet: whether it may speak is judged with each message.
        make_due(tx, given.group_id)
        batch.errands = True
    elif told.account_id != batch.account.account_id:
        take_first_token(tx, given.group_id, told.account_id, body.token)
    sender = find_sender(tx, given.group_id, told.device_id) or SenderChains(told.account_id, told.device_id)
    try:
        after = accept_hand_out(sender, given)
    except CopiedState:
        warn_of_copy(tx, told.account_id)
        raise
    if after is not sender:
        save_sender(tx, given.group_id, after)
        release_group(tx, batch, given.group_id, chain_id=given.chain_id)


def _ask(tx: Transaction, batch: Batch, told: Parked) -> None:
    ask = decode(told.body, AskBody)
    if ask.lacks == Lacks.NOTHING:
        _told_out(tx, batch, told.account_id, ask.group_id)
    else:
        answer_ask(tx, batch, told.account_id, ask)


def _told_out(tx: Transaction, batch: Batch, author: bytes, group_id: bytes) -> None:
    """Kept until the log is read, as an entry that takes this account out is; an entry says more."""
    row = find_group(tx, group_id)
    if row is None or not may_take_out(row.view.state, author, batch.account.account_id):
        return
    if told_entry(tx, group_id) is None:
        note_told_entry(tx, group_id, row.view.next_entry, author, b"")
    make_due(tx, group_id)
    batch.errands = True


def _commit(tx: Transaction, batch: Batch, told: Parked) -> None:
    body = decode(told.body, CommitBody)
    row = find_group(tx, body.group_id)
    if row is None or body.index < row.view.next_entry:
        return
    if body.entry and body.index == row.view.next_entry:
        apply_entries(tx, body.group_id, [(body.index, body.entry)], batch.system)
    elif body.entry and may_take_out(row.view.state, told.account_id, batch.account.account_id):
        # If it takes this account out, the log tells no more what came before it. Who may not do that writes over nothing.
        note_told_entry(tx, body.group_id, body.index, told.account_id, body.entry)
    make_due(tx, body.group_id)
    batch.errands = True


_TAKE: Final[Mapping[int, _Take]] = {
    ContentType.GROUP_WELCOME: _welcome,
    ContentType.GROUP_SECRETS: _secrets,
    ContentType.GROUP_CHAIN: _chain,
    ContentType.GROUP_ASK: _ask,
    ContentType.GROUP_COMMIT: _commit,
}


def take_told(incoming: Incoming) -> None:
    """What came in a session about a group. Raises InvalidEncoding, and what else makes nothing of it stay."""
    told = Parked(incoming.account_id, incoming.device_id, incoming.content.type, incoming.body)
    _TAKE[told.content_type](incoming.tx, incoming.batch, told)
