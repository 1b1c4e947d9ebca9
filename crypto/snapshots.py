"""Snapshots: a ratchet state as bytes and back; one state has one encoding, and an unknown version is refused.

Layout: version byte ‖ one MessagePack array (nested arrays, no maps). A client stores one with every message, so
encoding is quick; decoding checks every length and range, because a damaged state must not look like a good one.
Snapshots hold every secret of a session: they go into an encrypted store and nowhere else, never into a backup.
"""

from typing import Annotated, Final

import msgspec

from .chains import (
    STILL_OPEN,
    ChainClosing,
    ReceivingChain,
    ReceivingOpening,
    SendingChain,
    SendingOpening,
)
from .errors import InvalidEncoding
from .headers import HeaderKey, block_length
from .limits import AEAD_TAG_BYTES, MAX_MESSAGE_NUMBER, MAX_RECEIVING_CHAINS, MAX_SKIPPED_KEYS
from .primitives import AeadKey, KemPrivateKey
from .ratchet_state import RatchetState
from .root_chain import RootChain
from .skipped_keys import KEY_BYTES, SkippedKeys, SkippedRange
from .used_numbers import RECORD_BYTES, UsedNumbers

__all__ = ["SNAPSHOT_VERSION", "decode_state", "encode_state"]

SNAPSHOT_VERSION: Final = 1
_VERSION_BYTE: Final = bytes((SNAPSHOT_VERSION,))

_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_MaybeKey = Annotated[bytes, msgspec.Meta(max_length=32)]
_Seed = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
_Offer = Annotated[bytes, msgspec.Meta(max_length=1_184)]
_Block = Annotated[bytes, msgspec.Meta(max_length=2_272)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_MESSAGE_NUMBER + 1)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, eq=False):
    """One array of the encoding; its elements in this order."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class _Root(_Array, frozen=True, eq=False):
    root_key: _Key
    own_private: _MaybeKey
    peer_public: _MaybeKey
    next_sending_header: _Key
    next_sending_block: _Key
    next_receiving_header: _Key
    next_receiving_block: _Key
    previous_length: _Number
    steps_since_kem: _Number
    last_kem_at_ms: _Time
    offered_seed: _Seed | None
    peer_offer: _Offer


class _Sending(_Array, frozen=True, eq=False):
    header_key: _Key
    block_key: _Key
    ratchet_public: _Key
    previous_length: _Number
    ephemeral_key: _Key
    kem_flags: Annotated[int, msgspec.Meta(ge=0, le=3)]
    kem_block: _Block
    chain_key: _Key
    number: _Number
    ephemeral_number: _Number


class _Range(_Array, frozen=True, eq=False):
    first: _Number
    keys: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES * MAX_SKIPPED_KEYS)]
    stored_at_ms: _Time


class _Receiving(_Array, frozen=True, eq=False):
    header_key: _Key
    block_key: _Key
    ratchet_public: _Key
    ephemeral_key: _Key
    chain_key: _MaybeKey
    number: _Number
    ephemeral_number: _Number
    closed: tuple[_Number, _Time] | None
    used: bytes
    skipped: tuple[_Range, ...]


class _State(_Array, frozen=True, eq=False):
    session_id: _Key
    root: _Root
    sending: _Sending | None
    receiving: Annotated[tuple[_Receiving, ...], msgspec.Meta(max_length=MAX_RECEIVING_CHAINS)]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_State)


def encode_state(state: RatchetState) -> bytes:
    """The snapshot of `state`: secret."""
    root, sending = state.root, state.sending
    return _VERSION_BYTE + _ENCODER.encode(
        (
            state.session_id,
            (
                root.root_key,
                root.own_private,
                root.peer_public,
                root.next_sending.headers.key_bytes,
                root.next_sending.blocks.key_bytes,
                root.next_receiving.headers.key_bytes,
                root.next_receiving.blocks.key_bytes,
                root.previous_length,
                root.steps_since_kem,
                root.last_kem_at_ms,
                root.offered.seed if root.offered else None,
                root.peer_offer,
            ),
            _sending_fields(sending) if sending else None,
            [_receiving_fields(chain) for chain in state.receiving],
        )
    )


def decode_state(snapshot: bytes) -> RatchetState:
    """The state of a snapshot; raises InvalidEncoding for another version, and for what no state encodes to."""
    if snapshot[:1] != _VERSION_BYTE:
        version = snapshot[0] if snapshot else "none"
        raise InvalidEncoding(f"ratchet snapshot of version {version}; this build reads {SNAPSHOT_VERSION}")
    try:
        fields = _DECODER.decode(snapshot[1:])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEncoding("damaged ratchet snapshot") from error
    state = RatchetState(
        fields.session_id,
        _root(fields.root),
        _sending(fields.sending) if fields.sending else None,
        tuple(map(_receiving, fields.receiving)),
    )
    if encode_state(state) != snapshot:
        raise InvalidEncoding("the ratchet snapshot is not in canonical form")
    return state


def _sending_fields(chain: SendingChain) -> tuple[object, ...]:
    opening = chain.opening
    return (
        opening.header_key.headers.key_bytes,
        opening.header_key.blocks.key_bytes,
        opening.ratchet_public,
        opening.previous_length,
        opening.ephemeral_key,
        opening.kem_flags,
        opening.kem_block,
        chain.chain_key,
        chain.number,
        chain.ephemeral_number,
    )


def _receiving_fields(chain: ReceivingChain) -> tuple[object, ...]:
    opening, closing, used = chain.opening, chain.closing, chain.used
    return (
        opening.header_key.headers.key_bytes,
        opening.header_key.blocks.key_bytes,
        opening.ratchet_public,
        opening.ephemeral_key,
        chain.chain_key,
        chain.number,
        chain.ephemeral_number,
        None if closing is STILL_OPEN else (closing.length, closing.at_ms),
        b"".join((*used.pages, used.last)),
        [(each.first, each.keys, each.stored_at_ms) for each in chain.skipped.ranges],
    )


def _root(fields: _Root) -> RootChain:
    for key in (fields.own_private, fields.peer_public):
        _require(len(key) in (0, 32))
    _require(len(fields.peer_offer) in (0, 1_184))
    return RootChain(
        root_key=fields.root_key,
        own_private=fields.own_private,
        peer_public=fields.peer_public,
        next_sending=_header_key(fields.next_sending_header, fields.next_sending_block),
        next_receiving=_header_key(fields.next_receiving_header, fields.next_receiving_block),
        previous_length=fields.previous_length,
        steps_since_kem=fields.steps_since_kem,
        last_kem_at_ms=fields.last_kem_at_ms,
        offered=KemPrivateKey(fields.offered_seed) if fields.offered_seed else None,
        peer_offer=fields.peer_offer,
    )


def _sending(fields: _Sending) -> SendingChain:
    sealed_bytes = len(fields.kem_block) + AEAD_TAG_BYTES if fields.kem_block else 0
    _require(sealed_bytes == block_length(fields.kem_flags))
    opening = SendingOpening(
        header_key=_header_key(fields.header_key, fields.block_key),
        ratchet_public=fields.ratchet_public,
        previous_length=fields.previous_length,
        ephemeral_key=fields.ephemeral_key,
        kem_flags=fields.kem_flags,
        kem_block=fields.kem_block,
    )
    return SendingChain(opening, fields.chain_key, fields.number, fields.ephemeral_number)


def _receiving(fields: _Receiving) -> ReceivingChain:
    _require(len(fields.chain_key) in (0, 32))
    _require(len(fields.used) % RECORD_BYTES == 0)
    end = 0
    for each in fields.skipped:
        _require(len(each.keys) % KEY_BYTES == 0 and each.first >= end)
        end = each.first + len(each.keys) // KEY_BYTES
    _require(end <= fields.number)
    closing = ChainClosing(*fields.closed) if fields.closed else STILL_OPEN
    _require(fields.number <= closing.length)
    ranges = tuple(SkippedRange(each.first, each.keys, each.stored_at_ms) for each in fields.skipped)
    return ReceivingChain(
        ReceivingOpening(
            _header_key(fields.header_key, fields.block_key), fields.ratchet_public, fields.ephemeral_key
        ),
        fields.chain_key,
        fields.number,
        fields.ephemeral_number,
        SkippedKeys.of(ranges),
        UsedNumbers.from_records(fields.used),
        closing,
    )


def _header_key(headers: bytes, blocks: bytes) -> HeaderKey:
    return HeaderKey(AeadKey(headers), AeadKey(blocks))


def _require(holds: bool) -> None:
    if not holds:
        raise InvalidEncoding("the ratchet snapshot holds an impossible value")
