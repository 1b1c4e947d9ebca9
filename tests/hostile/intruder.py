"""What a malicious relay makes itself: a device with its own keys, and prekeys that lack nothing but the right signature."""

import os
from dataclasses import dataclass
from typing import Any

from crypto import limits
from crypto.keys import LocalDevice
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest import DeviceEntry, device_entry
from crypto.prekeys import KeyClass, KeyKind
from relay.wire.links import encode_bytes

FIELDS = {
    KeyKind.SIGNED: "signed_prekey",
    KeyKind.KEM: "kem_prekey",
    KeyKind.ONE_TIME: "one_time_prekey",
    KeyKind.SEALING: "sealing_key",
}
"""Where a key of each kind stands in a bundle."""


@dataclass(frozen=True)
class Intruder:
    """A device of the relay's own making, for the account that it wants to get into."""

    device: LocalDevice
    prekeys: LocalPrekeys

    @classmethod
    def of(cls, account_id: bytes, now_ms: int) -> "Intruder":
        """One with a key of each kind."""
        stock = LocalPrekeys().refresh(
            one_time_at_relay=limits.ONE_TIME_STOCK - 1,
            kem_at_relay=limits.ONE_TIME_STOCK - 1,
            now_ms=now_ms,
            random=os.urandom,
        )
        return cls(LocalDevice.generate(account_id, os.urandom), stock)

    def using(self, device: LocalDevice) -> "Intruder":
        """The same prekeys, signed by another device."""
        return Intruder(device, self.prekeys)

    def entry(self, added_at_ms: int) -> DeviceEntry:
        """How a manifest would list it: its own signature is good."""
        return device_entry(self.device, added_at_ms=added_at_ms, manager=True)

    def key(self, kind: KeyKind) -> str:
        """One of its keys, signed by itself, as bundles carry it."""
        found = next(
            key for key in self.prekeys.keys if key.kind is kind and key.key_class is not KeyClass.LAST_RESORT
        )
        return encode_bytes(found.signed(self.device).encode())

    def bundle(self) -> dict[str, Any]:
        """As a relay would answer for it."""
        keys = {FIELDS[kind]: self.key(kind) for kind in KeyKind}
        return {"device_id": encode_bytes(self.device.device_id), **keys}
