"""What sessions.json holds that must be refused although its owner signed or sealed it: keys of bundles, contents of set-ups.

`generate_sessions.py` writes them into the file.
"""

from typing import Any

from crypto.errors import CryptoError
from crypto.keys import LocalDevice
from crypto.manifest import DeviceEntry
from crypto.prekeys import Bundle, KeyKind, SignedKey, prekey_transcript, verify_bundle
from crypto.sealed_first_message import SetupContent
from crypto.transcript import u32

FLAG_AT = 32 + 16 + 8 + 32 + 8 + 32 + 4 + 4
"""Where the set-up values say whether there is a one-time key; its id follows, then the class of the ML-KEM key."""
CLASS_AT = FLAG_AT + 5
COUNT_AT = 1_266
NOT_REDUCED = b"\xff" * 32
THE_PRIME = (2**255 - 19).to_bytes(32, "little")
ABOVE_MODULUS = b"\xff" * 3


def bundles(
    device: LocalDevice, entry: DeviceEntry, keys: dict[KeyKind, SignedKey], now_ms: int
) -> list[dict[str, Any]]:
    """Bundles with one key that the device signed, and that must not be used or is none."""

    def signed(kind: KeyKind, key: bytes, key_class: int | None = None, of: int | None = None) -> bytes:
        old = keys[kind]
        fields = of or kind, old.key_class if key_class is None else key_class, old.key_id, old.made_at_ms
        signature = device.signing.sign(prekey_transcript(device.account_id, device.device_id, *fields, key))
        head = bytes(fields[:2]) + u32(old.key_id) + old.made_at_ms.to_bytes(8, "big")
        return head + signature + key

    x25519, kem, sealing = (keys[kind].key for kind in (KeyKind.SIGNED, KeyKind.KEM, KeyKind.SEALING))
    cases: list[tuple[str, KeyKind, bytes]] = [
        ("kind 1 is not reduced", KeyKind.SIGNED, signed(KeyKind.SIGNED, NOT_REDUCED)),
        ("kind 1 is the prime", KeyKind.SIGNED, signed(KeyKind.SIGNED, THE_PRIME)),
        ("kind 3 is not reduced", KeyKind.ONE_TIME, signed(KeyKind.ONE_TIME, NOT_REDUCED)),
        ("kind 2 is above the modulus", KeyKind.KEM, signed(KeyKind.KEM, ABOVE_MODULUS + kem[3:])),
        (
            *("the ML-KEM half of kind 4 is above the modulus", KeyKind.SEALING),
            signed(KeyKind.SEALING, ABOVE_MODULUS + sealing[3:]),
        ),
        (
            *("the X25519 half of kind 4 is not reduced", KeyKind.SEALING),
            signed(KeyKind.SEALING, sealing[:-32] + NOT_REDUCED),
        ),
        ("kind 1 of a class that it cannot have", KeyKind.SIGNED, signed(KeyKind.SIGNED, x25519, 2)),
        ("kind 2 of a class that it cannot have", KeyKind.KEM, signed(KeyKind.KEM, kem, 1)),
        ("kind 2 of no class", KeyKind.KEM, signed(KeyKind.KEM, kem, 4)),
        ("a kind that there is not", KeyKind.ONE_TIME, signed(KeyKind.ONE_TIME, x25519, of=5)),
        ("kind 1 a byte too short", KeyKind.SIGNED, signed(KeyKind.SIGNED, x25519[:-1])),
        ("kind 2 a byte too long", KeyKind.KEM, signed(KeyKind.KEM, kem + b"\0")),
        ("no whole key", KeyKind.SIGNED, signed(KeyKind.SIGNED, x25519)[:77]),
    ]
    found = []
    for name, kind, bad in cases:
        encoded = [bad, *(key.encode() for other, key in keys.items() if other != kind)]
        found.append(
            {
                "name": name,
                "keys": [key.hex() for key in encoded],
                "now_ms": now_ms,
                "seen": [],
                "error": _failure_of(encoded, device.account_id, entry, now_ms),
            }
        )
    return found


def _failure_of(encoded: list[bytes], account: bytes, entry: DeviceEntry, now_ms: int) -> str:
    try:
        verify_bundle(Bundle.of(map(SignedKey.parse, encoded)), account, entry, now_ms=now_ms, seen={})
    except CryptoError as error:
        return type(error).__name__
    raise AssertionError("the bundle was taken")


def contents(good: bytes) -> list[dict[str, Any]]:
    """What was sealed, opens, and is not laid out as a set-up with a one-time key and one manifest is."""
    first = COUNT_AT + 1
    length = int.from_bytes(good[first : first + 4], "big")
    proof = first + 4 + length
    changed = {
        "a flag of 2": _with(good, FLAG_AT, b"\2"),
        "no one-time key, and its id": _with(good, FLAG_AT, b"\0" + u32(1)),
        "an ML-KEM key of class 1": _with(good, CLASS_AT, b"\1"),
        "an ML-KEM key of class 4": _with(good, CLASS_AT, b"\4"),
        "cut inside the values": good[: COUNT_AT - 1],
        "the values alone": good[:COUNT_AT],
        "65 manifests": _with(good, COUNT_AT, b"\x41"),
        "a manifest too many": _with(good, COUNT_AT, b"\2"),
        "a manifest that goes beyond the end": _with(good, first, b"\xff" * 4),
        "a manifest signed by neither root nor device": _with(good, first + 4, b"\2"),
        "a manifest that is none": _with(good, first + 4 + 1 + 64, b"T"),
        "a proof that goes beyond the end": _with(good, proof, b"\xff" * 4),
        "cut before the proof": good[:proof],
    }
    found = []
    for name, bad in changed.items():
        try:
            SetupContent.parse(bad)
        except CryptoError as error:
            found.append({"name": name, "content": bad.hex(), "error": type(error).__name__})
            continue
        raise AssertionError(name)
    return found


def _with(data: bytes, at: int, part: bytes) -> bytes:
    return data[:at] + part + data[at + len(part) :]
