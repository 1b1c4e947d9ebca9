"""What the scripted relay looks at in everything that a client sends: signatures, manifests, prekeys (docs/protocol.md)."""

import re
import time
from base64 import b32decode
from dataclasses import dataclass
from typing import Any, Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base32, transcript, u64

from .refusal import Refusal

_HEADER: Final = re.compile(
    r'TokenIM-Ed25519 device="([a-z2-7]{26})", time="([0-9]+)", nonce="([\w-]{22})", signature="([\w-]{86})"'
)
_DEVICE_BYTES, _PREKEY_HEAD = 153, 78
SKEW_MS: Final = 90_000
# Bytes of a public key, and its classes, by its kind.
PREKEYS: Final = {1: (32, {1}), 2: (1184, {2, 3}), 3: (32, {2}), 4: (1216, {1})}


@dataclass(frozen=True)
class SeenDevice:
    """A device as a manifest lists it: ids and keys as bytes."""

    device_id: bytes
    signing_key: bytes
    identity_key: bytes
    flags: int


@dataclass(frozen=True)
class SeenManifest:
    """Parsed, and its signatures checked."""

    account_id: bytes
    root_key: bytes
    version: int
    body: bytes
    devices: tuple[SeenDevice, ...]


@dataclass(frozen=True)
class SeenPrekey:
    """`encoded` is what travels."""

    kind: int
    key_class: int
    key_id: int
    encoded: bytes


def verify(key: bytes, signed: bytes, signature: bytes, what: str) -> None:
    """Raises Failed unless the signature is good."""
    try:
        VerifyKey(key).verify(signed, signature)
    except (BadSignatureError, ValueError) as error:
        raise Failed(
            f"{what}: the signature is not by its key over the transcript that the document says"
        ) from error


def fields_of(label: str, body: bytes) -> list[bytes]:
    """Of a transcript; raises Failed for another label, or what is cut off."""
    head = transcript(label)
    if not body.startswith(head):
        raise Failed(f"expected a transcript of {label!r}, got one that begins with {body[:40]!r}")
    fields, rest = [], body[len(head) :]
    while rest:
        size = int.from_bytes(rest[:4], "big")
        fields.append(rest[4 : 4 + size])
        if len(rest) < 4 + size:
            raise Failed(f"a transcript of {label!r} is cut off")
        rest = rest[4 + size :]
    return fields


def manifest(told: dict[str, Any]) -> SeenManifest:
    """Manifest 1 of an account: the root key's signature and each device's own."""
    body, signer = from_base64(told["body"]), from_base64(told["signer"])
    fields = fields_of("tokenim/v1 manifest", body)
    if len(fields) < 4 or [len(field) for field in fields[:3]] != [32, 8, 0] or signer:
        raise Failed(
            "manifest 1 has root key, version, no previous hash and a device, and the root key signs it"
        )
    verify(fields[0], body, from_base64(told["signature"]), "manifest 1")
    if int.from_bytes(fields[1], "big") != 1:
        raise Failed("the first manifest has version 1")
    return _seen(body, fields)


def next_manifest(told: dict[str, Any], before: SeenManifest) -> SeenManifest:
    """The one that follows; raises Refusal if it follows another, Failed for what no client puts there."""
    body, signer = from_base64(told["body"]), from_base64(told["signer"])
    fields = fields_of("tokenim/v1 manifest", body)
    if len(fields) < 4 or [len(field) for field in fields[:3]] != [32, 8, 32] or fields[0] != before.root_key:
        raise Failed("a later manifest has the same root key, a version, the previous hash and a device")
    managers = {one.device_id: one.signing_key for one in before.devices if one.flags & 1}
    key = before.root_key if not signer else managers.get(signer)
    if key is None:
        raise Failed("a later manifest is signed by the root key, or a manager of the one before")
    verify(key, body, from_base64(told["signature"]), "a later manifest")
    if int.from_bytes(fields[1], "big") != before.version + 1 or fields[2] != sha256(before.body):
        raise Refusal("manifest_conflict", 409)
    return _seen(body, fields)


def _seen(body: bytes, fields: list[bytes]) -> SeenManifest:
    account_id = sha256(b"\x01" + fields[0])
    devices = tuple(_device(account_id, field) for field in fields[3:])
    if len(devices) > 16 or [one.device_id for one in devices] != sorted({one.device_id for one in devices}):
        raise Failed("a manifest has at most 16 devices, in ascending order of their ids")
    keys = [fields[0], *(key for one in devices for key in (one.signing_key, one.identity_key))]
    if len(set(keys)) != len(keys):
        raise Failed("a key stands twice in a manifest")
    return SeenManifest(account_id, fields[0], int.from_bytes(fields[1], "big"), body, devices)


def _device(account_id: bytes, field: bytes) -> SeenDevice:
    if len(field) != _DEVICE_BYTES:
        raise Failed(f"a device's field has {_DEVICE_BYTES} B, got {len(field)}")
    device_id, signing, identity = field[:16], field[16:48], field[48:80]
    signed = transcript("tokenim/v1 device", account_id, device_id, signing, identity)
    verify(signing, signed, field[89:], "a device in a manifest")
    if field[80] & ~7:
        raise Failed(f"the flags of a device are 1, 2 and 4, got {field[80]}")
    return SeenDevice(device_id, signing, identity, field[80])


def prekey(encoded: bytes, account_id: bytes, device: SeenDevice) -> SeenPrekey:
    """One of `POST /v1/prekeys`."""
    kind, key_class, public = encoded[0], encoded[1], encoded[_PREKEY_HEAD:]
    size, classes = PREKEYS.get(kind, (0, set()))
    if len(public) != size or key_class not in classes:
        raise Failed(f"no prekey: kind {kind}, class {key_class}, a public key of {len(public)} B")
    signed = transcript(
        "tokenim/v1 prekey",
        account_id,
        device.device_id,
        encoded[:1],
        encoded[1:2],
        encoded[2:6],
        encoded[6:14],
        public,
    )
    verify(device.signing_key, signed, encoded[14:_PREKEY_HEAD], f"a prekey of kind {kind}")
    return SeenPrekey(kind, key_class, int.from_bytes(encoded[2:6], "big"), encoded)


@dataclass(frozen=True)
class SeenProof:
    """The header Authorization of a request."""

    device_id: bytes
    time_ms: int
    nonce: bytes
    signature: bytes


def proof(header: str) -> SeenProof:
    """Raises Failed for another form."""
    if not (found := _HEADER.fullmatch(header)):
        raise Failed(f"Authorization is not of the form that the document says: {header[:60]!r}")
    device_id = b32decode(found[1].upper() + "======")
    if to_base32(device_id) != found[1]:
        raise Failed("the device of Authorization is not in canonical base32")
    return SeenProof(device_id, int(found[2]), from_base64(found[3]), from_base64(found[4]))


def request(
    seen: SeenProof, key: bytes, method: str, target: str, body: bytes, origin: str, offset: int | None
) -> None:
    """Raises Failed unless the device signed just this request."""
    signed = transcript(
        "tokenim/v1 http-request",
        method.encode(),
        target.encode(),
        b"streamed" if method == "PATCH" else sha256(body),
        origin.encode(),
        seen.device_id,
        u64(seen.time_ms),
        seen.nonce,
        None if offset is None else u64(offset),
    )
    verify(key, signed, seen.signature, f"{method} {target}")


def now_ms() -> int:
    """Of this machine."""
    return time.time_ns() // 1_000_000
