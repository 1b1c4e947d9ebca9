"""What the relay asks of whoever submits, as its signed document says; kept, and asked for again when it refuses."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relay.wire.frames import Notice, NoticeKind, RelayFrame
from relay.wire.limits import MAX_PUBLIC_WORK_BITS
from relay.wire.resources import RelayDocument

from .account import Account
from .message import Warned
from .store import facts, notices
from .store.database import Database, Transaction
from .transport import Transport

_SENDERS_SEEN: Final = "the relay takes no anonymous messages any more: from now on it sees who sends to whom"


@dataclass(frozen=True, slots=True)
class RelayTerms:
    """Whether submits come anonymously, and how many zero bits the work for a public token has.

    Until the relay was asked: anonymous, and none.
    """

    anonymous_submit: bool = True
    public_work_bits: int = 0


def find_terms(tx: Transaction) -> RelayTerms:
    """What the relay said last."""
    return RelayTerms(
        anonymous_submit=not facts.number(tx, facts.SIGNED_SUBMIT),
        public_work_bits=facts.number(tx, facts.PUBLIC_WORK_BITS),
    )


def keep_terms(tx: Transaction, document: RelayDocument) -> RelayTerms:
    """Remember what the document says, as far as this client goes along with it."""
    bits = document.limits.get("public_work_bits", 0)
    facts.set_number(tx, facts.SIGNED_SUBMIT, int(not document.anonymous_submit))
    facts.set_number(tx, facts.PUBLIC_WORK_BITS, bits if is_bearable(bits) else 0)
    return find_terms(tx)


def is_bearable(bits: int) -> bool:
    """Whether a client looks for work of so many zero bits; else it brings none, and the relay refuses or does not."""
    return 0 <= bits <= MAX_PUBLIC_WORK_BITS


def tell_of_other_terms(frames: Iterable[RelayFrame]) -> bool:
    """Whether the relay says that its limits have changed."""
    return any(isinstance(one, Notice) and one.kind is NoticeKind.LIMITS_CHANGED for one in frames)


async def ask_terms(transport: Transport, database: Database, account: Account) -> RelayTerms:
    """Ask the relay; its users are told when it wants to see from now on who sends.

    Raises RelayUnreachable, Refused, RelayMisbehaved, RelayKeyChanged.
    """
    document = await transport.relay_document(account.relay_key)
    return await database.run(lambda tx: _renew_terms(tx, document))


def _renew_terms(tx: Transaction, document: RelayDocument) -> RelayTerms:
    before = find_terms(tx)
    terms = keep_terms(tx, document)
    if before.anonymous_submit and not terms.anonymous_submit:
        notices.tell(tx, Warned("senders_seen", _SENDERS_SEEN))
    return terms
