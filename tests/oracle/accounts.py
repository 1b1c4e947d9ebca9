"""Linking, recovery and the log's leaves and heads a second time, from docs/protocol.md alone; what is sealed aside."""

import hashlib
from pathlib import Path

from tests.oracle import ed25519
from tests.oracle.ratchet import hkdf, transcript

WORDS = (Path(__file__).parents[2] / "crypto" / "bip39_english.txt").read_text().split()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def words_of(key: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in key + sha256(key)[:1])
    return " ".join(WORDS[int(bits[at : at + 11], 2)] for at in range(0, len(bits), 11))


def recovery_seeds(key: bytes) -> tuple[bytes, bytes]:
    """(Seed of the root key, seed of the sealing key)."""
    root = hkdf(b"", key, b"tokenim/v1 recovery root\0", 32)
    return root, hkdf(b"", key, b"tokenim/v1 recovery sealing\0", 32)


def backup_signature_holds(backup: bytes, public: bytes) -> bool:
    fields = [backup[1:33], backup[33:49], backup[49:57], backup[57:65], backup[65:97], backup[97:105]]
    signed = transcript(b"tokenim/v1 backup\0", *fields, sha256(backup[169:]))
    return ed25519.verifies(public, signed, backup[105:169])


def link_request(
    sealing_public: bytes, device_id: bytes, signing_seed: bytes, identity_public: bytes, name: str
) -> bytes:
    keys = sealing_public, device_id, ed25519.public_of(signing_seed), identity_public
    signed = transcript(b"tokenim/v1 link request\0", *keys, name.encode())
    return ed25519.sign(signing_seed, signed) + signed


def link_digits(request: bytes, answer: bytes) -> str:
    digest = sha256(transcript(b"tokenim/v1 link code\0", sha256(request), answer))
    return str(int.from_bytes(digest[:8], "big") % 10**8).zfill(8)


def confirmation(account: bytes, device_id: bytes, signing_seed: bytes, identity_public: bytes) -> bytes:
    public = ed25519.public_of(signing_seed)
    signed = transcript(b"tokenim/v1 device\0", account, device_id, public, identity_public)
    return ed25519.sign(signing_seed, signed)


def log_leaf(kind: int, subject: bytes, version: int, value_hash: bytes) -> bytes:
    return transcript(b"tokenim/v1 log leaf\0", bytes((kind,)), subject, u64(version), value_hash)


def handle_leaf(salt: bytes, handle: str, version: int, account: bytes) -> bytes:
    """`account` is empty for a handle that was given back."""
    subject = sha256(transcript(b"tokenim/v1 log handle\0", salt, handle.encode()))
    return log_leaf(2, subject, version, sha256(account))


def inclusion_proof(index: int, path: list[bytes], head: bytes) -> bytes:
    return u64(index) + bytes((len(path),)) + b"".join(path) + head


def log_head(log_id: bytes, size: int, root: bytes, time_ms: int) -> bytes:
    return transcript(b"tokenim/v1 log head\0", log_id, u64(size), root, u64(time_ms))


def root_from_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to, by the recursion of RFC 6962, section 2.1.1."""
    if size == 1:
        return sha256(b"\0" + leaf)
    middle = 1
    while middle * 2 < size:
        middle *= 2
    if index < middle:
        return sha256(b"\1" + root_from_path(leaf, index, middle, path[:-1]) + path[-1])
    return sha256(b"\1" + path[-1] + root_from_path(leaf, index - middle, size - middle, path[:-1]))
