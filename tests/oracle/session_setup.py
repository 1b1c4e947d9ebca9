"""A second session set-up, written from docs/protocol.md and RFC 9180 alone, with no code of the `crypto` package.

X25519 and HPKE are written out; ML-KEM, SHA-3 and ChaCha20-Poly1305 are the library's. Slow, not constant in time,
and without the checks of keys: it is there so that the fast one can be compared with it.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.oracle.ratchet import BUCKETS, Refused, hkdf, transcript

PRIME = 2**255 - 19
HPKE_SUITE = b"HPKE" + bytes.fromhex("647a00010003")
X_WING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
BASE = (9).to_bytes(32, "little")
VALUES = (32, 16, 8, 32, 8, 32, 4, 4, 1, 4, 1, 4, 32, 1_088)


def x25519(private: bytes, public: bytes) -> bytes:
    """The ladder of RFC 7748, section 5."""
    scalar = int.from_bytes(private, "little") & ~7 & ~(128 << 248) | 64 << 248
    x1 = int.from_bytes(public, "little") % 2**255
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for position in reversed(range(255)):
        bit = scalar >> position & 1
        if swap != bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = pow(da + cb, 2, PRIME), x1 * pow(da - cb, 2, PRIME) % PRIME
        e = aa - bb
        x2, z2 = aa * bb % PRIME, e * (aa + 121_665 * e) % PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract of RFC 9180, section 4."""
    key = salt or bytes(32)
    data = b"HPKE-v1" + HPKE_SUITE + label + ikm
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + data).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).digest()


def expand(secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand, for at most one block of 32 B."""
    data = length.to_bytes(2, "big") + b"HPKE-v1" + HPKE_SUITE + label + info + b"\x01"
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in secret.ljust(64, b"\0")) + data).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in secret.ljust(64, b"\0")) + inner).digest()[:length]


def hpke_cipher(shared: bytes, info: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    """The key schedule of base mode, and the nonce of the first message."""
    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return ChaCha20Poly1305(expand(secret, b"key", context, 32)), expand(secret, b"base_nonce", context, 12)


def x_wing_private(seed: bytes) -> tuple[MLKEM768PrivateKey, bytes]:
    stream = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(stream[:64]), stream[64:]


def combine(kem_secret: bytes, dh_secret: bytes, sent: bytes, public: bytes) -> bytes:
    return hashlib.sha3_256(kem_secret + dh_secret + sent + public + X_WING_LABEL).digest()


def seal(sealing_public: bytes, info: bytes, padded: bytes, ephemeral: bytes) -> bytes:
    """enc ‖ ciphertext, with this X25519 private key as the ephemeral one."""
    kem_public, public = sealing_public[:1_184], sealing_public[1_184:]
    kem_secret, kem_sent = MLKEM768PublicKey.from_public_bytes(kem_public).encapsulate()
    sent = x25519(ephemeral, BASE)
    shared = combine(kem_secret, x25519(ephemeral, public), sent, public)
    cipher, nonce = hpke_cipher(shared, info)
    return kem_sent + sent + cipher.encrypt(nonce, padded, b"")


def unseal(seed: bytes, info: bytes, sealed: bytes) -> bytes:
    kem, private = x_wing_private(seed)
    kem_sent, sent = sealed[:1_088], sealed[1_088:1_120]
    public = x25519(private, BASE)
    shared = combine(kem.decapsulate(kem_sent), x25519(private, sent), sent, public)
    cipher, nonce = hpke_cipher(shared, info)
    try:
        return cipher.decrypt(nonce, sealed[1_120:], b"")
    except InvalidTag:
        raise Refused from None


def envelope_info(account: bytes, device: bytes, sealing_id: bytes) -> bytes:
    return transcript(b"tokenim/v1 setup envelope\0", account, device, sealing_id)


def wrap(content: bytes, key: tuple[bytes, bytes], recipient: tuple[bytes, bytes], ephemeral: bytes) -> bytes:
    """A set-up envelope; `key` is (id, public key) of the recipient's sealing key."""
    size = next(bucket for bucket in BUCKETS if bucket >= 6 + 1_120 + 4 + len(content) + 16)
    padded = len(content).to_bytes(4, "big") + content
    padded += bytes(size - 6 - 1_120 - 16 - len(padded))
    return b"\x01\x01" + key[0] + seal(key[1], envelope_info(*recipient, key[0]), padded, ephemeral)


def unwrap(envelope: bytes, seeds: dict[bytes, bytes], me: tuple[bytes, bytes]) -> dict[str, Any]:
    """The parts of a set-up envelope; `seeds` are those of the own sealing keys by id."""
    if (
        len(envelope) < 1_142
        or len(envelope) not in BUCKETS
        or envelope[:2] != b"\x01\x01"
        or envelope[2:6] not in seeds
    ):
        raise Refused
    padded = unseal(seeds[envelope[2:6]], envelope_info(*me, envelope[2:6]), envelope[6:])
    length = int.from_bytes(padded[:4], "big")
    if 4 + length > len(padded) or any(padded[4 + length :]):
        raise Refused
    return parse_content(padded[4 : 4 + length])


def parse_content(content: bytes) -> dict[str, Any]:
    values, count, rest = content[:1_266], content[1_266], content[1_267:]
    fields = []
    for _ in range(count + 1):
        length = int.from_bytes(rest[:4], "big")
        fields.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return {"values": split(values, VALUES), "manifests": fields[:-1], "proof": fields[-1], "message": rest}


def split(data: bytes, lengths: tuple[int, ...]) -> list[bytes]:
    parts, at = [], 0
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    if at != len(data):
        raise Refused
    return parts


@dataclass
class Side:
    """What the transcript says of one side; bytes as they stand in it."""

    account: bytes
    device: bytes
    version: bytes
    manifest_hash: bytes
    identity: bytes

    def fields(self) -> tuple[bytes, ...]:
        return self.account, self.device, self.version, self.manifest_hash, self.identity


def agree(
    a: Side,
    b: Side,
    number: bytes,
    prekeys: tuple[bytes, bytes, bytes],
    sent: tuple[bytes, bytes],
    shared: bytes,
) -> dict[str, bytes]:
    """Session id and keys. `prekeys`: SPK, OPK or nothing, PQPK with their tags; `sent`: EK, ciphertext; `shared`:
    all DH results and SS."""
    agreed = transcript(b"tokenim/v1 session transcript\0", *a.fields(), *b.fields(), number, *prekeys, *sent)
    session_id = hashlib.sha256(agreed).digest()
    keys = hkdf(bytes(32), b"\xff" * 32 + shared, b"tokenim/v1 session keys\0" + session_id, 96)
    return {
        "session_id": session_id,
        "root_key": keys[:32],
        "header_key_a": keys[32:64],
        "next_header_key_b": keys[64:],
    }
