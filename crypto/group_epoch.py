"""Epoch secrets: from one come the keys of headers, log entries and log reading, bound to the state of the cut.

A cut draws a fresh secret; the commit names its commitment, so all members use one and the same. In a broadcast
group a join takes a *step*: the next secret follows one-way from the last, so who joins reads nothing earlier and
nobody is handed a key anew. docs/protocol.md, "Groups", "Epochs".
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding
from .primitives import AeadKey, hkdf_sha256, sha256
from .secret_value import SecretValue, replace
from .transcript import transcript, u32, u64

__all__ = [
    "EPOCH_HAND_OUT_BYTES",
    "EarlierSteps",
    "EpochHandOut",
    "EpochKeys",
    "derive_epoch",
    "epoch_commitment",
    "next_step",
]

_HAND_OUT: Final = Struct(">B32sQI32s32s32s")
EPOCH_HAND_OUT_BYTES: Final = _HAND_OUT.size  # 141
_NO_SEED: Final = bytes(32)
_DERIVED_BYTES: Final = 2 * limits.AEAD_KEY_BYTES + 32


class EpochKeys(SecretValue, frozen=True, eq=False):
    """All that hangs on one epoch secret."""

    group_id: bytes
    epoch: int
    """How many cuts there were; the group's creation is the first."""
    step: int
    """How many joins of a broadcast group since the cut; 0 in other groups."""
    cut_hash: bytes
    """32 B: hash of the state at the cut."""
    secret: bytes
    """32 B."""
    headers: AeadKey
    entries: AeadKey
    read_token: bytes
    """32 B: what the log asks of readers."""


def derive_epoch(group_id: bytes, epoch: int, step: int, cut_hash: bytes, secret: bytes) -> EpochKeys:
    """HKDF(salt = hash of the state at the cut, secret): header key 32 ‖ entry key 32 ‖ read token 32."""
    for name, value, length in (("group id", group_id, 32), ("hash", cut_hash, 32), ("secret", secret, 32)):
        if len(value) != length:
            raise InvalidEncoding(f"the {name} of an epoch must be {length} bytes")
    info = transcript(labels.EPOCH_KEYS, group_id, u64(epoch), u32(step))
    keys = hkdf_sha256(cut_hash, secret, info, _DERIVED_BYTES)
    return EpochKeys(
        group_id, epoch, step, cut_hash, secret, AeadKey(keys[:32]), AeadKey(keys[32:64]), keys[64:]
    )


def next_step(keys: EpochKeys, state_hash: bytes) -> EpochKeys:
    """The keys after a join in a broadcast group; `state_hash`: 32 B, of the state that the join made."""
    info = transcript(labels.EPOCH_STEP, keys.group_id, u64(keys.epoch), u32(keys.step + 1))
    secret = hkdf_sha256(state_hash, keys.secret, info, limits.EPOCH_SECRET_BYTES)
    return derive_epoch(keys.group_id, keys.epoch, keys.step + 1, keys.cut_hash, secret)


def epoch_commitment(group_id: bytes, secret: bytes) -> bytes:
    """32 B that a cut names of its secret: SHA-256 over label, group id and the 32 random bytes."""
    return sha256(transcript(labels.EPOCH_COMMITMENT, group_id, secret))


class EarlierSteps(SecretValue, frozen=True, eq=False):
    """Secrets of an epoch's steps one after the other: 32 B each, as a broadcast group has thousands of them."""

    group_id: bytes
    epoch: int
    cut_hash: bytes
    first_step: int
    secrets: bytes

    @classmethod
    def of(cls, keys: EpochKeys) -> "EarlierSteps":
        """This step alone."""
        return cls(keys.group_id, keys.epoch, keys.cut_hash, keys.step, keys.secret)

    @property
    def count(self) -> int:
        """How many steps."""
        return len(self.secrets) // limits.EPOCH_SECRET_BYTES

    def is_followed_by(self, keys: EpochKeys) -> bool:
        """Whether these are the keys of the next step."""
        following = self.epoch, self.cut_hash, self.first_step + self.count
        return following == (keys.epoch, keys.cut_hash, keys.step)

    def with_next(self, keys: EpochKeys) -> "EarlierSteps":
        """With the step that follows."""
        return replace(self, secrets=self.secrets + keys.secret)

    def newest(self, count: int) -> "EarlierSteps":
        """Without all but so many."""
        gone = max(0, self.count - count)
        left = self.secrets[gone * limits.EPOCH_SECRET_BYTES :]
        return replace(self, first_step=self.first_step + gone, secrets=left)

    def hand_outs(self) -> Iterator["EpochHandOut"]:
        """The secret of each step, the newest first, from which its keys are derived."""
        for place in reversed(range(self.count)):
            yield self.hand_out(place)

    def hand_out(self, place: int) -> "EpochHandOut":
        """Of the step so many after the first."""
        secret = self.secrets[place * limits.EPOCH_SECRET_BYTES :][: limits.EPOCH_SECRET_BYTES]
        return EpochHandOut(self.group_id, self.epoch, self.first_step + place, self.cut_hash, secret)


class EpochHandOut(SecretValue, frozen=True, eq=False):
    """An epoch secret as it goes to one device, inside its session."""

    group_id: bytes
    epoch: int
    step: int
    cut_hash: bytes
    secret: bytes
    write_seed: bytes = b""
    """32 B Ed25519 seed of the log's write key, for devices that may commit; else empty."""

    def encode(self) -> bytes:
        """141 B: suite ‖ group id ‖ epoch u64 ‖ step u32 ‖ hash at the cut ‖ secret ‖ write seed or zeros."""
        return _HAND_OUT.pack(
            limits.SUITE,
            self.group_id,
            self.epoch,
            self.step,
            self.cut_hash,
            self.secret,
            self.write_seed or _NO_SEED,
        )

    @classmethod
    def parse(cls, data: bytes) -> "EpochHandOut":
        """Inverse of `encode`, or InvalidEncoding."""
        if len(data) != EPOCH_HAND_OUT_BYTES or data[0] != limits.SUITE:
            raise InvalidEncoding(f"an epoch hand-out of this suite has {EPOCH_HAND_OUT_BYTES} bytes")
        _, group_id, epoch, step, cut_hash, secret, seed = _HAND_OUT.unpack(data)
        if epoch > limits.MAX_EPOCH:
            raise InvalidEncoding("the secret of an impossible epoch")
        return cls(group_id, epoch, step, cut_hash, secret, b"" if seed == _NO_SEED else seed)

    def keys(self) -> EpochKeys:
        """What hangs on the secret."""
        return derive_epoch(self.group_id, self.epoch, self.step, self.cut_hash, self.secret)
