"""What was done to a kept message, and what it answers, as the application gets to see it. Functions of a Transaction."""

from dataclasses import dataclass

from relay.wire.links import encode_id

from .account import Account
from .acts import facts_of
from .contents import Reference
from .message_acts import Edit, Mark, MessageName, Reaction
from .store import acts, history
from .store.database import Transaction
from .store.history import MessageRow
from .store.peers import name_of


@dataclass(frozen=True, slots=True)
class ShownActs:
    """The newest text, if it was edited, and the fields of a Message that acts fill."""

    text: str | None = None
    edits: tuple[Edit, ...] = ()
    edited_at_ms: int | None = None
    reactions: tuple[Reaction, ...] = ()
    delivered_to: tuple[Mark, ...] = ()
    read_by: tuple[Mark, ...] = ()
    read_at_ms: int | None = None


def acts_on(tx: Transaction, account: Account, row: MessageRow, text: str | None) -> ShownActs:
    """What was done to this message, whose first text was `text`."""
    if not row.acted:
        return ShownActs(text)
    forms = [] if text is None else [Edit(text, row.sent_at_ms)]
    forms += [Edit(later, at_ms) for later, at_ms in acts.edits(tx, row.n)]
    receipts = acts.receipts(tx, row.n)
    others = [receipt for receipt in receipts if receipt[0] != account.account_id]
    return ShownActs(
        text=forms[-1].text if forms else None,
        edits=tuple(forms[:-1]),
        edited_at_ms=forms[-1].at_ms if len(forms) > 1 else None,
        reactions=tuple(
            Reaction(encode_id(one), name_of(tx, one), emoji, at_ms)
            for one, emoji, at_ms in acts.reactions(tx, row.n)
        ),
        delivered_to=_marks(tx, [(other, delivered) for other, delivered, _ in others]),
        read_by=_marks(tx, [(other, read) for other, _, read in others]),
        read_at_ms=next((read for own, _, read in receipts if own == account.account_id), None),
    )


def _marks(tx: Transaction, receipts: list[tuple[bytes, int | None]]) -> tuple[Mark, ...]:
    return tuple(
        Mark(encode_id(account), name_of(tx, account), at_ms)
        for account, at_ms in receipts
        if at_ms is not None
    )


def answered(tx: Transaction, row: MessageRow, answers: Reference | None) -> MessageName | None:
    """The message that this one answers; None also if what is here under that id is not what its author meant."""
    if answers is None:
        return None
    target = history.find_by_id(tx, answers.account, answers.message_id)
    if target is not None:
        facts = facts_of(target)
        if facts is None or target.conversation_id != row.conversation_id:
            return None
        if facts.reference() != answers.reference:
            return None
    return MessageName(encode_id(answers.account), encode_id(answers.message_id))
