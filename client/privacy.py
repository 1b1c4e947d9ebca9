"""What this client tells others by itself, as far as the user lets it: receipts, typing, presence."""

from dataclasses import dataclass
from typing import Final

from .store import facts
from .store.database import Transaction
from .store.peers import Peer, find_peer

_OFF: Final = {"receipts": "no_receipts", "typing": "no_typing", "presence": "no_presence"}


@dataclass(frozen=True, slots=True)
class Privacy:
    """Each may be told to contacts that the user has written to; to nobody else, whatever is set here."""

    receipts: bool = True
    typing: bool = True
    presence: bool = True


def find_privacy(tx: Transaction) -> Privacy:
    """What the user has set."""
    return Privacy(**{name: not facts.number(tx, fact) for name, fact in _OFF.items()})


def keep_privacy(tx: Transaction, privacy: Privacy) -> None:
    """From now on so."""
    for name, fact in _OFF.items():
        facts.set_number(tx, fact, int(not getattr(privacy, name)))


def accepted_contact(tx: Transaction, account_id: bytes) -> Peer | None:
    """This account, if the user has written to it, and something here reaches it; nobody else is told anything unasked."""
    peer = find_peer(tx, account_id)
    if peer is None or not peer.accepted or peer.token is None or peer.forked:
        return None
    return peer
