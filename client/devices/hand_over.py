"""Gives an own device that just joined all that this one knows: when it asks, or as soon as it says that it is ready.

Its manager answers; if that one is gone, the first of those that are left. What is given is what is shared anyway, so
giving it twice changes nothing.
"""

from typing import Final

from client.account import Account, load_account
from client.archive.choice import without_claims
from client.archive.keys import give_due_history
from client.incoming import Incoming
from client.store import facts
from client.store.database import Transaction
from client.store.link_rows import handed_over_at_ms, note_hand_over
from client.system import System
from client.transparency.backups import hear_own_backup
from crypto.errors import InvalidEncoding

from .shared_items import apply_items, decode_items, everything, tell_all

_JUST_NOW_MS: Final = 600_000
"""A device that was given all so shortly ago and asks has asked before it came."""


def take_shared_items(incoming: Incoming) -> None:
    """Handle the content: only own devices share. Raises InvalidEncoding."""
    body = decode_items(incoming.body)
    if not incoming.is_own:
        raise InvalidEncoding("only own devices share items")
    tx, batch = incoming.tx, incoming.batch
    items = without_claims(tx, load_account(tx), body.items, incoming.device_id)
    apply_items(tx, items, batch.now_ms)
    hear_own_backup(tx, load_account(tx), batch.now_ms)
    if body.is_all:
        facts.set_number(tx, facts.HANDED_OVER, 1)
    if body.asks and _answers(tx, load_account(tx), incoming.device_id, batch.now_ms):
        hand_over(tx, incoming.device_id, batch.system)
        batch.drafted = True


def hand_over(tx: Transaction, device_id: bytes, system: System) -> None:
    """Draft all that is known for the own other devices, of which this one has nothing yet."""
    tell_all(tx, everything(tx, system), system)
    note_hand_over(tx, device_id, system.now_ms())
    give_due_history(tx, device_id, system)


def _answers(tx: Transaction, account: Account, device_id: bytes, now_ms: int) -> bool:
    """Whether it is on this device to answer the one that asks."""
    given_at_ms = handed_over_at_ms(tx, device_id)
    if given_at_ms is not None and given_at_ms <= now_ms < given_at_ms + _JUST_NOW_MS:
        return False
    listed = {entry.device_id: entry for entry in account.own.manifest.devices}
    added_by = next(
        signed.signer
        for signed in account.own.chain
        if any(entry.device_id == device_id for entry in signed.manifest.devices)
    )
    if added_by not in listed:
        managers = [one for one, entry in listed.items() if entry.manager and one != device_id]
        added_by = min(managers, default=min(listed.keys() - {device_id}, default=b""))
    return added_by == account.device_id
