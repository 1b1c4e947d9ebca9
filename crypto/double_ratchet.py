"""The Double Ratchet with header encryption and post-quantum steps: one envelope in or out, one new state.

A state is a value: `encrypt` and `decrypt` return the next one, and whoever gets an error keeps the old one unchanged
(B2). Store the new state together with the finished envelope, or with the plaintext, before either leaves (B13).
doubleratchet spec, #double-ratchet-with-header-encryption; docs/protocol.md, "Ratchet". Does not know how a session
is set up, nor which of several sessions an envelope belongs to.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from .chains import ReceivingChain, body_key
from .errors import CopiedState, InvalidEncoding, Undecryptable
from .headers import (
    ENVELOPE_START,
    HAS_KEM_CIPHERTEXT,
    IS_EPHEMERAL,
    SEALED_HEADER_BYTES,
    Header,
    block_length,
    open_block,
    seal_block,
    seal_header,
    try_open_header,
)
from .limits import (
    AEAD_NONCE_BYTES,
    AEAD_TAG_BYTES,
    MAX_RECEIVING_CHAINS,
    MAX_SKIPPED_KEYS,
    MAX_USED_NUMBERS,
)
from .padding import LENGTH_BYTES, bucket_for, is_bucket, pad, unpad
from .primitives import RandomBytes, aes256gcm_open, aes256gcm_seal
from .ratchet_state import AssociatedData, RatchetState
from .root_chain import (
    DEFAULT_SCHEDULE,
    KemSchedule,
    kem_flags_of_next_chain,
    open_receiving_chain,
    open_sending_chain,
)
from .transcript import u32
from .used_numbers import FINGERPRINT_BYTES, RECORDS_IN_PAGE

__all__ = [
    "AssociatedData",
    "MessageInfo",
    "OpenedHeader",
    "RatchetState",
    "decrypt",
    "decrypt_opened",
    "encrypt",
    "find_header",
]

_HEADER_AT: Final = len(ENVELOPE_START) + AEAD_NONCE_BYTES
_BLOCK_AT: Final = _HEADER_AT + SEALED_HEADER_BYTES
_BODY_OVERHEAD: Final = LENGTH_BYTES + AEAD_TAG_BYTES
_MINIMUM_BYTES: Final = _BLOCK_AT + _BODY_OVERHEAD
_FINGERPRINT_END: Final = len(ENVELOPE_START) + FINGERPRINT_BYTES
_NEXT_CHAIN: Final = -1
_TRIAL_ORDER: Final = (
    (_NEXT_CHAIN,),
    *((0, _NEXT_CHAIN, *range(1, chains)) for chains in range(1, MAX_RECEIVING_CHAINS + 1)),
)
"""By the number of receiving chains: the newest, the next, then older ones."""


class MessageInfo(NamedTuple):
    """What the opened message said about itself."""

    number: int
    ephemeral: bool
    opened_chain: bool
    """It is the first that was opened of a new chain: the peer has answered."""
    kem_step: bool
    """Opening that chain mixed in a post-quantum secret."""


class OpenedHeader(NamedTuple):
    """Proof that an envelope belongs to this session; good for `decrypt_opened` with the same state only."""

    chain_index: int
    header: Header


def encrypt(
    state: RatchetState,
    plaintext: bytes,
    ad: AssociatedData,
    random: RandomBytes,
    now_ms: int,
    *,
    ephemeral: bool = False,
    padded_to: Callable[[int], int] = bucket_for,
    schedule: KemSchedule = DEFAULT_SCHEDULE,
) -> tuple[RatchetState, bytes]:
    """(Next state, kind-2 envelope). Opens the sending chain if need be; draws the 12 B nonce last.

    `padded_to` maps the smallest size in bytes to that of the envelope. Only who puts the result into another
    padded envelope gives one of its own. Raises TooLarge, SessionExpired.
    """
    _require_same_session(state, ad)
    if not state.can_send:
        raise ValueError("a responder sends after it has opened a first message")
    root, chain = state.root, state.sending
    if chain is None:
        size = padded_to(len(plaintext) + _overhead(kem_flags_of_next_chain(root, now_ms, schedule)))
        root, chain = open_sending_chain(root, random, now_ms, schedule)
    else:
        size = padded_to(len(plaintext) + _overhead(chain.opening.kem_flags))
    opening = chain.opening
    nonce = random(AEAD_NONCE_BYTES)
    if ephemeral:
        number, flags = chain.ephemeral_number, opening.kem_flags | IS_EPHEMERAL
        chain, aes_key, body_nonce = chain.next_ephemeral(), opening.ephemeral_key, nonce
    else:
        number, flags = chain.number, opening.kem_flags
        chain, message_key = chain.next_message()
        aes_key, body_nonce = body_key(message_key)
    header = seal_header(
        opening.header_key, nonce, opening.ratchet_public, opening.previous_length, number, flags
    )
    before_body = ENVELOPE_START + nonce + header + seal_block(opening.header_key, nonce, opening.kem_block)
    padded = pad(plaintext, size - len(before_body) - AEAD_TAG_BYTES)
    body = aes256gcm_seal(aes_key, body_nonce, padded, ad.start + u32(len(before_body)) + before_body)
    return RatchetState(state.session_id, root, chain, state.receiving), before_body + body


def find_header(state: RatchetState, envelope: bytes) -> OpenedHeader | None:
    """The envelope's header if a header key of this session opens it, else None. Costs one AEAD for each key.

    The keys are independent, so their order shows in the time only: the newest chain first, then the next, then older
    ones. Raises InvalidEncoding for what is no ratchet envelope.
    """
    if len(envelope) < _MINIMUM_BYTES or not envelope.startswith(ENVELOPE_START):
        raise InvalidEncoding("not a ratchet envelope of this suite")
    nonce, sealed = envelope[len(ENVELOPE_START) : _HEADER_AT], envelope[_HEADER_AT:_BLOCK_AT]
    for index in _TRIAL_ORDER[len(state.receiving)]:
        key = state.root.next_receiving if index == _NEXT_CHAIN else state.receiving[index].opening.header_key
        if (header := try_open_header(key, nonce, sealed)) is not None:
            return OpenedHeader(index, header)
    return None


def decrypt(
    state: RatchetState, envelope: bytes, ad: AssociatedData, now_ms: int, *, embedded: bool = False
) -> tuple[RatchetState, bytes, MessageInfo]:
    """(Next state, plaintext, what the message said about itself).

    `embedded`: the envelope came inside another padded one, so its own size need not be a bucket.
    Raises Undecryptable, Replayed, TooFarAhead, CopiedState, InvalidEncoding, InvalidKey; the old state stays good.
    """
    if not embedded and not is_bucket(len(envelope)):
        raise InvalidEncoding("the size of the envelope is no bucket")
    if (opened := find_header(state, envelope)) is None:
        raise Undecryptable("no header key of this session opens it")
    return decrypt_opened(state, opened, envelope, ad, now_ms)


def decrypt_opened(
    state: RatchetState, opened: OpenedHeader, envelope: bytes, ad: AssociatedData, now_ms: int
) -> tuple[RatchetState, bytes, MessageInfo]:
    """As `decrypt`, once `find_header` found the session; checks no size."""
    _require_same_session(state, ad)
    index, header = opened
    flags = header.flags
    body_at = _BLOCK_AT + block_length(flags)
    if len(envelope) < body_at + _BODY_OVERHEAD:
        raise InvalidEncoding("the envelope ends before its body")
    before_body = envelope[:body_at]
    nonce = envelope[len(ENVELOPE_START) : _HEADER_AT]
    root, sending, receiving = state.root, state.sending, state.receiving
    if index == _NEXT_CHAIN:
        block = open_block(root.next_receiving, nonce, envelope[_BLOCK_AT:body_at], flags)
        root, chain = open_receiving_chain(root, sending, header, block, now_ms)
        if receiving:
            receiving = (receiving[0].closed(header.previous_length, now_ms), *receiving[1:])
        receiving, index, sending = (chain, *receiving), 0, None
    before = receiving[index]
    if header.ratchet_public != before.opening.ratchet_public:
        raise CopiedState("two chains with different ratchet keys under one header key")
    if flags & IS_EPHEMERAL:
        after, aes_key, body_nonce = (
            before.after_ephemeral(header.number),
            before.opening.ephemeral_key,
            nonce,
        )
    else:
        fingerprint = envelope[len(ENVELOPE_START) : _FINGERPRINT_END]
        after, message_key = before.message_key(header.number, fingerprint, now_ms)
        aes_key, body_nonce = body_key(message_key)
    plaintext = unpad(
        aes256gcm_open(
            aes_key, body_nonce, envelope[body_at:], ad.start + u32(len(before_body)) + before_body
        )
    )
    receiving = (*receiving[:index], after, *receiving[index + 1 :])
    opened_chain = opened.chain_index == _NEXT_CHAIN
    if opened_chain or after.skipped is not before.skipped or after.used.pages is not before.used.pages:
        receiving = _within_limits(receiving)
    info = MessageInfo(
        header.number,
        bool(flags & IS_EPHEMERAL),
        opened_chain,
        opened_chain and bool(flags & HAS_KEM_CIPHERTEXT),
    )
    return RatchetState(state.session_id, root, sending, receiving), plaintext, info


def _require_same_session(state: RatchetState, ad: AssociatedData) -> None:
    if ad.session_id != state.session_id:
        raise ValueError("the associated data belongs to another session")


def _overhead(kem_flags: int) -> int:
    """Bytes of an envelope without padding beyond its content."""
    return _MINIMUM_BYTES + block_length(kem_flags)


def _within_limits(receiving: tuple[ReceivingChain, ...]) -> tuple[ReceivingChain, ...]:
    """The newest chains, skipped keys and used numbers of a session; the oldest chain loses first (B1)."""
    keys_left, pages_left = MAX_SKIPPED_KEYS, MAX_USED_NUMBERS // RECORDS_IN_PAGE
    kept = []
    for chain in receiving[:MAX_RECEIVING_CHAINS]:
        bounded = chain.bounded(keys_left, pages_left)
        keys_left -= bounded.skipped.count
        pages_left -= len(bounded.used.pages)
        kept.append(bounded)
    return tuple(kept)
