"""What a newer list of the own devices says to the user: who came, who went, and by whose signature.

A device tells nothing of what it did itself, nor of what was before it. One that finds itself removed says so, and stops.
"""

from itertools import pairwise

from client.account import Account
from client.message import Warned
from client.store import facts, notices
from client.store.database import Transaction
from crypto.manifest import SignedManifest
from crypto.manifest_chain import VerifiedManifest
from relay.wire.links import encode_id

from .device_names import device_name


def tell_news(tx: Transaction, account: Account, known: VerifiedManifest, newest: VerifiedManifest) -> None:
    """Tell what `newest` changed since `known`, version by version."""
    signed = newest.signed(known.version)
    if signed is None:
        return
    for before, after in pairwise((signed, *newest.since(known.version))):
        _tell_step(tx, account, before, after)
        if after.signer == account.device_id and _gone(before, after):
            # In the transaction that learns it: whatever ends the client afterwards, what they knew is changed.
            facts.set_number(tx, facts.OWN_TOKENS_DUE, 1)
    if all(entry.device_id != account.device_id for entry in newest.manifest.devices):
        facts.set_number(tx, facts.REVOKED, 1)


def _gone(before: SignedManifest, after: SignedManifest) -> set[bytes]:
    """The ids of devices that are listed no more."""
    listed = {entry.device_id for entry in after.manifest.devices}
    return {entry.device_id for entry in before.manifest.devices} - listed


def _tell_step(tx: Transaction, account: Account, before: SignedManifest, after: SignedManifest) -> None:
    old = {entry.device_id: entry for entry in before.manifest.devices}
    new = {entry.device_id: entry for entry in after.manifest.devices}
    if account.device_id not in old or after.signer == account.device_id:
        return
    by = f"by {device_name(tx, after.signer)}" if after.signer else "by the recovery words"
    for device_id in new.keys() - old.keys():
        _tell(tx, account, "device_added", f"{_call(tx, device_id)} was added to your account {by}")
    for device_id in old.keys() - new.keys():
        if device_id == account.device_id:
            _tell(tx, account, "device_revoked", f"this device was removed from your account {by}")
        else:
            _tell(tx, account, "device_removed", f"{_call(tx, device_id)} was removed from your account {by}")
    for device_id in old.keys() & new.keys():
        if old[device_id].manager != new[device_id].manager:
            became = "may manage" if new[device_id].manager else "may no longer manage"
            _tell(tx, account, "device_changed", f"{_call(tx, device_id)} {became} your devices {by}")


def _call(tx: Transaction, device_id: bytes) -> str:
    return f"the device {device_name(tx, device_id)} ({encode_id(device_id)})"


def _tell(tx: Transaction, account: Account, kind: str, detail: str) -> None:
    notices.tell(tx, Warned(kind, detail, encode_id(account.account_id)))
