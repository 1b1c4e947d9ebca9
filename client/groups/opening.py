"""Opens a group's envelope (kind 3), or holds it until what opens it has come. docs/protocol.md, "Groups", "Messages"."""

from collections.abc import Iterable
from itertools import chain

from client.mailbox_batch import Batch, HeldForLater, Opened, Released, warn
from client.store.database import Transaction
from client.store.group_held import forget_held, held_for, hold
from client.store.group_senders import find_sender, save_sender
from client.store.groups import Status, all_epochs, earlier_epochs, find_group, group_ids, make_due
from client.store.peers import find_peer
from crypto.errors import ChainMissing, NotEntitled, UnknownDevice
from crypto.sender_keys import OpenedGroupHeader, decrypt, find_header

READ_AGAIN_MS = 10_000  # what nothing opens makes a log be read again, but no more often


def open_group_envelope(tx: Transaction, batch: Batch, released: Released) -> Opened:
    """The content of a group's envelope, and who proved to have sent it.

    Raises HeldForLater for what waits here now, and CryptoError: NotEntitled or UnknownDevice for a sender who is out (B5),
    Replayed (B8). What was held until now is not any more, if it opened or is refused.
    """
    try:
        opened = _open(tx, batch, released)
    except HeldForLater:
        raise
    except Exception:
        forget_held(tx, released.envelope)
        raise
    forget_held(tx, released.envelope)
    return opened


def _open(tx: Transaction, batch: Batch, released: Released) -> Opened:
    envelope = released.envelope
    header = find_header(chain(all_epochs(tx), earlier_epochs(tx)), envelope)
    if header is None:
        # A cut or step that was not read yet, or a group whose welcome is under way.
        for group_id in group_ids(tx):
            _read_soon(tx, batch, group_id)
        raise _held(tx, batch, released, None)
    group_id = header.keys.group_id
    sender = find_sender(tx, group_id, header.header.device)
    row = find_group(tx, group_id)
    if sender is None or row is None:
        raise _held(tx, batch, released, header)
    peer = find_peer(tx, sender.account)
    try:
        if peer is None or peer.chain is None:
            raise UnknownDevice("the sender's device list is not known")
        after, plaintext = decrypt(sender, header, envelope, row.view.state, peer.chain, batch.now_ms)
    except ChainMissing:
        raise _held(tx, batch, released, header) from None
    except (NotEntitled, UnknownDevice):
        # Perhaps it came in, or got this device, by what was not read yet.
        if row.status is Status.MEMBER and group_id not in batch.current_groups:
            _read_soon(tx, batch, group_id)
            raise _held(tx, batch, released, header, for_log=True) from None
        raise
    save_sender(tx, group_id, after)
    return Opened((sender.account, sender.device), plaintext, group_id, in_group=True)


def _read_soon(tx: Transaction, batch: Batch, group_id: bytes) -> None:
    row = find_group(tx, group_id)
    if row is not None and row.status is Status.MEMBER:
        make_due(tx, group_id, max(batch.now_ms, row.read_at_ms + READ_AGAIN_MS) if row.read_at_ms else 0)
        batch.errands = True


def _held(
    tx: Transaction,
    batch: Batch,
    released: Released,
    header: OpenedGroupHeader | None,
    *,
    for_log: bool = False,
) -> HeldForLater:
    dropped = hold(
        tx,
        released.envelope,
        group_id=None if header is None else header.keys.group_id,
        device_id=None if header is None else header.header.device,
        chain_id=None if header is None or for_log else header.header.chain_id,
        received_at_ms=released.received_at_ms,
        now_ms=batch.now_ms,
    )
    if dropped:
        tell_dropped(tx, dropped, batch.account.account_id)
    return HeldForLater()


def tell_dropped(tx: Transaction, count: int, account_id: bytes) -> None:
    """Envelopes were given up, for want of room or time."""
    warn(
        tx,
        "held_dropped",
        f"{count} messages to a group were given up: what opens them never came",
        account_id,
    )


def release(batch: Batch, envelopes: Iterable[tuple[bytes, int]]) -> None:
    """Try these again in this transaction."""
    batch.released.extend(Released(*one) for one in envelopes)


def release_group(tx: Transaction, batch: Batch, group_id: bytes, *, chain_id: bytes | None = None) -> None:
    """A secret, or this chain, has come."""
    release(batch, held_for(tx, group_id, chain_id=chain_id))
