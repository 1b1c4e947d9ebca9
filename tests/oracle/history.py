"""Entries of the history archive, its keys for the recovery words and for other devices; docs/protocol.md, "History archive"."""

from tests.oracle import hpke
from tests.oracle.aes_gcm import gcm_open, gcm_seal
from tests.oracle.blobs import padded_length, unpad_exactly
from tests.oracle.refusals import require
from tests.oracle.transcripts import hkdf, number, split, transcript, u32, u64


def key_id(key: bytes, account: bytes) -> bytes:
    return hkdf(b"", key, transcript(b"tokenim/v1 history key id\0", account), 8)


def derive(key: bytes, salt: bytes, account: bytes, index: int) -> tuple[bytes, bytes, bytes]:
    """(AES key, nonce, commitment)."""
    info = transcript(b"tokenim/v1 history entry\0", account, u64(index))
    aes, nonce, commitment = split(hkdf(salt, key, info, 76), 32, 12, 32)
    return aes, nonce, commitment


def padded(content: bytes) -> bytes:
    return (u32(len(content)) + content).ljust(padded_length(4 + len(content)), b"\0")


def seal(content: bytes, key: bytes, account: bytes, index: int, salt: bytes) -> bytes:
    aes, nonce, commitment = derive(key, salt, account, index)
    head = b"\x01" + key_id(key, account) + salt + commitment
    return head + gcm_seal(aes, nonce, padded(content), head)


def unseal(entry: bytes, key: bytes, account: bytes, index: int) -> bytes:
    require(len(entry) > 73 and entry[:1] == b"\x01", "suite")
    require(entry[1:9] == key_id(key, account), "key", "Undecryptable")
    aes, nonce, commitment = derive(key, entry[9:41], account, index)
    require(entry[41:73] == commitment, "commitment", "Undecryptable")
    return unpad_exactly(gcm_open(aes, nonce, entry[73:], entry[:73]))


def open_keys(sealed: bytes, sealing_seed: bytes, account: bytes) -> list[tuple[bytes, int]]:
    return _keys(hpke.unseal(sealing_seed, transcript(b"tokenim/v1 history keys\0", account), sealed))


def gift_info(account: bytes, giver: bytes, receiver: bytes, sealing_key_id: int) -> bytes:
    return transcript(b"tokenim/v1 history gift\0", account, giver, receiver, u32(sealing_key_id))


def open_gift(sealed: bytes, sealing_seed: bytes, info: bytes) -> list[tuple[bytes, int]]:
    return _keys(hpke.unseal(sealing_seed, info, sealed))


def _keys(padded_keys: bytes) -> list[tuple[bytes, int]]:
    content = unpad_exactly(padded_keys)
    require(len(content) % 40 == 0 and len(content) <= 64 * 40, "length")
    keys = [(content[at : at + 32], number(content[at + 32 : at + 40])) for at in range(0, len(content), 40)]
    require(all(made_at_ms <= 2**53 for _, made_at_ms in keys), "time")
    return keys
