"""Profiles; docs/protocol.md, "Profiles"."""

from tests.oracle import ed25519
from tests.oracle.aes_gcm import gcm_open, gcm_seal
from tests.oracle.blobs import padded_length, unpad_exactly
from tests.oracle.refusals import require
from tests.oracle.transcripts import hkdf, split, transcript, u32, u64


def derive(key: bytes, salt: bytes, account: bytes, version: int) -> tuple[bytes, bytes, bytes]:
    """(AES key, nonce, commitment)."""
    info = transcript(b"tokenim/v1 profile\0", account, u64(version))
    aes, nonce, commitment = split(hkdf(salt, key, info, 76), 32, 12, 32)
    return aes, nonce, commitment


def signed(account: bytes, version: int, device: bytes, content: bytes) -> bytes:
    return transcript(b"tokenim/v1 profile signature\0", account, u64(version), device, content)


def seal(
    content: bytes, key: bytes, account: bytes, version: int, salt: bytes, device: bytes, seed: bytes
) -> bytes:
    aes, nonce, commitment = derive(key, salt, account, version)
    statement = device + ed25519.sign(seed, signed(account, version, device, content)) + content
    padded = (u32(len(statement)) + statement).ljust(max(1024, padded_length(4 + len(statement))), b"\0")
    head = b"\x01" + salt + commitment
    return head + gcm_seal(aes, nonce, padded, head)


def unseal(profile: bytes, key: bytes, account: bytes, version: int, devices: dict[bytes, bytes]) -> bytes:
    """The content; `devices`: signing key by id, of the account's list."""
    require(len(profile) > 65 and profile[:1] == b"\x01", "suite")
    aes, nonce, commitment = derive(key, profile[1:33], account, version)
    require(profile[33:65] == commitment, "commitment", "Undecryptable")
    statement = unpad_exactly(gcm_open(aes, nonce, profile[65:], profile[:65]), 1024)
    require(len(statement) >= 80, "statement")
    device, signature, content = statement[:16], statement[16:80], statement[80:]
    require(device in devices, "device", "UnknownDevice")
    ed25519.verify(devices[device], signed(account, version, device, content), signature)
    return content
