"""Changes the list of the own devices: the next version, signed here, by compare-and-swap.

Another manager may be faster: then its version is fetched, what it changed is told, and the own change is put on top
(A13). A version that the relay did not take is shown to nobody. docs/protocol.md, "Registration".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from client.account import Account, load_account
from client.errors import DeviceRevoked, NotManager, Refused, UsageError
from client.store.database import Database, Transaction
from client.store.log_rows import note_made
from client.system import System
from client.transport import Transport
from client.trust import adopt, believe, refresh
from crypto.manifest import DeviceEntry, Manifest, SignedManifest, build_manifest, sign_manifest
from crypto.manifest_chain import VerifiedManifest
from relay.wire.limits import MAX_DEVICES
from relay.wire.manifests import SignedManifest as WireManifest
from relay.wire.resources import ManifestObject, ManifestRequest

_TRIES: Final = 8
_REVOKED: Final = "this device was removed from its account: link it anew, in another folder"


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What is to become of the list. It fits on top of any version, and done twice it is done once."""

    add: tuple[DeviceEntry, ...] = ()
    remove: frozenset[bytes] = frozenset()
    managers: Mapping[bytes, bool] = field(default_factory=lambda: MappingProxyType({}))
    """Device id → whether it is to be a manager."""

    def on(self, manifest: Manifest) -> tuple[DeviceEntry, ...]:
        """The devices after it, by id. Raises UsageError for a list that no client would take, or that locks out."""
        listed = {entry.device_id: entry for entry in manifest.devices if entry.device_id not in self.remove}
        for entry in self.add:
            listed.setdefault(entry.device_id, entry)
        for device_id, manager in self.managers.items():
            if device_id not in listed:
                raise UsageError("this device is not in the list (any more)")
            listed[device_id] = replace(listed[device_id], manager=manager)
        if len(listed) > MAX_DEVICES:
            raise UsageError(f"an account has at most {MAX_DEVICES} devices: revoke one first")
        if not any(entry.manager for entry in listed.values()):
            raise UsageError("no manager would be left: make another device manager first")
        return tuple(sorted(listed.values(), key=lambda entry: entry.device_id))


async def change_devices(
    transport: Transport, database: Database, account: Account, system: System, change: DeviceChange
) -> VerifiedManifest:
    """Make the change; the list that has it, which is kept here.

    Safe to call again after it was cut off. Raises NotManager, DeviceRevoked, UsageError, DevicesForked,
    RelayUnreachable, Refused.
    """
    for _ in range(_TRIES):
        own = (await database.read(load_account)).own
        require_manager(own, account.device_id)
        entries = change.on(own.manifest)
        if entries == own.manifest.devices:
            return own  # somebody else did it, or the answer to an earlier try was lost
        signed = _signed(account, own, entries)
        manifest = ManifestObject.of(WireManifest(signed.body, signed.signer, signed.signature))
        await database.run(partial(note_made, manifest_hash=signed.hash))
        try:
            await transport.ask(
                "POST", "/v1/accounts/self/manifests", body=ManifestRequest(manifest=manifest), signed=True
            )
        except Refused as refused:
            if refused.reason == "unauthenticated":
                raise DeviceRevoked(_REVOKED) from refused
            if refused.reason != "manifest_conflict":
                raise
            await refresh(transport, database, account, account.account_id, system.now_ms())
            continue
        newest = believe(account.account_id, own, [signed])

        def keep(tx: Transaction, newest: VerifiedManifest = newest) -> None:
            adopt(tx, account, newest, system.now_ms())

        await database.run(keep)
        return newest
    raise Refused("manifest_conflict", "the device list changes too quickly", retryable=True)


def require_manager(own: VerifiedManifest, device_id: bytes) -> None:
    """Raise DeviceRevoked or NotManager unless this device may sign the next version."""
    entry = next((one for one in own.manifest.devices if one.device_id == device_id), None)
    if entry is None:
        raise DeviceRevoked(_REVOKED)
    if not entry.manager:
        raise NotManager("this device may not change the list of devices: do it on one that is manager")


def _signed(account: Account, own: VerifiedManifest, entries: tuple[DeviceEntry, ...]) -> SignedManifest:
    body = build_manifest(own.manifest.root_public, own.version + 1, own.hash, entries)
    return sign_manifest(body, account.local.signing, account.device_id)
