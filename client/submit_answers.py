"""What the relay's answers to submits mean for what is kept. Functions of a Transaction.

docs/protocol.md, "Delivery".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.wire.frames import Grant, Outcome
from relay.wire.links import encode_id

from .connection import refusal as refusal_of
from .devices.copies import tell_refusal
from .errors import ClientError, NotSent, Refused
from .groups.sending import group_recipient
from .groups.submits import Addressing, heed_outcomes
from .message import State
from .store import history, queue
from .store.database import Transaction
from .store.peers import PUBLIC, find_peer, mark_stale
from .system import System

_WORDS: Final = {
    "work_required": "the relay wants more work for a first message by handle than it says, or than any relay may ask"
    " for: ask for a contact link, which needs none",
}
"""For refusals whose code alone helps nobody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one row: outcomes in the order of its envelopes, or the error of a submit refused as a whole."""

    row: queue.Outgoing
    outcomes: tuple[Outcome, ...]
    behind: tuple[bytes, ...] = ()
    """Accounts whose device list is newer than the one that was written to."""
    error: Refused | None = None
    addressing: Addressing | None = None
    """Of a group's envelope: whom the outcomes are about."""


@dataclass(slots=True)
class Filed:
    """What became of messages (by number). `full`: (message, error) of what stays and is tried again."""

    accepted: list[int] = field(default_factory=list)
    refused: list[tuple[int, ClientError]] = field(default_factory=list)
    full: list[tuple[int, ClientError]] = field(default_factory=list)
    redrafted: bool = False


def grant_for(tx: Transaction, account_id: bytes) -> Grant:
    """The right to write to this account, as far as it is known here."""
    peer = find_peer(tx, account_id)
    if peer is None or peer.token is None:
        return Grant(account_id, b"", 0)
    return Grant(account_id, peer.token, 0 if peer.chain is None else peer.chain.version)


def needs_work(tx: Transaction, account_id: bytes) -> bool:
    """Whether that right is a token of class `public`."""
    peer = find_peer(tx, account_id)
    return peer is not None and peer.token_class == PUBLIC


def draft_anew(tx: Transaction, expired: Sequence[queue.Outgoing]) -> set[int]:
    """Encrypt these again, under other ids: after 7 days the relay may have forgotten the old ones.

    What comes after them for the same account goes with them, to keep the order. The numbers of all rows taken out.
    """
    taken = set()
    taken |= _group_anew(tx, [row for row in expired if row.group is not None])
    for account_id in {row.account_id for row in expired if row.group is None}:
        first = min(row.n for row in expired if row.account_id == account_id)
        for row in queue.outgoing_from(tx, account_id, first):
            _draft_again(tx, row, row.except_devices)
            taken.add(row.n)
    queue.remove_outgoing(tx, taken)
    return taken


def _group_anew(tx: Transaction, expired: Sequence[queue.Outgoing]) -> set[int]:
    """A group's message that nobody has goes out again under a new chain; who lacked it for so long has a gap, as all may."""
    again = set()
    for row in expired:
        message = history.find(tx, row.message_n)
        if message is not None and message.state is not State.ACCEPTED:
            again.add((row.message_n, row.account_id, row.content))
    for message_n, group_id, content in sorted(again):
        queue.add_draft(tx, message_n, group_recipient(group_id), group_id, content=content, is_group=True)
    return {row.n for row in expired}


def file_answers(tx: Transaction, answers: Sequence[Answer], system: System) -> Filed:
    """File answers in one transaction."""
    filed = Filed()
    for answer in answers:
        _file_one(tx, answer, filed, system)
    return filed


def _file_one(tx: Transaction, answer: Answer, filed: Filed, system: System) -> None:
    row, outcomes = answer.row, answer.outcomes
    if row.group is not None:
        _file_group(tx, answer, row.group, filed)
        return
    for outcome in (Outcome.MAILBOX_FULL, Outcome.BUDGET_SPENT):
        if outcome in outcomes:
            # The row stays whole: for those that have it, the same bytes again get the same answer.
            queue.keep_stuck(tx, row.n)
            filed.full.append((row.message_n, refusal_of(outcome.name.lower())))
            return
    queue.remove_outgoing(tx, [row.n])
    is_taken = Outcome.STORED in outcomes
    if is_taken:
        history.set_state(tx, [row.message_n], State.ACCEPTED)
    if answer.behind or Outcome.UNKNOWN_DEVICE in outcomes:
        # Devices came or went: fetch the list, then the message goes to those it did not go to.
        mark_stale(tx, row.account_id)
        _draft_again(tx, row, [*row.except_devices, *(one.device_id for one in row.envelopes)])
        filed.redrafted = True
    elif not is_taken:
        code = answer.error.reason if answer.error is not None else outcomes[0].name.lower()
        history.set_state(tx, [row.message_n], State.REFUSED, code)
        filed.redrafted |= tell_refusal(tx, row.message_n, row.account_id, row.content, code, system)
        why = _WORDS.get(code, "the relay does not take it for this recipient")
        filed.refused.append((row.message_n, NotSent(f"{why} ({code})")))
    if is_taken and not queue.is_waiting(tx, row.message_n):
        filed.accepted.append(row.message_n)


def _file_group(tx: Transaction, answer: Answer, envelope: queue.GroupEnvelope, filed: Filed) -> None:
    """Who has it is done; who could not get it now keeps the row for later, and holds nobody up."""
    row, number, sent = answer.row, answer.row.message_n, answer.addressing
    refusal = None if answer.error is None else answer.error.reason
    left: tuple[queue.Addressed, ...] = ()
    if sent is not None and answer.error is None:
        rest = heed_outcomes(tx, row.account_id, sent, answer.outcomes, answer.behind)
        left, refusal = rest.targets, rest.refusal
        if rest.is_taken or not (rest.targets or rest.refusal):
            history.set_state(tx, [number], State.ACCEPTED)
    if left:
        queue.keep_stuck(tx, row.n, queue.GroupEnvelope(envelope.ciphertext, left))
    else:
        queue.remove_outgoing(tx, [row.n])
    message = history.find(tx, number)
    if queue.is_waiting(tx, number) or message is None:
        return
    if message.state is State.ACCEPTED:
        filed.accepted.append(number)
    elif left:
        filed.full.append((number, refusal_of(refusal or "mailbox_full")))
    else:
        history.set_state(tx, [number], State.REFUSED, refusal)
        filed.refused.append((number, NotSent(f"the relay takes it for nobody in the group ({refusal})")))


def _draft_again(tx: Transaction, row: queue.Outgoing, except_devices: Sequence[bytes]) -> None:
    queue.add_draft(
        tx,
        row.message_n,
        encode_id(row.account_id),
        row.account_id,
        content=row.content,
        except_devices=except_devices,
        only_devices=row.only_devices,
    )
