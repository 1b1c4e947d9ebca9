"""A second session set-up, written from docs/protocol.md alone: "Session set-up (PQXDH)" and "Set-up envelope".

Values in, values out; who keeps keys and sessions is in `sessions`. Slow, and not constant in time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.oracle import hpke, ml_kem, x25519
from tests.oracle.manifests import parse as parse_manifest
from tests.oracle.padding import BUCKETS, pad, unpad
from tests.oracle.prekeys import KEM, ONE_TIME, SEALING, SIGNED, Prekey
from tests.oracle.refusals import require
from tests.oracle.transcripts import hkdf, number, sha256, split, transcript, u32, u64

VALUES = (32, 16, 8, 32, 8, 32, 4, 4, 1, 4, 1, 4, 32, 1_088)
AROUND = 6 + 1_120 + 16  # bytes of a set-up envelope around what is padded


@dataclass
class Side:
    """What the transcript says of one side."""

    account: bytes
    device: bytes
    version: int
    manifest_hash: bytes
    identity: bytes

    def fields(self) -> tuple[bytes, ...]:
        return self.account, self.device, u64(self.version), self.manifest_hash, self.identity


@dataclass
class Values:
    """The set-up values, parsed; `a` and `b` without identity keys."""

    account: bytes
    device: bytes
    version: int
    manifest_hash: bytes
    peer_version: int
    peer_hash: bytes
    number: int
    signed_id: int
    one_time_id: int | None
    kem_class: int
    kem_id: int
    ephemeral: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        one_time = b"\x00" + u32(0) if self.one_time_id is None else b"\x01" + u32(self.one_time_id)
        who = self.account + self.device + u64(self.version) + self.manifest_hash
        whom = u64(self.peer_version) + self.peer_hash + u32(self.number) + u32(self.signed_id)
        kem = bytes([self.kem_class]) + u32(self.kem_id)
        return who + whom + one_time + kem + self.ephemeral + self.ciphertext

    @property
    def digest(self) -> bytes:
        return sha256(self.encode())


def parse_values(data: bytes) -> Values:
    parts = split(data, *VALUES)
    flag, one_time = parts[8][0], number(parts[9])
    require(flag <= 1 and (flag or not one_time) and parts[10][0] in (2, 3), "values")
    return Values(
        *parts[:2],
        number(parts[2]),
        parts[3],
        number(parts[4]),
        parts[5],
        *(number(part) for part in parts[6:8]),
        one_time if flag else None,
        parts[10][0],
        number(parts[11]),
        *parts[12:],
    )


def session_transcript(
    a: Side, b: Side, setup_number: int, keys: dict[int, Prekey], ephemeral: bytes, ciphertext: bytes
) -> bytes:
    one_time = keys[ONE_TIME].tagged() if ONE_TIME in keys else b""
    prekeys = keys[SIGNED].tagged(), one_time, keys[KEM].tagged()
    sides = (*a.fields(), *b.fields(), u32(setup_number))
    return transcript(b"tokenim/v1 session transcript\0", *sides, *prekeys, ephemeral, ciphertext)


def session_keys(agreed: bytes, exchanges: list[bytes], kem_secret: bytes) -> dict[str, bytes]:
    """Everything that a session begins with; `exchanges` are DH1 to DH3 or DH4."""
    session_id = sha256(agreed)
    ikm, info = b"\xff" * 32 + b"".join(exchanges) + kem_secret, b"tokenim/v1 session keys\0" + session_id
    root, header_a, header_b = split(hkdf(bytes(32), ikm, info, 96), 32, 32, 32)
    return {
        "session_id": session_id,
        "root_key": root,
        "header_key_a": header_a,
        "next_header_key_b": header_b,
    }


def initiate(
    a: Side,
    identity_private: bytes,
    b: Side,
    bundle: dict[int, Prekey],
    setup_number: int,
    draw: Callable[[int], bytes],
) -> tuple[Values, dict[str, bytes]]:
    """A begins: what it tells B, and the session's keys."""
    ephemeral = draw(32)
    public = x25519.public_of(ephemeral)
    kem_secret, ciphertext = ml_kem.encapsulate(bundle[KEM].key, draw(32))
    exchanges = [
        x25519.agree(identity_private, bundle[SIGNED].key),
        x25519.agree(ephemeral, b.identity),
        x25519.agree(ephemeral, bundle[SIGNED].key),
    ]
    if ONE_TIME in bundle:
        exchanges.append(x25519.agree(ephemeral, bundle[ONE_TIME].key))
    agreed = session_transcript(a, b, setup_number, bundle, public, ciphertext)
    values = Values(
        a.account,
        a.device,
        a.version,
        a.manifest_hash,
        b.version,
        b.manifest_hash,
        setup_number,
        bundle[SIGNED].key_id,
        bundle[ONE_TIME].key_id if ONE_TIME in bundle else None,
        bundle[KEM].key_class,
        bundle[KEM].key_id,
        public,
        ciphertext,
    )
    return values, session_keys(agreed, exchanges, kem_secret)


def exchanges_of_b(
    values: Values, a_identity: bytes, identity_private: bytes, keys: dict[int, Prekey]
) -> list[bytes]:
    """DH1 to DH4 as B computes them; its keys hold their seeds."""
    signed = keys[SIGNED].seed
    results = [
        x25519.agree(signed, a_identity),
        x25519.agree(identity_private, values.ephemeral),
        x25519.agree(signed, values.ephemeral),
    ]
    if ONE_TIME in keys:
        results.append(x25519.agree(keys[ONE_TIME].seed, values.ephemeral))
    return results


def respond(
    values: Values, a: Side, b: Side, identity_private: bytes, keys: dict[int, Prekey]
) -> dict[str, bytes]:
    """B answers: the session's keys. `keys` are those that the values name."""
    require(keys[KEM].key_class == values.kem_class, "class")
    exchanges = exchanges_of_b(values, a.identity, identity_private, keys)
    agreed = session_transcript(a, b, values.number, keys, values.ephemeral, values.ciphertext)
    return session_keys(agreed, exchanges, ml_kem.decapsulate(keys[KEM].seed, values.ciphertext))


# The envelope


def envelope_info(account: bytes, device: bytes, sealing_id: int) -> bytes:
    return transcript(b"tokenim/v1 setup envelope\0", account, device, u32(sealing_id))


def encode_content(values: bytes, manifests: list[bytes], proof: bytes, message: bytes) -> bytes:
    listed = b"".join(u32(len(one)) + one for one in manifests)
    return values + bytes([len(manifests)]) + listed + u32(len(proof)) + proof + message


def parse_content(content: bytes) -> dict[str, Any]:
    require(len(content) > 1_266 and content[1_266] <= 64, "content")
    parse_values(content[:1_266])
    values, count, rest = content[:1_266], content[1_266], content[1_267:]
    fields = []
    for _ in range(count + 1):
        length = number(rest[:4])
        require(4 + length <= len(rest), "cut")
        fields.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    for one in fields[:-1]:
        parse_manifest(one)
    return {"values": values, "manifests": fields[:-1], "proof": fields[-1], "message": rest}


def wrap(content: bytes, sealing: Prekey, recipient: tuple[bytes, bytes], randomness: bytes) -> bytes:
    """A set-up envelope, of 64 B of randomness."""
    info = envelope_info(*recipient, sealing.key_id)
    return b"\x01\x01" + u32(sealing.key_id) + hpke.seal(sealing.key, info, pad(content, AROUND), randomness)


def unwrap(envelope: bytes, sealing: list[Prekey], me: tuple[bytes, bytes]) -> dict[str, Any]:
    """The parts of a set-up envelope; `sealing` are the own sealing keys."""
    require(len(envelope) in BUCKETS and envelope[:2] == b"\x01\x01", "shape")
    require(len(envelope) >= AROUND + 4, "too short")
    key_id = number(envelope[2:6])
    seeds = [key.seed for key in sealing if key.kind == SEALING and key.key_id == key_id]
    require(seeds, "no such sealing key", "Undecryptable")
    return parse_content(unpad(hpke.unseal(seeds[0], envelope_info(*me, key_id), envelope[6:])))
