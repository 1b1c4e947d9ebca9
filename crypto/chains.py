"""Message chains: each message of a chain has its own key, and a chain key is replaced as soon as it was used.

A chain belongs to one ratchet key of its sender. What is fixed when it is opened is kept apart from what changes with
every message, so that a step copies little. Nothing here knows the root chain or envelopes.
doubleratchet spec, #symmetric-key-ratchet; docs/protocol.md, "Ratchet".
"""

from typing import Final

from . import labels
from .errors import CopiedState, Replayed, SessionExpired, TooFarAhead, Undecryptable
from .headers import HeaderKey
from .limits import AEAD_KEY_BYTES, AEAD_NONCE_BYTES, MAX_FORWARD_JUMP, MAX_MESSAGE_NUMBER, MAX_SKIPPED_KEYS
from .primitives import hkdf_sha256, hmac_sha256, hmac_sha256_twice
from .secret_value import SecretValue, replace
from .skipped_keys import NO_SKIPPED_KEYS, SkippedKeys
from .used_numbers import NONE_USED, UsedNumbers

__all__ = [
    "STILL_OPEN",
    "ChainClosing",
    "ReceivingChain",
    "ReceivingOpening",
    "SendingChain",
    "SendingOpening",
    "SessionSecrets",
    "body_key",
    "chain_step",
    "derive_ephemeral_key",
]

_MESSAGE_KEY_CONSTANT: Final = b"\x01"
_CHAIN_KEY_CONSTANT: Final = b"\x02"
_AES_KEY_AND_NONCE_BYTES: Final = AEAD_KEY_BYTES + AEAD_NONCE_BYTES


class SessionSecrets(SecretValue, frozen=True, eq=False):
    """What a session set-up agrees on (docs/protocol.md, "Session set-up"); A is who started it."""

    session_id: bytes
    """32 B: the hash of the set-up transcript."""
    root_key: bytes
    """32 B: RK₀."""
    header_key_a: bytes
    """32 B: HK_A, of A's first chain."""
    next_header_key_b: bytes
    """32 B: NHK_B, of B's first chain."""


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """(32 B message key, 32 B next chain key)."""
    return hmac_sha256_twice(chain_key, _MESSAGE_KEY_CONSTANT, _CHAIN_KEY_CONSTANT)


def body_key(message_key: bytes) -> tuple[bytes, bytes]:
    """(32 B AES key, 12 B nonce) of the one body that a 32 B message key seals."""
    derived = hkdf_sha256(b"", message_key, labels.MESSAGE_KEYS, _AES_KEY_AND_NONCE_BYTES)
    return derived[:AEAD_KEY_BYTES], derived[AEAD_KEY_BYTES:]


def derive_ephemeral_key(first_chain_key: bytes) -> bytes:
    """The 32 B AES key of all ephemeral messages of the chain that begins with this key."""
    return hkdf_sha256(b"", first_chain_key, labels.EPHEMERAL_KEY, AEAD_KEY_BYTES)


class SendingOpening(SecretValue, frozen=True, eq=False):
    """What all messages of a sending chain share."""

    header_key: HeaderKey
    ratchet_public: bytes
    """32 B."""
    previous_length: int
    ephemeral_key: bytes
    kem_flags: int
    kem_block: bytes
    """[1,184 B offer] ‖ [1,088 B ciphertext]; rides on every message of the chain."""


class SendingChain(SecretValue, frozen=True, eq=False):
    """The chain that messages are sent on until the peer opens its next one."""

    opening: SendingOpening
    chain_key: bytes
    number: int = 0
    """Of the next message."""
    ephemeral_number: int = 0
    """Of the next ephemeral message."""

    def next_message(self) -> tuple["SendingChain", bytes]:
        """(The chain after it, the 32 B message key of `number`)."""
        if self.number > MAX_MESSAGE_NUMBER:
            raise SessionExpired("the sending chain has used all its numbers")
        message_key, chain_key = chain_step(self.chain_key)
        return SendingChain(self.opening, chain_key, self.number + 1, self.ephemeral_number), message_key

    def next_ephemeral(self) -> "SendingChain":
        """The chain after an ephemeral message: its chain key does not move (B14)."""
        if self.ephemeral_number > MAX_MESSAGE_NUMBER:
            raise SessionExpired("the sending chain has used all its ephemeral numbers")
        return SendingChain(self.opening, self.chain_key, self.number, self.ephemeral_number + 1)


class ReceivingOpening(SecretValue, frozen=True, eq=False):
    """What all messages of a receiving chain share."""

    header_key: HeaderKey
    ratchet_public: bytes
    """32 B."""
    ephemeral_key: bytes


class ChainClosing(SecretValue, frozen=True, eq=False):
    """What is known since the peer opened its next chain."""

    length: int
    """How many numbered messages the chain has; a larger number than any while it is open."""
    at_ms: int


STILL_OPEN: Final = ChainClosing(MAX_MESSAGE_NUMBER + 1, 0)


class ReceivingChain(SecretValue, frozen=True, eq=False):
    """A chain of the peer: the current one, or an older one with messages that may still come.

    An older chain keeps its key only until its last message: no key is derived before it is needed, so that closing
    a chain with thousands of messages under way loses none of them.
    """

    opening: ReceivingOpening
    chain_key: bytes
    """32 B; empty once the chain is closed and every key was derived."""
    number: int = 0
    """The lowest number whose key was not derived."""
    ephemeral_number: int = 0
    """The lowest ephemeral number that is still accepted."""
    skipped: SkippedKeys = NO_SKIPPED_KEYS
    used: UsedNumbers = NONE_USED
    closing: ChainClosing = STILL_OPEN

    def message_key(self, number: int, fingerprint: bytes, now_ms: int) -> tuple["ReceivingChain", bytes]:
        """(The chain after it, the 32 B key of message `number`).

        Raises Replayed for a number that this envelope used, or that was used too long ago to say by which; CopiedState
        for one that another envelope used, or that the sender's own next chain says was never sent; TooFarAhead.
        """
        if number < self.number:
            return self._late_key(number, fingerprint)
        if number >= self.closing.length:
            raise CopiedState("a number beyond the end that the sender itself announced for this chain")
        if not self.chain_key:
            raise Undecryptable("the keys of this chain are past their lifetime")
        jump = number - self.number
        if jump > MAX_FORWARD_JUMP:
            raise TooFarAhead(f"{jump} messages ahead, at most {MAX_FORWARD_JUMP} are allowed")
        chain_key, skipped = (self.chain_key, self.skipped) if not jump else self._skip(jump, now_ms)
        message_key, chain_key = chain_step(chain_key)
        if number + 1 == self.closing.length:
            chain_key = b""
        return ReceivingChain(
            self.opening,
            chain_key,
            number + 1,
            self.ephemeral_number,
            skipped,
            self.used.add(number, fingerprint),
            self.closing,
        ), message_key

    def _late_key(self, number: int, fingerprint: bytes) -> tuple["ReceivingChain", bytes]:
        if (taken := self.skipped.take(number)) is None:
            used_by = self.used.find(number)
            if used_by is None or used_by == fingerprint:
                raise Replayed(f"message {number} of this chain was opened before, or its key has expired")
            raise CopiedState(f"message {number} of this chain came in another envelope before")
        skipped, message_key = taken
        return ReceivingChain(
            self.opening,
            self.chain_key,
            self.number,
            self.ephemeral_number,
            skipped,
            self.used.add(number, fingerprint),
            self.closing,
        ), message_key

    def _skip(self, jump: int, now_ms: int) -> tuple[bytes, SkippedKeys]:
        """(The chain key after `jump` messages, the skipped keys with the newest of theirs)."""
        chain_key, keys = self.chain_key, []
        unkept = max(0, jump - MAX_SKIPPED_KEYS)
        for _ in range(unkept):
            chain_key = hmac_sha256(chain_key, _CHAIN_KEY_CONSTANT)
        for _ in range(jump - unkept):
            message_key, chain_key = chain_step(chain_key)
            keys.append(message_key)
        return chain_key, self.skipped.add(self.number + unkept, b"".join(keys), now_ms)

    def after_ephemeral(self, number: int) -> "ReceivingChain":
        """The chain after ephemeral message `number`; raises Replayed unless the counter rises."""
        if number < self.ephemeral_number:
            raise Replayed("the counter of the ephemeral message does not rise")
        return ReceivingChain(
            self.opening, self.chain_key, self.number, number + 1, self.skipped, self.used, self.closing
        )

    def closed(self, length: int, now_ms: int) -> "ReceivingChain":
        """The chain once its sender has opened the next one and says how long this one is."""
        if length < self.number:
            raise CopiedState("the sender's next chain says that this one is shorter than what came of it")
        chain_key = b"" if length == self.number else self.chain_key
        return replace(self, chain_key=chain_key, closing=ChainClosing(length, now_ms))

    def bounded(self, skipped_keys: int, used_pages: int) -> "ReceivingChain":
        """With no more than the newest `skipped_keys` keys and `used_pages` full pages of used numbers."""
        surplus = self.skipped.count - skipped_keys
        skipped = self.skipped.without_oldest(surplus) if surplus > 0 else self.skipped
        used = self.used.newest_pages(used_pages)
        if skipped is self.skipped and used is self.used:
            return self
        return replace(self, skipped=skipped, used=used)

    def without_keys_before(self, oldest_ms: int) -> "ReceivingChain | None":
        """Without what was stored before `oldest_ms`; None if the chain itself was closed before then."""
        if self.closing is not STILL_OPEN and self.closing.at_ms < oldest_ms:
            return None
        skipped = self.skipped.stored_since(oldest_ms)
        return self if skipped is self.skipped else replace(self, skipped=skipped)
