"""The ratchet of the kit's own peer, with its post-quantum steps (docs/protocol.md, chapter Ratchet).

It is there to judge a client, and raises Failed with what is wrong. Its mailbox comes in order, so it keeps one receiving
chain and no skipped keys; and it is forgotten with its case, so it deletes nothing.
"""

import copy
import os
import struct
from dataclasses import dataclass
from typing import Final

from client.conformance.report import Failed
from client.conformance.wire import transcript

from .peer_keys import (
    KEM_CIPHERTEXT_BYTES,
    KEM_KEY_BYTES,
    NO_SALT,
    TAG_BYTES,
    KemPair,
    Pair,
    bucket_for,
    derive,
    encapsulate,
    label,
    pad,
    seal,
    step,
    unpad,
    unseal,
)

MESSAGE: Final = b"\x02\x01"
OFFER, ANSWER = 1, 2
OFFER_AFTER_STEPS: Final = 20
_NONCE_AT, _HEADER_AT, _BLOCK_AT = 2, 14, 78


@dataclass(frozen=True)
class Secrets:
    """What a set-up agrees on."""

    session_id: bytes
    root_key: bytes
    header_key_a: bytes
    next_header_key_b: bytes


@dataclass(frozen=True)
class Party:
    """A device of an account."""

    account_id: bytes
    device_id: bytes


@dataclass
class Chain:
    """One of either direction; `flags` and `block` are on each of its messages."""

    header_keys: tuple[bytes, bytes]
    public: bytes
    key: bytes
    number: int = 0
    previous_length: int = 0
    flags: int = 0
    block: bytes = b""

    def body_key(self) -> tuple[bytes, bytes]:
        """AES key and nonce of the next message; the chain steps."""
        message_key, self.key = step(self.key)
        self.number += 1
        derived = derive(NO_SALT, message_key, label("message keys"), 44)
        return derived[:32], derived[32:]


def _header_keys(key: bytes) -> tuple[bytes, bytes]:
    derived = derive(NO_SALT, key, label("header keys"), 64)
    return derived[:32], derived[32:]


class Ratchet:
    """One session. `offers_next`: a case may have the next chain offer a post-quantum step before one is due.

    `steps` are the root steps since the last KEM secret; `seen_flags` those of the newest chain of the client.
    """

    def __init__(self, secrets: Secrets, us: Party, client: Party, *, signed: Pair | bytes) -> None:
        """`signed`: B's signed prekey; whole if we are B, who did not begin, else its public half."""
        self._session_id, self._root = secrets.session_id, secrets.root_key
        self._us, self._client = us, client
        first, second = _header_keys(secrets.header_key_a), _header_keys(secrets.next_header_key_b)
        self._own = signed if isinstance(signed, Pair) else None
        self._public = None if isinstance(signed, Pair) else signed
        self._next_sending, self._next_receiving = (second, first) if self._own else (first, second)
        self._sending: Chain | None = None
        self._receiving: Chain | None = None
        self._previous_length = 0
        self._offered: KemPair | None = None
        self._client_offer = b""
        self.steps = 0
        self.offers_next = False
        self.seen_flags = 0

    # The root chain.

    def _root_step(self, agreed: bytes, secret: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
        """The chain's first key, and the header keys of the next chain of its direction."""
        name = "root step with kem" if secret else "root step"
        derived = derive(self._root, agreed + secret, label(name), 96)
        self._root = derived[:32]
        self.steps = 0 if secret else self.steps + 1
        return derived[32:64], _header_keys(derived[64:])

    def _open_sending(self) -> Chain:
        if self._public is None:
            raise Failed("the peer was to write before it had opened a message of the client")
        self._own = Pair()
        secret, ciphertext = encapsulate(self._client_offer) if self._client_offer else (b"", b"")
        header_keys = self._next_sending
        key, self._next_sending = self._root_step(self._own.agree(self._public), secret)
        is_due = self.offers_next or self.steps >= OFFER_AFTER_STEPS
        self._offered = KemPair() if is_due else None
        self.offers_next, self._client_offer = False, b""
        offer = self._offered.public if self._offered else b""
        flags = (OFFER if offer else 0) | (ANSWER if ciphertext else 0)
        return Chain(header_keys, self._own.public, key, 0, self._previous_length, flags, offer + ciphertext)

    def _open_receiving(self, public: bytes, flags: int, block: bytes) -> Chain:
        if self._own is None or (self._public is not None and self._sending is None):
            raise Failed("the client opened a second chain, and the peer had not answered the first")
        offer = block[:KEM_KEY_BYTES] if flags & OFFER else b""
        ciphertext = block[len(offer) :]
        if bool(ciphertext) != (self._offered is not None):
            raise Failed(
                "the chain after an offer carries no ML-KEM ciphertext"
                if self._offered
                else "the client's chain carries an ML-KEM ciphertext, and nothing was offered"
            )
        secret = self._offered.open(ciphertext) if self._offered else b""
        header_keys = self._next_receiving
        key, self._next_receiving = self._root_step(self._own.agree(public), secret)
        if self.steps >= OFFER_AFTER_STEPS and not offer:
            raise Failed(
                f"the client offers no post-quantum step, {self.steps} root steps after the last one"
            )
        if offer:
            encapsulate(offer)  # refuses a key that fails the modulus check, before anything is answered
        self._previous_length = self._sending.number if self._sending else 0
        self._public, self._client_offer, self._offered, self._sending = public, offer, None, None
        return Chain(header_keys, public, key, flags=flags)

    # Messages.

    def seal(
        self,
        content: bytes,
        *,
        bare: bool = False,
        filler: bytes = b"\0",
        size: int | None = None,
        last: bytes = b"",
        public: bytes = b"",
        ahead: int = 0,
    ) -> bytes:
        """A whole envelope; `bare`: as it stands in a set-up envelope, which pads by itself.

        `filler`, `size`, `last` (of the header's seven zero bytes), another `public` key in the header, and a number so far
        `ahead` of the next one make what a client has to refuse.
        """
        chain = self._sending = self._sending or self._open_sending()
        if ahead:
            chain = copy.copy(chain)
            for _ in range(ahead):
                chain.body_key()
        nonce = os.urandom(12)
        header = (public or chain.public) + struct.pack(
            ">IIB", chain.previous_length, chain.number, chain.flags
        )
        head = MESSAGE + nonce + seal(chain.header_keys[0], nonce, header + last.rjust(7, b"\0"), MESSAGE)
        if chain.block:
            head += seal(chain.header_keys[1], nonce, chain.block, MESSAGE)
        least = len(head) + 4 + len(content) + TAG_BYTES
        whole = least if bare else size or bucket_for(least)
        padded = pad(content, whole - len(head) - TAG_BYTES, filler)
        key, body_nonce = chain.body_key()
        return head + seal(key, body_nonce, padded, self._beside(self._us, self._client, head))

    def second_chain(self) -> "Ratchet":
        """A copy that opens another chain after its newest one, though the client has not answered that."""
        odd = copy.copy(self)
        odd.close_chain()
        return odd

    def close_chain(self) -> None:
        """As if the client had opened a chain of its own."""
        self._previous_length, self._sending = (self._sending.number if self._sending else 0), None

    def without_answer(self) -> "Ratchet":
        """A copy that knows of no offer of the client: the chain that it opens is one that a client has to refuse."""
        if not self._client_offer or self._sending is not None:
            raise ValueError("there is no offer of the client that the next chain would answer")
        odd = copy.copy(self)
        odd.forget_offer()
        return odd

    def forget_offer(self) -> None:
        """As one does who leaves the post-quantum steps out."""
        self._client_offer = b""

    def open(self, envelope: bytes, *, bare: bool = False) -> bytes:
        """The content of an envelope of the client; raises Failed for what is not as the document says."""
        if envelope[:2] != MESSAGE or len(envelope) < _BLOCK_AT + TAG_BYTES:
            raise Failed(f"a ratchet message begins with {MESSAGE.hex()}, got {envelope[:2].hex()}")
        nonce, sealed = envelope[_NONCE_AT:_HEADER_AT], envelope[_HEADER_AT:_BLOCK_AT]
        chain, is_new = self._receiving, False
        header = unseal(chain.header_keys[0], nonce, sealed, MESSAGE) if chain else None
        if header is None:
            header, is_new = unseal(self._next_receiving[0], nonce, sealed, MESSAGE), True
        if header is None:
            raise Failed("the header of a message opens neither by the key of its chain nor by the next one")
        public, (previous, number, flags) = header[:32], struct.unpack(">IIB", header[32:41])
        if flags & ~(OFFER | ANSWER) or any(header[41:]):
            raise Failed(f"in a header: flags {flags}, and {header[41:].hex()} where 7 zero bytes belong")
        size = (KEM_KEY_BYTES if flags & OFFER else 0) + (KEM_CIPHERTEXT_BYTES if flags & ANSWER else 0)
        body_at = _BLOCK_AT + (size + TAG_BYTES if size else 0)
        if is_new or chain is None:
            block = self._block(nonce, envelope[_BLOCK_AT:body_at])
            if previous != (chain.number if chain else 0):
                raise Failed(f"the client's chain before had {chain.number if chain else 0}, not {previous}")
            chain = self._receiving = self._open_receiving(public, flags, block)
            self.seen_flags = flags
        if (public, number, flags) != (chain.public, chain.number, chain.flags):
            raise Failed(
                f"a header names number {number}, flags {flags}, where {chain.number} and {chain.flags} are next, "
                f"{'by the same' if public == chain.public else 'and by another'} ratchet key"
            )
        key, body_nonce = chain.body_key()
        beside = self._beside(self._client, self._us, envelope[:body_at])
        padded = unseal(key, body_nonce, envelope[body_at:], beside)
        if padded is None:
            raise Failed("the body of a message does not open by the key of its number")
        if bare and len(padded) != 4 + int.from_bytes(padded[:4], "big"):
            raise Failed("the ratchet message inside a set-up envelope is padded")
        return padded[4:] if bare else unpad(padded, len(envelope))

    def _block(self, nonce: bytes, sealed: bytes) -> bytes:
        if not sealed:
            return b""
        block = unseal(self._next_receiving[1], nonce, sealed, MESSAGE)
        if block is None:
            raise Failed("the KEM block of a message does not open by the second key of its header key")
        return block

    def _beside(self, sender: Party, recipient: Party, head: bytes) -> bytes:
        return transcript(
            "tokenim/v1 message",
            self._session_id,
            sender.account_id,
            sender.device_id,
            recipient.account_id,
            recipient.device_id,
            head,
        )
