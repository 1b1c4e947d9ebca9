"""Contacts, requests and who was cut off: what the user sees of other accounts, and decides about them.

Functions of a Transaction; what they put on its way is sent by the outbox and by TokenCare. docs/protocol.md, "Contact requests".
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from relay.wire.links import encode_id

from .account import Account
from .contact_tokens import tell_contact_token
from .contents import OF_GROUPS, ContentType
from .errors import UsageError
from .message import State
from .store import facts, history, queue, token_changes
from .store.contact_rows import accept_peer, block_peer, dropped_of, shown_peers, unblock_peer
from .store.database import Transaction
from .store.peers import CONTACT, LINK, PUBLIC, Peer, find_peer
from .system import System

_GROUP_BUSINESS: Final = OF_GROUPS - {ContentType.GROUP_INVITATION}
"""By these the members of a group keep it going."""


class Standing(StrEnum):
    """What somebody is to the user."""

    ACCEPTED = "accepted"  # the user wrote to them, or accepted their request
    REQUEST = "request"  # they wrote; the user has not answered
    BLOCKED = "blocked"  # nothing of theirs is shown


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody else. `dropped`: how many of their messages came since they were blocked, and were not shown."""

    account: str
    name: str
    handle: str | None
    """What the relay's directory said, when the user looked them up."""
    standing: Standing
    dropped: int = 0

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "contact",
            "account": self.account,
            "name": self.name,
            "handle": self.handle,
            "standing": self.standing.value,
            "dropped": self.dropped,
        }


def is_request(peer: Peer | None) -> bool:
    """Whether what they wrote is shown as a contact request."""
    return peer is not None and not peer.accepted and not peer.blocked


def is_cut_off(peer: Peer | None, content_type: int, *, in_group: bool) -> bool:
    """Whether a content of theirs is dropped, also of what they say in a group (`in_group`).

    What a group lives by goes on, or one member could hold it up for another; and who may tidy up there still does.
    """
    if peer is None or not peer.blocked:
        return False
    return content_type not in _GROUP_BUSINESS and not (in_group and content_type == ContentType.DELETE)


def list_contacts(tx: Transaction, account: Account) -> list[Contact]:
    """Everybody whom the user decided about or has to."""
    return [_shown(tx, peer) for peer in shown_peers(tx, account.account_id)]


def accept(tx: Transaction, account: Account, account_id: bytes, system: System) -> Contact:
    """They may write from now on, and are told how. Raises UsageError for somebody who is blocked."""
    peer = find_peer(tx, account_id)
    if peer is not None and peer.blocked:
        raise UsageError(f"{peer.name} is blocked: unblock first")
    is_new = peer is None or not peer.accepted
    accept_peer(tx, account_id)
    token = facts.known_token(tx, CONTACT)
    if is_new and token is not None and peer is not None and peer.token is not None:
        tell_contact_token(tx, account, [account_id], token, system)
    return _contact(tx, account_id)


def block(tx: Transaction, account_id: bytes, system: System, *, new_links: bool) -> Contact:
    """Show nothing of theirs any more, and begin to change the tokens that they may have."""
    peer = find_peer(tx, account_id)
    if peer is None or not peer.blocked:
        block_peer(tx, account_id)
        _withdraw(tx, account_id)
        if peer is not None and peer.last_sent_at_ms:
            # Else nothing was ever sent to them: they have no contact token, and nobody else need be bothered.
            token_changes.begin_change(tx, CONTACT, system.random)
    if new_links:
        for token_class in (LINK, PUBLIC):
            if facts.known_token(tx, token_class) is not None:
                token_changes.begin_change(tx, token_class, system.random)
    return _contact(tx, account_id)


def unblock(tx: Transaction, account_id: bytes) -> Contact:
    """They may ask again; they have no token to write by until the user accepts or writes."""
    unblock_peer(tx, account_id)
    return _contact(tx, account_id)


def _withdraw(tx: Transaction, account_id: bytes) -> None:
    """What the user wrote to them and the relay does not have will not go out."""
    numbers = queue.withdraw(tx, account_id)
    history.set_state(tx, [n for n in numbers if not queue.is_waiting(tx, n)], State.REFUSED, "blocked")


def _contact(tx: Transaction, account_id: bytes) -> Contact:
    peer = find_peer(tx, account_id)
    if peer is None:
        raise RuntimeError("the row was just written")
    return _shown(tx, peer)


def _shown(tx: Transaction, peer: Peer) -> Contact:
    standing = Standing.ACCEPTED if peer.accepted else Standing.REQUEST
    return Contact(
        encode_id(peer.account_id),
        peer.name,
        peer.handle,
        Standing.BLOCKED if peer.blocked else standing,
        dropped_of(tx, peer.account_id),
    )
