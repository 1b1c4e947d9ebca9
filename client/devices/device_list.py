"""The own devices as the user sees them: names, rights, when each was last there, and which one this is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from client.account import load_account
from client.store.database import Transaction
from client.times import iso_time
from crypto.manifest import DeviceEntry
from relay.wire.links import encode_id

from .device_names import device_name

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """One device of the account."""

    device: str
    """Device id, base32."""
    name: str
    manager: bool
    bot: bool
    archive: bool
    added_at_ms: int
    seen_day: int | None
    """The last day it was connected, counted from 1970 in UTC, as the relay says; None: unknown."""
    is_this: bool

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "type": "device",
            "device": self.device,
            "name": self.name,
            "manager": self.manager,
            "bot": self.bot,
            "archive": self.archive,
            "added_at": iso_time(self.added_at_ms),
            "seen": self.seen,
            "this": self.is_this,
        }

    @property
    def seen(self) -> str | None:
        """The day it was last seen, as YYYY-MM-DD."""
        return None if self.seen_day is None else iso_time(self.seen_day * _DAY_MS)[:10]


def list_devices(tx: Transaction, seen: Mapping[bytes, int]) -> list[OwnDevice]:
    """The devices of the newest list, in the order they were added."""
    account = load_account(tx)
    return [
        shown_device(tx, entry, seen.get(entry.device_id), is_this=entry.device_id == account.device_id)
        for entry in sorted(account.own.manifest.devices, key=lambda one: (one.added_at_ms, one.device_id))
    ]


def shown_device(tx: Transaction, entry: DeviceEntry, seen_day: int | None, *, is_this: bool) -> OwnDevice:
    """A listed device."""
    return OwnDevice(
        device=encode_id(entry.device_id),
        name=device_name(tx, entry.device_id),
        manager=entry.manager,
        bot=entry.bot,
        archive=entry.archive,
        added_at_ms=entry.added_at_ms,
        seen_day=seen_day,
        is_this=is_this,
    )
