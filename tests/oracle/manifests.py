"""Accounts, manifests, their chains and safety numbers; docs/protocol.md, "Identity and manifests", "Safety number"."""

import hashlib
from dataclasses import dataclass

from tests.oracle import ed25519, x25519
from tests.oracle.refusals import Refused, require
from tests.oracle.transcripts import fields_of, number, sha256, split, transcript, u64

LABEL = b"tokenim/v1 manifest\0"
MANAGER, BOT, ARCHIVE = 1, 2, 4
DEVICE_BYTES = (16, 32, 32, 1, 8, 64)


def account_id(root_public: bytes) -> bytes:
    return sha256(b"\x01" + root_public)


def device_transcript(account: bytes, device: bytes, signing: bytes, identity: bytes) -> bytes:
    return transcript(b"tokenim/v1 device\0", account, device, signing, identity)


@dataclass
class Device:
    """A field of a manifest."""

    device: bytes
    signing: bytes
    identity: bytes
    flags: int
    added_at_ms: int
    signature: bytes

    @property
    def manager(self) -> bool:
        return bool(self.flags & MANAGER)

    def encode(self) -> bytes:
        keys = self.device + self.signing + self.identity
        return keys + bytes([self.flags]) + u64(self.added_at_ms) + self.signature


@dataclass
class Manifest:
    """A body that was read, with what travels beside it."""

    root: bytes
    version: int
    previous: bytes
    devices: dict[bytes, Device]
    body: bytes
    signer: bytes
    signature: bytes

    @property
    def hash(self) -> bytes:
        return sha256(self.body)

    def encode(self) -> bytes:
        who = b"\x01" + self.signer if self.signer else b"\x00"
        return who + self.signature + self.body


def encode_body(root: bytes, version: int, previous: bytes, devices: list[Device]) -> bytes:
    listed = sorted(device.encode() for device in devices)
    return transcript(LABEL, root, u64(version), previous, *listed)


def make(
    root: bytes, version: int, previous: bytes, devices: list[Device], seed: bytes, signer: bytes = b""
) -> bytes:
    """A signed manifest, encoded; `seed` is the signer's, the root key's without a signer."""
    body = encode_body(root, version, previous, devices)
    return (b"\x01" + signer if signer else b"\x00") + ed25519.sign(seed, body) + body


def parse(encoded: bytes) -> Manifest:
    require(encoded[:1] in (b"\x00", b"\x01"), "who signed")
    signer, rest = (encoded[1:17], encoded[17:]) if encoded[0] else (b"", encoded[1:])
    return parse_body(rest[64:], signer, rest[:64])


def parse_body(body: bytes, signer: bytes, signature: bytes) -> Manifest:
    """Shape, order, keys, and each device's own signature; who signed the whole, `verify_chain` says."""
    root, version, previous, *fields = fields_of(LABEL, body)
    ed25519.check(root)
    devices = {}
    for field in fields:
        device, signing, identity, flags, added, signed = split(field, *DEVICE_BYTES)
        require(not flags[0] & ~(MANAGER | BOT | ARCHIVE), "flags")
        require(number(added) < 2**53, "time")
        x25519.check(identity)
        ed25519.verify(signing, device_transcript(account_id(root), device, signing, identity), signed)
        devices[device] = Device(device, signing, identity, flags[0], number(added), signed)
    require(1 <= len(fields) <= 16 and [*devices] == sorted(set(devices)), "devices")
    require(len(devices) == len(fields) and 1 <= number(version) < 2**53 and len(version) == 8, "shape")
    require(len(previous) == (0 if number(version) == 1 else 32), "previous hash")
    keys = [root, *(key for each in devices.values() for key in (each.signing, each.identity))]
    require(len(keys) == len(set(keys)), "a key twice", "ManifestRefused")
    return Manifest(root, number(version), previous, devices, body, signer, signature)


def _signed(one: Manifest, before: Manifest | None) -> None:
    """By the root key, or by a manager that the manifest before lists."""
    if not one.signer:
        key = one.root
    else:
        known = before.devices.get(one.signer) if before else None
        require(known and known.manager, "no manager", "ManifestRefused")
        key = known.signing if known else b""
    ed25519.verify(key, one.body, one.signature)


def verify_chain(account: bytes, known: list[Manifest], more: list[Manifest]) -> list[Manifest]:
    """The chain after these manifests came: `known`, and what follows it. Refused on any that does not stand."""
    chain = list(known)
    for one in more:
        require(account_id(one.root) == account, "root key", "ManifestRefused")
        if not chain:
            require(not one.signer, "first contact begins at the root key", "ManifestRefused")
            _signed(one, None)
        elif one.version <= chain[-1].version:
            same = [each for each in chain if each.version == one.version]
            if same and same[0].body != one.body:
                before = next((each for each in chain if each.version == one.version - 1), None)
                follows = before is None or one.previous == before.hash
                require(follows, "does not follow", "ManifestRefused")
                _signed(one, before)  # what is not validly signed is no fork
                raise Refused("a fork", "ManifestFork")
            continue
        else:
            require(one.version == chain[-1].version + 1, "a gap", "ManifestGap")
            require(one.previous == chain[-1].hash, "does not follow", "ManifestRefused")
            _signed(one, chain[-1])
            _keys_stay(chain, one)
        chain.append(one)
    require(chain, "nothing", "ManifestRefused")
    newest = not more or more[-1].version >= (known[-1].version if known else 1)
    require(newest, "a rollback", "ManifestRollback")
    return chain


def _keys_stay(chain: list[Manifest], one: Manifest) -> None:
    """A device keeps its keys, and nobody takes over a key that another had."""
    for device in one.devices.values():
        for before in (old for each in chain for old in each.devices.values()):
            mine, theirs = (device.signing, device.identity), (before.signing, before.identity)
            if device.device == before.device:
                require(mine == theirs, "other keys", "ManifestRefused")
            else:
                require(not set(mine) & set(theirs), "another's key", "ManifestRefused")


def safety_number(one: bytes, other: bytes) -> str:
    digest = hashlib.sha512(
        transcript(b"tokenim/v1 safety number\0", min(one, other), max(one, other))
    ).digest()
    groups = [digest[5 * i : 5 * i + 5] for i in range(12)]
    return "".join(f"{number(group) % 100_000:05}" for group in groups)


def device_of(chain: list[Manifest], version: int, manifest_hash: bytes, device: bytes) -> Device:
    """The device in that version of the chain; it has to be in the newest one, too."""
    for one in chain:
        if (one.version, one.hash) == (version, manifest_hash):
            listed = device in one.devices and device in chain[-1].devices
            require(listed, "the device left", "UnknownDevice")
            return one.devices[device]
    raise Refused("not on the chain", "ManifestRefused")
