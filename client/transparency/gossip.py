"""What goes to contacts inside contents, and what comes from them: the manifests on both sides, and the log's head.

docs/protocol.md, "Transparency".
"""

from typing import Final

from client.account import Account
from client.mailbox_batch import Batch
from client.store import gossip_rows
from client.store.database import Transaction
from client.store.gossip_rows import Claim
from client.store.peers import Peer, find_peer
from crypto.errors import InvalidEncoding
from crypto.limits import DAY_MS
from crypto.manifest_chain import VerifiedManifest
from crypto.transparency import Gossip

from .claims import hear_claim
from .known_log import hear_head, present_head

EVERY_MS: Final = DAY_MS
_MAX_VERSION: Final = 2**53


def due_gossip(tx: Transaction, account: Account, peer: Peer, chain: VerifiedManifest, now_ms: int) -> bytes:
    """What the next content to this account carries: nothing, unless a manifest changed or a day has passed."""
    manifests = Gossip(account.own.version, account.own.hash, chain.version, chain.hash, None).encode()
    told, at_ms = gossip_rows.told(tx, peer.account_id)
    if told == manifests and at_ms <= now_ms < at_ms + EVERY_MS:
        return b""
    gossip_rows.note_told(tx, peer.account_id, manifests, now_ms)
    head = present_head(tx)
    return manifests + (b"" if head is None else head.encode())


def hear_gossip(tx: Transaction, batch: Batch, account_id: bytes, gossip: bytes) -> None:
    """Compare what a contact tells with what is known here. Raises InvalidEncoding; strangers are not listened to."""
    heard = Gossip.parse(gossip)
    if max(heard.own_version, heard.their_version) >= _MAX_VERSION:
        raise InvalidEncoding("gossip of an impossible version")
    peer = find_peer(tx, account_id)
    if peer is None or not peer.accepted or peer.chain is None:
        return
    account = batch.account
    theirs = Claim(account_id, heard.own_version, heard.own_hash, account_id)
    mine = Claim(account.account_id, heard.their_version, heard.their_hash, account_id)
    look = hear_claim(tx, account, peer.chain, theirs, batch.now_ms)
    look |= hear_claim(tx, account, account.own, mine, batch.now_ms)
    if heard.head is not None:
        look |= hear_head(tx, account, heard.head, account_id, batch.now_ms)
    batch.look_at_log |= look
