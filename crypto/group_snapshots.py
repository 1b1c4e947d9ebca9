"""Snapshots of groups: a view, an own chain, a sender's chains, held messages as bytes and back, in one encoding.

Layout: version byte ‖ one MessagePack array (nested arrays, no maps), as in `snapshots`. They hold secrets: they go
into an encrypted store and nowhere else, never into a backup. A chain is stored with each message, so encoding is
quick; decoding checks every length and range.
"""

from typing import Annotated, Final, TypeVar

import msgspec

from . import limits
from .errors import InvalidEncoding, InvalidKey
from .group_epoch import EPOCH_HAND_OUT_BYTES, EarlierSteps, EpochHandOut, EpochKeys
from .group_log import MAX_WAITING_SECRETS, GroupView, MissingEpoch
from .group_state import parse_state
from .held_messages import Held, HeldMessages
from .primitives import ed25519_check, ed25519_keypair
from .sender_chains import ChainOpening, SenderChain, SenderChains, SendingChain, open_chain
from .skipped_keys import KEY_BYTES, SkippedKeys, SkippedRange

__all__ = [
    "SNAPSHOT_VERSION",
    "decode_held",
    "decode_sender",
    "decode_sending",
    "decode_view",
    "encode_held",
    "encode_sender",
    "encode_sending",
    "encode_view",
]

SNAPSHOT_VERSION: Final = 1
_VERSION_BYTE: Final = bytes((SNAPSHOT_VERSION,))

_B32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Device = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_ChainId = Annotated[bytes, msgspec.Meta(min_length=12, max_length=12)]
_U32 = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_Iteration = Annotated[int, msgspec.Meta(ge=0, le=2**32)]
_U63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_HandOut = Annotated[bytes, msgspec.Meta(min_length=EPOCH_HAND_OUT_BYTES, max_length=EPOCH_HAND_OUT_BYTES)]


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, eq=False):
    """One array of the encoding; its elements in this order."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class _Opening(_Array, frozen=True, eq=False):
    group_id: _B32
    epoch: _U63
    cut_hash: _B32
    chain_id: _ChainId
    signing_public: _B32


class _Sending(_Array, frozen=True, eq=False):
    account: _B32
    device: _Device
    opening: _Opening
    signing_seed: _B32
    chain_key: _B32
    iteration: _Iteration
    began_at_ms: _U63


class _Range(_Array, frozen=True, eq=False):
    first: _U32
    keys: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES * limits.MAX_SKIPPED_KEYS)]
    stored_at_ms: _U63


class _Chain(_Array, frozen=True, eq=False):
    opening: _Opening
    chain_key: _B32
    iteration: _Iteration
    skipped: tuple[_Range, ...]


class _Sender(_Array, frozen=True, eq=False):
    account: _B32
    device: _Device
    chains: Annotated[tuple[_Chain, ...], msgspec.Meta(max_length=limits.MAX_SENDER_CHAINS)]


class _Missing(_Array, frozen=True, eq=False):
    epoch: _U63
    cut_hash: _B32
    commitment: _B32


class _Earlier(_Array, frozen=True, eq=False):
    epoch: _U63
    cut_hash: _B32
    first_step: _U32
    secrets: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32 * limits.MAX_KEPT_STEPS)]


class _View(_Array, frozen=True, eq=False):
    state: bytes
    next_entry: _U63
    epochs: Annotated[tuple[_HandOut, ...], msgspec.Meta(max_length=limits.MAX_KEPT_EPOCHS)]
    missing: Annotated[tuple[_Missing, ...], msgspec.Meta(max_length=limits.MAX_KEPT_EPOCHS)]
    waiting: Annotated[tuple[_HandOut, ...], msgspec.Meta(max_length=MAX_WAITING_SECRETS)]
    write_seed: Annotated[bytes, msgspec.Meta(max_length=32)]
    earlier: tuple[_Earlier, ...] = ()


class _Held(_Array, frozen=True, eq=False):
    messages: Annotated[tuple[tuple[bytes, _U63], ...], msgspec.Meta(max_length=limits.MAX_HELD_MESSAGES)]
    dropped: _U63


_T = TypeVar("_T", bound=_Array)
_ENCODER: Final = msgspec.msgpack.Encoder()


def _decode(snapshot: bytes, shape: type[_T]) -> _T:
    if snapshot[:1] != _VERSION_BYTE:
        version = snapshot[0] if snapshot else "none"
        raise InvalidEncoding(f"group snapshot of version {version}; this build reads {SNAPSHOT_VERSION}")
    try:
        return msgspec.msgpack.decode(snapshot[1:], type=shape)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEncoding("damaged group snapshot") from error


def _require(holds: bool) -> None:
    if not holds:
        raise InvalidEncoding("the group snapshot holds an impossible value")


def _encode(fields: tuple[object, ...]) -> bytes:
    return _VERSION_BYTE + _ENCODER.encode(fields)


def _opening_fields(opening: ChainOpening) -> tuple[object, ...]:
    return opening.group_id, opening.epoch, opening.cut_hash, opening.chain_id, opening.signing_public


def _opening(fields: _Opening, account: bytes, device: bytes) -> ChainOpening:
    try:
        ed25519_check(fields.signing_public)
    except InvalidKey as error:
        raise InvalidEncoding("the group snapshot holds an impossible key") from error
    place = fields.group_id, fields.epoch, fields.cut_hash
    return open_chain(*place, account, device, fields.chain_id, fields.signing_public)


def encode_sending(chain: SendingChain) -> bytes:
    """The snapshot of the own chain: secret."""
    opening = chain.opening
    return _encode(
        (
            opening.account,
            opening.device,
            _opening_fields(opening),
            chain.signing_private[: limits.ED25519_SEED_BYTES],
            chain.chain_key,
            chain.iteration,
            chain.began_at_ms,
        )
    )


def decode_sending(snapshot: bytes) -> SendingChain:
    """The own chain of a snapshot; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _Sending)
    private, public = ed25519_keypair(fields.signing_seed)
    _require(public == fields.opening.signing_public)
    opening = _opening(fields.opening, fields.account, fields.device)
    return SendingChain(opening, private, fields.chain_key, fields.iteration, fields.began_at_ms)


def encode_sender(sender: SenderChains) -> bytes:
    """The snapshot of the chains of one sending device: secret."""
    return _encode((sender.account, sender.device, [_chain_fields(chain) for chain in sender.chains]))


def _chain_fields(chain: SenderChain) -> tuple[object, ...]:
    skipped = [(each.first, each.keys, each.stored_at_ms) for each in chain.skipped.ranges]
    return _opening_fields(chain.opening), chain.chain_key, chain.iteration, skipped


def decode_sender(snapshot: bytes) -> SenderChains:
    """The chains of a snapshot; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _Sender)
    chains = tuple(_chain(chain, fields.account, fields.device) for chain in fields.chains)
    _require(sum(chain.skipped.count for chain in chains) <= limits.MAX_SKIPPED_KEYS)
    return SenderChains(fields.account, fields.device, chains)


def _chain(fields: _Chain, account: bytes, device: bytes) -> SenderChain:
    end = 0
    for each in fields.skipped:
        _require(len(each.keys) % KEY_BYTES == 0 and each.first >= end)
        end = each.first + len(each.keys) // KEY_BYTES
    _require(end <= fields.iteration)
    ranges = tuple(SkippedRange(each.first, each.keys, each.stored_at_ms) for each in fields.skipped)
    opening = _opening(fields.opening, account, device)
    return SenderChain(opening, fields.chain_key, fields.iteration, SkippedKeys.of(ranges))


def encode_view(view: GroupView) -> bytes:
    """The snapshot of what a device knows of a group: secret."""
    fields = (
        view.state.encode(),
        view.next_entry,
        [_as_hand_out(keys).encode() for keys in view.epochs],
        [tuple(cut) for cut in view.missing],
        [given.encode() for given in view.waiting],
        view.write_seed,
    )
    if not view.earlier:
        return _encode(fields)
    earlier = [(steps.epoch, steps.cut_hash, steps.first_step, steps.secrets) for steps in view.earlier]
    return _encode((*fields, earlier))


def _as_hand_out(keys: EpochKeys) -> EpochHandOut:
    return EpochHandOut(keys.group_id, keys.epoch, keys.step, keys.cut_hash, keys.secret)


def decode_view(snapshot: bytes) -> GroupView:
    """The view of a snapshot; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _View)
    state = parse_state(fields.state)
    epochs = tuple(EpochHandOut.parse(each).keys() for each in fields.epochs)
    waiting = tuple(map(EpochHandOut.parse, fields.waiting))
    _require(all(keys.group_id == state.group_id for keys in epochs))
    _require(all(given.group_id == state.group_id for given in waiting))
    _require(len(fields.write_seed) in (0, 32))
    missing = tuple(MissingEpoch(cut.epoch, cut.cut_hash, cut.commitment) for cut in fields.missing)
    _require(all(len(each.secrets) % limits.EPOCH_SECRET_BYTES == 0 for each in fields.earlier))
    _require(
        sum(len(each.secrets) for each in fields.earlier) <= limits.EPOCH_SECRET_BYTES * limits.MAX_KEPT_STEPS
    )
    earlier = tuple(
        EarlierSteps(state.group_id, each.epoch, each.cut_hash, each.first_step, each.secrets)
        for each in fields.earlier
    )
    return GroupView(state, fields.next_entry, epochs, missing, waiting, fields.write_seed, earlier)


def encode_held(held: HeldMessages) -> bytes:
    """The snapshot of what waits for its chain: not secret, but who has it knows that it came."""
    return _encode(([(each.envelope, each.came_at_ms) for each in held.messages], held.dropped))


def decode_held(snapshot: bytes) -> HeldMessages:
    """The value of a snapshot; InvalidEncoding for another version or a damaged one."""
    fields = _decode(snapshot, _Held)
    return HeldMessages(tuple(Held(*each) for each in fields.messages), fields.dropped)
