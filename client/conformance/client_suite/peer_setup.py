"""How the kit's own peer begins a session, and opens one of a client (docs/protocol.md, Session set-up, Set-up envelope)."""

import struct
from dataclasses import dataclass
from typing import Final

from client.conformance.report import Failed
from client.conformance.wire import sha256, transcript, u64

from .peer_keys import (
    ENC_BYTES,
    NO_SALT,
    TAG_BYTES,
    Pair,
    SealingPair,
    bucket_for,
    derive,
    label,
    pad,
    seal_to,
    unpad,
)
from .peer_ratchet import Party, Secrets

SETUP: Final = b"\x01\x01"
SIGNED, KEM, ONE_TIME = 1, 2, 3
_VALUES: Final = struct.Struct(">32s16sQ32sQ32sIIBIBI32s1088s")
_HEAD_BYTES: Final = 6
_ROOT_SIGNED: Final = b"\x00"


@dataclass(frozen=True)
class Listed:
    """A device as the newest manifest of its account lists it."""

    party: Party
    version: int
    body: bytes
    identity: bytes

    @property
    def named(self) -> tuple[int, bytes]:
        """Version and hash of that manifest."""
        return self.version, sha256(self.body)


@dataclass(frozen=True)
class Key:
    """A prekey without its signature."""

    kind: int
    key_class: int
    key_id: int
    public: bytes

    @property
    def field(self) -> bytes:
        """In the session transcript."""
        return struct.pack(">BBI", self.kind, self.key_class, self.key_id) + self.public


@dataclass(frozen=True)
class Agreed:
    """What both sides of a set-up name. `a` is who began."""

    a: Listed
    b: Listed
    number: int
    signed: Key
    once: Key | None
    kem: Key
    ephemeral: bytes
    ciphertext: bytes

    def values(self) -> bytes:
        """1,266 B."""
        return _VALUES.pack(
            self.a.party.account_id,
            self.a.party.device_id,
            *self.a.named,
            *self.b.named,
            self.number,
            self.signed.key_id,
            0 if self.once is None else 1,
            0 if self.once is None else self.once.key_id,
            self.kem.key_class,
            self.kem.key_id,
            self.ephemeral,
            self.ciphertext,
        )

    def secrets(self, agreements: list[bytes], kem_secret: bytes) -> Secrets:
        """The session's keys from DH1 to DH3 or DH4, and SS."""
        session_id = sha256(
            transcript(
                "tokenim/v1 session transcript",
                self.a.party.account_id,
                self.a.party.device_id,
                u64(self.a.version),
                sha256(self.a.body),
                self.a.identity,
                self.b.party.account_id,
                self.b.party.device_id,
                u64(self.b.version),
                sha256(self.b.body),
                self.b.identity,
                struct.pack(">I", self.number),
                self.signed.field,
                None if self.once is None else self.once.field,
                self.kem.field,
                self.ephemeral,
                self.ciphertext,
            )
        )
        derived = derive(
            NO_SALT,
            b"\xff" * 32 + b"".join(agreements) + kem_secret,
            label("session keys") + session_id,
            96,
        )
        return Secrets(session_id, derived[:32], derived[32:64], derived[64:])


def agreements_of_a(identity: Pair, ephemeral: Pair, b: Listed, signed: Key, once: Key | None) -> list[bytes]:
    """DH1 to DH3, and DH4 with a one-time prekey, by the private keys of who begins."""
    found = [identity.agree(signed.public), ephemeral.agree(b.identity), ephemeral.agree(signed.public)]
    return found if once is None else [*found, ephemeral.agree(once.public)]


def agreements_of_b(
    identity: Pair, signed: Pair, once: Pair | None, a_identity: bytes, ephemeral: bytes
) -> list[bytes]:
    """The same by the private keys of the other."""
    found = [signed.agree(a_identity), identity.agree(ephemeral), signed.agree(ephemeral)]
    return found if once is None else [*found, once.agree(ephemeral)]


@dataclass(frozen=True)
class Values:
    """What the set-up values of a client name, with `packed` as they came."""

    packed: bytes
    party: Party
    own: tuple[int, bytes]
    ours: tuple[int, bytes]
    number: int
    signed_id: int
    once_id: int | None
    kem_class: int
    kem_id: int
    ephemeral: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class SetupContent:
    """What is sealed in a set-up envelope. `manifests`: each as it travels."""

    values: Values
    manifests: list[bytes]
    inclusion: bytes
    message: bytes


def _info(recipient: Party, key_id: bytes) -> bytes:
    return transcript("tokenim/v1 setup envelope", recipient.account_id, recipient.device_id, key_id)


def seal_setup(
    recipient: Party, sealing: Key, values: bytes, manifests: list[bytes], inclusion: bytes, message: bytes
) -> bytes:
    """A whole envelope of kind 1."""
    parts = [values, bytes((len(manifests),))]
    for part in (*manifests, inclusion):
        parts += [struct.pack(">I", len(part)), part]
    content = b"".join([*parts, message])
    around = _HEAD_BYTES + ENC_BYTES + TAG_BYTES
    padded = pad(content, bucket_for(around + 4 + len(content)) - around)
    key_id = struct.pack(">I", sealing.key_id)
    return SETUP + key_id + seal_to(sealing.public, _info(recipient, key_id), padded)


def open_setup(envelope: bytes, recipient: Party, keys: dict[int, SealingPair]) -> SetupContent:
    """Raises Failed for what is not as the document says."""
    if envelope[:2] != SETUP:
        raise Failed(f"a set-up envelope begins with {SETUP.hex()}, got {envelope[:2].hex()}")
    key_id = envelope[2:_HEAD_BYTES]
    key = keys.get(int.from_bytes(key_id, "big"))
    if key is None:
        raise Failed("a set-up envelope names a sealing key that the bundle had not")
    padded = key.open(_info(recipient, key_id), envelope[_HEAD_BYTES:])
    content = unpad(padded, len(envelope))
    values, at = _values(content[: _VALUES.size]), _VALUES.size + 1
    fields = []
    for _ in range(content[_VALUES.size] + 1):
        size = int.from_bytes(content[at : at + 4], "big")
        fields.append(content[at + 4 : at + 4 + size])
        at += 4 + size
        if at > len(content):
            raise Failed("what is sealed in a set-up envelope is cut off")
    return SetupContent(values, fields[:-1], fields[-1], content[at:])


def _values(packed: bytes) -> Values:
    if len(packed) != _VALUES.size:
        raise Failed(f"set-up values have {_VALUES.size} B, got {len(packed)}")
    account_id, device_id, version, digest, our_version, our_digest, number, *rest = _VALUES.unpack(packed)
    signed_id, has_once, once_id, kem_class, kem_id, ephemeral, ciphertext = rest
    if has_once > 1 or (once_id and not has_once) or kem_class not in (2, 3) or number < 1:
        raise Failed(
            f"set-up values: number {number}, one-time prekey {has_once}/{once_id}, class {kem_class} of the KEM prekey"
        )
    return Values(
        packed,
        Party(account_id, device_id),
        (version, digest),
        (our_version, our_digest),
        number,
        signed_id,
        once_id if has_once else None,
        kem_class,
        kem_id,
        ephemeral,
        ciphertext,
    )


def signed_manifest(signature: bytes, body: bytes) -> bytes:
    """As a set-up envelope carries one that the root key signed."""
    return _ROOT_SIGNED + signature + body
