"""Accounts and devices for tests of the store: right in shape, with keys and signatures that nobody verifies here."""

from collections.abc import Sequence
from hashlib import sha256

from relay.ports.accounts import Account, Registration
from relay.ports.store import Store
from relay.wire import limits
from relay.wire.manifests import Manifest, SignedManifest, parse_manifest
from relay.wire.prekeys import KEY_BYTES, PrekeyClass, PrekeyKind, SignedPrekey, parse_prekey
from relay.wire.transcripts import MANIFEST_LABEL, transcript

NOW_MS = 1_800_000_000_000


def bytes_of(name: object, length: int = 16) -> bytes:
    """Bytes that only this name has."""
    return (sha256(repr(name).encode()).digest() * (length // 32 + 1))[:length]


def device_field(device_id: bytes, *, keys: object = None, flags: int = 1) -> bytes:
    """One device of a manifest."""
    seed = device_id if keys is None else keys
    return b"".join(
        (
            device_id,
            bytes_of(("signing", seed), 32),
            bytes_of(("identity", seed), 32),
            bytes((flags,)),
            NOW_MS.to_bytes(8, "big"),
            bytes(64),
        )
    )


def make_manifest(
    root: object, fields: Sequence[bytes], *, version: int = 1, previous: bytes | None = None
) -> tuple[Manifest, SignedManifest]:
    """A manifest of these device fields."""
    body = transcript(
        MANIFEST_LABEL, bytes_of(("root", root), 32), version.to_bytes(8, "big"), previous, *sorted(fields)
    )
    return parse_manifest(body), SignedManifest(body, b"", bytes_of((root, version), 64))


def registration(name: object, devices: Sequence[bytes] | None = None, **rest: object) -> Registration:
    """A new account with one device, or with these."""
    ids = [bytes_of(("device", name))] if devices is None else devices
    manifest, signed = make_manifest(name, [device_field(device_id) for device_id in ids])
    return Registration(manifest, signed, "member", **rest)  # type: ignore[arg-type]


async def new_account(store: Store, name: object, devices: Sequence[bytes] | None = None) -> Account:
    """A registered account."""
    return await store.accounts.register(registration(name, devices), now_ms=NOW_MS)


async def new_device(store: Store, name: object) -> bytes:
    """The id of the one device of a new account."""
    account = await new_account(store, name)
    return account.devices[0].device_id


def prekey(kind: PrekeyKind, key_class: PrekeyClass, key_id: int) -> SignedPrekey:
    """A prekey with bytes that say which one it is."""
    header = bytes((kind, key_class)) + key_id.to_bytes(4, "big") + NOW_MS.to_bytes(8, "big")
    return parse_prekey(
        header + bytes(limits.SIGNATURE_BYTES) + bytes_of((kind, key_class, key_id), KEY_BYTES[kind])
    )


def one_time_prekeys(kind: PrekeyKind, first_id: int, count: int) -> list[SignedPrekey]:
    """`count` one-time keys with ids from `first_id` on."""
    return [prekey(kind, PrekeyClass.ONE_TIME, key_id) for key_id in range(first_id, first_id + count)]


def standing_prekeys(key_id: int = 1) -> list[SignedPrekey]:
    """The three keys that a device always has."""
    return [
        prekey(PrekeyKind.SIGNED, PrekeyClass.ROTATING, key_id),
        prekey(PrekeyKind.SEALING, PrekeyClass.ROTATING, key_id),
        prekey(PrekeyKind.KEM, PrekeyClass.LAST_RESORT, key_id),
    ]
