"""Group messages (kind 3): one envelope for all members, encrypted and signed by a chain of its sender.

States are values: `encrypt` and `decrypt` return the next one, and whoever gets an error keeps the old one unchanged.
Store the new state together with the finished envelope, or with the plaintext. Who is in the group is checked with
each message, so a sender that is out is not shown, also under keys it still has (B5). docs/protocol.md, "Groups",
"Messages". Does not know how secrets and chains travel.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from .errors import ChainEnded, ChainMissing, InvalidEncoding, NotEntitled, Undecryptable
from .group_epoch import EpochKeys
from .group_rights import Right
from .group_state import GroupState
from .limits import AEAD_NONCE_BYTES, AEAD_TAG_BYTES, ED25519_SIGNATURE_BYTES, SUITE
from .manifest_chain import VerifiedManifest
from .padding import LENGTH_BYTES, bucket_for, is_bucket, pad, unpad
from .primitives import (
    AeadKey,
    RandomBytes,
    aes256gcm_open,
    aes256gcm_seal,
    ed25519_sign,
    ed25519_verify,
    sha256,
)
from .sender_chains import ChainOpening, SenderChains, SendingChain
from .transcript import u32

__all__ = [
    "KIND_GROUP",
    "GroupHeader",
    "OpenedGroupHeader",
    "decrypt",
    "encrypt",
    "find_header",
    "require_sender",
]

KIND_GROUP: Final = 3
ENVELOPE_START: Final = bytes((KIND_GROUP, SUITE))
_HEADER: Final = Struct(">16s12sI")
_HEADER_AT: Final = len(ENVELOPE_START) + AEAD_NONCE_BYTES
_BODY_AT: Final = _HEADER_AT + _HEADER.size + AEAD_TAG_BYTES
_OVERHEAD: Final = _BODY_AT + LENGTH_BYTES + AEAD_TAG_BYTES + ED25519_SIGNATURE_BYTES
_FOUR: Final = u32(4)
_HASH_LENGTH: Final = u32(32)
_BODY_AD_LENGTH: Final = u32(_BODY_AT)


class GroupHeader(NamedTuple):
    """Which chain and message it is: 16 B device id, 12 B chain id, iteration from 0."""

    device: bytes
    chain_id: bytes
    iteration: int


class OpenedGroupHeader(NamedTuple):
    """Proof that an envelope belongs to this epoch of this group; good for `decrypt` of the same envelope."""

    keys: EpochKeys
    header: GroupHeader


def encrypt(
    chain: SendingChain,
    keys: EpochKeys,
    state: GroupState,
    plaintext: bytes,
    random: RandomBytes,
    now_ms: int,
) -> tuple[SendingChain, bytes]:
    """(Next chain, kind-3 envelope). `keys` and `state`: the newest of the group; draws the 12 B nonce.

    Raises ChainEnded after 500 messages, 7 days or a cut: begin a chain and hand it out; NotEntitled if the own
    account may not send; GroupTooNew; TooLarge.
    """
    opening = chain.opening
    if opening.epoch != state.epoch or opening.cut_hash != state.cut_hash:
        raise ChainEnded("the epoch of this chain is over")
    if (keys.epoch, keys.step, keys.group_id) != (state.epoch, state.step, opening.group_id):
        raise ChainMissing("the secret of the group's epoch has not come yet")
    if chain.is_used_up(now_ms):
        raise ChainEnded("the chain has had its messages or its time")
    state.require_known()
    state.require_right(opening.account, Right.SEND)
    iteration = u32(chain.iteration)
    after, message_key = chain.next_message()
    nonce = random(AEAD_NONCE_BYTES)
    header = keys.headers.seal(nonce, opening.device + opening.chain_id + iteration, ENVELOPE_START)
    before_body = ENVELOPE_START + nonce + header
    size = bucket_for(_OVERHEAD + len(plaintext))
    padded = pad(plaintext, size - _BODY_AT - AEAD_TAG_BYTES - ED25519_SIGNATURE_BYTES)
    body = aes256gcm_seal(message_key, nonce, padded, _body_ad(opening, iteration, before_body))
    unsigned = before_body + body
    signature = ed25519_sign(chain.signing_private, _signed(opening, iteration, unsigned))
    return after, unsigned + signature


def find_header(epochs: Iterable[EpochKeys], envelope: bytes) -> OpenedGroupHeader | None:
    """The epoch whose key opens the header, else None: costs one AEAD for each. Newest epochs first is fastest.

    Raises InvalidEncoding for what is no group envelope of a bucket's size.
    """
    if len(envelope) < _OVERHEAD or not envelope.startswith(ENVELOPE_START) or not is_bucket(len(envelope)):
        raise InvalidEncoding("not a group envelope of this suite")
    nonce, sealed = envelope[len(ENVELOPE_START) : _HEADER_AT], envelope[_HEADER_AT:_BODY_AT]
    for keys in epochs:
        if (plain := _try_open(keys.headers, nonce, sealed)) is not None:
            return OpenedGroupHeader(keys, GroupHeader(*_HEADER.unpack(plain)))
    return None


def _try_open(key: AeadKey, nonce: bytes, sealed: bytes) -> bytes | None:
    return key.try_open(nonce, sealed, ENVELOPE_START)


def decrypt(
    sender: SenderChains,
    opened: OpenedGroupHeader,
    envelope: bytes,
    state: GroupState,
    manifest: VerifiedManifest,
    now_ms: int,
) -> tuple[SenderChains, bytes]:
    """(Next chains of the sender, plaintext) of an envelope whose header `find_header` opened.

    `state`: the newest of the group; `manifest`: the newest of the sender's account. Raises NotEntitled or
    UnknownDevice for a sender who is out (B5), ChainMissing for a chain that has not come: hold the envelope;
    InvalidSignature, Replayed (B8), TooFarAhead, Undecryptable, InvalidEncoding. The old value stays good.
    """
    keys, header = opened
    if manifest.account_id != sender.account or header.device != sender.device:
        raise ValueError("the chains or the manifest of another sender")
    if keys.group_id != state.group_id:
        raise ValueError("the state of another group")
    member = state.require_right(sender.account, Right.SEND)
    manifest.device(sender.device)
    if keys.epoch < member.since:
        raise NotEntitled("sent before the member was added again")
    if (index := sender.index_of(header.chain_id)) is None:
        raise ChainMissing("this chain has not come yet")
    chain = sender.chains[index]
    opening = chain.opening
    if (opening.group_id, opening.epoch, opening.cut_hash) != (keys.group_id, keys.epoch, keys.cut_hash):
        raise Undecryptable("a chain of another epoch than the header's key")
    iteration = u32(header.iteration)
    unsigned, signature = envelope[:-ED25519_SIGNATURE_BYTES], envelope[-ED25519_SIGNATURE_BYTES:]
    ed25519_verify(opening.signing_public, _signed(opening, iteration, unsigned), signature)
    after, message_key = chain.message_key(header.iteration, now_ms)
    nonce = unsigned[len(ENVELOPE_START) : _HEADER_AT]
    ad = _body_ad(opening, iteration, unsigned[:_BODY_AT])
    plaintext = unpad(aes256gcm_open(message_key, nonce, unsigned[_BODY_AT:], ad))
    return sender.with_chain(index, after), plaintext


def _body_ad(opening: ChainOpening, iteration: bytes, before_body: bytes) -> bytes:
    """Transcript: group, epoch, hash at the cut, account, device, chain id, iteration, envelope before the body."""
    return opening.sealed_start + _FOUR + iteration + _BODY_AD_LENGTH + before_body


def _signed(opening: ChainOpening, iteration: bytes, unsigned: bytes) -> bytes:
    """Transcript: the same fields, then SHA-256 of the envelope before the signature."""
    return opening.signed_start + _FOUR + iteration + _HASH_LENGTH + sha256(unsigned)


def require_sender(state: GroupState, manifest: VerifiedManifest, device: bytes) -> None:
    """Raise NotEntitled or UnknownDevice unless this device may hand out a chain in the group."""
    if not state.member(manifest.account_id).rights & Right.SEND:
        raise NotEntitled("the member may not send")
    manifest.device(device)
