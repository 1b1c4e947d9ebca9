"""What a member's device that lacks something gets from this one: secrets, this device's chain, a welcome; or a fresh cut.

Answers go to members of the audience only, in their sessions (B6), and to each of them no more often than once a minute.
"""

from typing import Final

from client.contents import ContentType
from client.mailbox_batch import Batch
from client.signals import draft_signal
from client.store.database import Transaction
from client.store.group_added import withheld
from client.store.group_sending import sending_chain
from client.store.group_tokens import note_gone
from client.store.group_wants import add_wants, wants
from client.store.groups import GroupRow, Status, find_group, make_due
from client.store.peers import mark_stale
from crypto.errors import NotEntitled
from crypto.group_rights import Right
from crypto.limits import EPOCH_SECRET_WAIT_MS

from .bodies import AskBody, Lacks, encode
from .following import has_secret
from .hand_outs import draft_chain, draft_secrets, welcome_soon
from .member_tokens import take_first_token, tell_tokens

ANSWER_EVERY_MS: Final = 60_000  # to one account for one kind of question
_JITTER_MS: Final = 30_000


def answer_ask(tx: Transaction, batch: Batch, account_id: bytes, ask: AskBody) -> None:
    """Answer a member. Raises NotEntitled for who is not in the audience as far as is known here."""
    row = find_group(tx, ask.group_id)
    if row is None or row.status is not Status.MEMBER:
        return
    if account_id not in row.view.state.by_account and ask.lacks in (Lacks.SECRETS, Lacks.WELCOME):
        _tell_out(tx, batch, row, account_id, ask)
        return
    row.view.state.require_right(account_id, Right.HEAR)
    if account_id in withheld(tx, ask.group_id):
        raise NotEntitled("the member was added by a device that had left its account")
    if not _may_answer(tx, batch, account_id, ask):
        return
    match ask.lacks:
        case Lacks.SECRETS:
            _give_secrets(tx, batch, row, account_id, ask.epoch)
        case Lacks.CHAIN:
            chain = sending_chain(tx, ask.group_id)
            if chain is not None and chain.opening.chain_id == ask.chain_id:
                draft_chain(tx, batch.account, [account_id], chain, batch.system)
                batch.drafted = True
        case Lacks.LIST:
            mark_stale(tx, account_id)
            make_due(tx, ask.group_id)
            batch.errands = True
        case Lacks.WELCOME if has_secret(row.view):
            # It may have come back with a newer list of devices: who may commit has the log say so, and cuts if one is out.
            make_due(tx, ask.group_id)
            welcome_soon(tx, batch.account, row, [account_id], batch.system)
            tell_tokens(tx, batch.account, row.view.state, [account_id], batch.system)
            batch.drafted = batch.errands = True


def _tell_out(tx: Transaction, batch: Batch, row: GroupRow, account_id: bytes, ask: AskBody) -> None:
    """Who asks is not in the group any more, and did not hear of it: only the word of who may take it out counts there."""
    mine = row.view.state.by_account.get(batch.account.account_id)
    if mine is None or not mine.rights & (Right.REMOVE | Right.BAN):
        raise NotEntitled("who asks is not in the group")
    if not _may_answer(tx, batch, account_id, ask):
        return
    take_first_token(tx, row.group_id, account_id, ask.token)
    body = encode(AskBody(row.group_id, Lacks.NOTHING))
    draft_signal(tx, batch.account, [account_id], ContentType.GROUP_ASK, body, batch.system)
    note_gone(tx, row.group_id, [account_id])  # the token goes when that is with the relay
    batch.drafted = True


def _may_answer(tx: Transaction, batch: Batch, account_id: bytes, ask: AskBody) -> bool:
    place = ask.group_id, account_id, ask.lacks
    last = tx.one(
        "SELECT at_ms FROM group_answers WHERE group_id = ? AND account_id = ? AND lacks = ?", *place
    )
    if last is not None and last[0] <= batch.now_ms < last[0] + ANSWER_EVERY_MS:
        return False
    tx.run(
        "INSERT INTO group_answers (group_id, account_id, lacks, at_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (group_id, account_id, lacks) DO UPDATE SET at_ms = excluded.at_ms",
        *place,
        batch.now_ms,
    )
    return True


def _give_secrets(tx: Transaction, batch: Batch, row: GroupRow, account_id: bytes, epoch: int) -> None:
    """The secrets from that epoch on; and if the committer of the present one seems to be gone, a cut that reaches all."""
    if draft_secrets(tx, batch.account, row.view, [account_id], batch.system, since_epoch=epoch):
        batch.drafted = True
    state, now_ms = row.view.state, batch.now_ms
    is_late = now_ms - row.cut_read_at_ms >= EPOCH_SECRET_WAIT_MS
    mine = state.by_account.get(batch.account.account_id)
    if mine is None or not mine.may_commit or row.cut_is_own or not is_late or not has_secret(row.view):
        return
    if all(want.change is not None for want in wants(tx, row.group_id)):
        wait_ms = int.from_bytes(batch.system.random(4), "big") % _JITTER_MS
        add_wants(tx, row.group_id, [None], now_ms + wait_ms)
        make_due(tx, row.group_id, now_ms + wait_ms)
        batch.errands = True
