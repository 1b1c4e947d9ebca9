"""The history archive: entries that only the account's history key opens, each at its own place in the account's log alone.

entry = suite 1 ‖ key id 8 ‖ salt 32 ‖ commitment 32 ‖ AES-256-GCM of the padded content, the 73 B before as associated data.
HKDF-SHA-256(salt, IKM = history key, info = transcript of account and index) gives AES-256 key 32 ‖ nonce 12 ‖
commitment 32. So an entry opens under one key, for one account, at one index. docs/protocol.md, "History archive".
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding, TooLarge, Undecryptable
from .local_prekeys import LocalPrekeys
from .padding import LENGTH_BYTES, pad, padded_blob_length, unpad_blob
from .prekeys import KeyKind, SignedKey
from .primitives import (
    HpkePrivateKey,
    RandomBytes,
    aes256gcm_open,
    aes256gcm_seal,
    hkdf_sha256,
    hpke_open,
    hpke_seal,
)
from .transcript import transcript, u32, u64

__all__ = [
    "Giving",
    "HistoryKey",
    "entry_key_id",
    "open_entry",
    "open_given_keys",
    "open_history_keys",
    "seal_entry",
    "seal_given_keys",
    "seal_history_keys",
]

_NONCE_BYTES: Final = 12
_NONCE_END: Final = limits.AEAD_KEY_BYTES + _NONCE_BYTES
_ID_END: Final = 1 + limits.HISTORY_KEY_ID_BYTES
_SALT_END: Final = _ID_END + limits.HISTORY_SALT_BYTES
HISTORY_HEAD_BYTES: Final = _SALT_END + limits.HISTORY_COMMITMENT_BYTES  # 73
_KEY: Final = Struct(">32sQ")


@dataclass(frozen=True, slots=True)
class HistoryKey:
    """One history key of an account, and when it was made: the newest seals, older ones open what they sealed."""

    key: bytes = field(repr=False)
    """32 B."""
    made_at_ms: int

    @classmethod
    def generate(cls, random: RandomBytes, now_ms: int) -> "HistoryKey":
        """A fresh key."""
        return cls(random(limits.HISTORY_KEY_BYTES), now_ms)

    def id_for(self, account: bytes) -> bytes:
        """8 B by which an entry of this account names it; they tell nothing of the key."""
        info = transcript(labels.HISTORY_KEY_ID, account)
        return hkdf_sha256(b"", self.key, info, limits.HISTORY_KEY_ID_BYTES)


def _derive(key: bytes, salt: bytes, account: bytes, index: int) -> tuple[bytes, bytes, bytes]:
    """(AES key 32, nonce 12, commitment 32)."""
    info = transcript(labels.HISTORY_ENTRY, account, u64(index))
    derived = hkdf_sha256(salt, key, info, _NONCE_END + limits.HISTORY_COMMITMENT_BYTES)
    return derived[: limits.AEAD_KEY_BYTES], derived[limits.AEAD_KEY_BYTES : _NONCE_END], derived[_NONCE_END:]


def seal_entry(content: bytes, key: HistoryKey, account: bytes, index: int, random: RandomBytes) -> bytes:
    """The entry that stands at `index` of the account's log; padded as blobs are, so its size says little.

    Raises TooLarge above 250,000 B of content.
    """
    if len(content) > limits.MAX_HISTORY_CONTENT_BYTES:
        raise TooLarge(f"an entry of the archive has at most {limits.MAX_HISTORY_CONTENT_BYTES} bytes")
    salt = random(limits.HISTORY_SALT_BYTES)
    aes_key, nonce, commitment = _derive(key.key, salt, account, index)
    head = bytes((limits.SUITE,)) + key.id_for(account) + salt + commitment
    padded = pad(content, padded_blob_length(len(content) + LENGTH_BYTES))
    return head + aes256gcm_seal(aes_key, nonce, padded, head)


def entry_key_id(entry: bytes) -> bytes:
    """The 8 B id of the key that an entry says it is sealed with; raises InvalidEncoding for what is no entry."""
    if len(entry) <= HISTORY_HEAD_BYTES or entry[0] != limits.SUITE:
        raise InvalidEncoding("not an entry of the history archive of this suite")
    return entry[1:_ID_END]


def open_entry(entry: bytes, keys: Iterable[HistoryKey], account: bytes, index: int) -> bytes:
    """The content of the entry that stands at `index` of the account's log.

    Raises InvalidEncoding, and Undecryptable for one that was changed, was sealed under no key of `keys`, for another account or
    for another place.
    """
    key_id = entry_key_id(entry)
    key = next((one for one in keys if hmac.compare_digest(one.id_for(account), key_id)), None)
    if key is None:
        raise Undecryptable("the entry was sealed with a history key that is not here")
    aes_key, nonce, commitment = _derive(key.key, entry[_ID_END:_SALT_END], account, index)
    if not hmac.compare_digest(commitment, entry[_SALT_END:HISTORY_HEAD_BYTES]):
        raise Undecryptable("the entry was not sealed for this place of this account's archive")
    head, sealed = entry[:HISTORY_HEAD_BYTES], entry[HISTORY_HEAD_BYTES:]
    return unpad_blob(aes256gcm_open(aes_key, nonce, sealed, head))


def seal_history_keys(keys: Sequence[HistoryKey], recovery_public: bytes, account: bytes) -> bytes:
    """The keys for whoever has the recovery words: any device carries them, none opens them. Raises InvalidKey."""
    return hpke_seal(recovery_public, transcript(labels.HISTORY_KEYS, account), _padded(keys))


def open_history_keys(sealed: bytes, sealing: HpkePrivateKey, account: bytes) -> tuple[HistoryKey, ...]:
    """The keys that were sealed to the recovery words of this account; raises Undecryptable, InvalidEncoding."""
    return _unpadded(hpke_open(sealing, transcript(labels.HISTORY_KEYS, account), sealed))


@dataclass(frozen=True, slots=True)
class Giving:
    """Between whom keys go: two devices of one account."""

    account: bytes
    giver: bytes
    """16 B device id."""
    receiver: bytes

    def info(self, key_id: int) -> bytes:
        """What the keys are sealed for. `key_id`: of the receiver's sealing key."""
        return transcript(labels.HISTORY_GIFT, self.account, self.giver, self.receiver, u32(key_id))


def seal_given_keys(keys: Sequence[HistoryKey], sealing: SignedKey, giving: Giving) -> bytes:
    """The keys for one device, whose sealing key `verify_bundle` passed: all own devices carry them, it alone opens them."""
    return hpke_seal(sealing.key, giving.info(sealing.key_id), _padded(keys))


def open_given_keys(
    sealed: bytes, key_id: int, prekeys: LocalPrekeys, giving: Giving
) -> tuple[HistoryKey, ...]:
    """The keys that were sealed to this device's sealing key of that id.

    Raises Undecryptable if that key is gone or does not open them, InvalidEncoding.
    """
    key = prekeys.find(KeyKind.SEALING, key_id)
    if not isinstance(key.secret, HpkePrivateKey):
        raise Undecryptable("the key of this id is no sealing key")
    return _unpadded(hpke_open(key.secret, giving.info(key_id), sealed))


def _padded(keys: Sequence[HistoryKey]) -> bytes:
    content = b"".join(_KEY.pack(one.key, one.made_at_ms) for one in keys)
    return pad(content, padded_blob_length(len(content) + LENGTH_BYTES))


def _unpadded(padded: bytes) -> tuple[HistoryKey, ...]:
    content = unpad_blob(padded)
    if len(content) % _KEY.size or len(content) > limits.MAX_HISTORY_KEYS * _KEY.size:
        raise InvalidEncoding("not a list of history keys")
    keys = tuple(HistoryKey(*one) for one in _KEY.iter_unpack(content))
    if any(one.made_at_ms > limits.MAX_HISTORY_KEY_MS for one in keys):
        # A store could not keep it, and what cannot be kept would be read again for ever.
        raise InvalidEncoding("a history key of an impossible time")
    return keys
