"""Following a group's log: entries opened, commits applied, invalid ones skipped, secrets matched to their cuts.

A view is a value; who gets an error keeps the old one. A secret may come before its commit or long after; it is good
only for the cut whose commitment it opens. docs/protocol.md, "Groups", "The log". How the relay keeps entries in
order, and who asks for them, is not known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from . import labels, limits
from .errors import ChainMissing, CommitRefused, InvalidEncoding, ManifestGap, Undecryptable
from .group_commits import CommitKind, SignedCommit
from .group_epoch import (
    EPOCH_HAND_OUT_BYTES,
    EarlierSteps,
    EpochHandOut,
    EpochKeys,
    epoch_commitment,
    next_step,
)
from .group_rules import apply_commit
from .group_state import GroupState, parse_state
from .manifest_chain import VerifiedManifest
from .padding import LENGTH_BYTES, bucket_for, is_bucket, pad, unpad
from .primitives import RandomBytes
from .transcript import transcript, u64

__all__ = [
    "Followed",
    "GroupView",
    "MissingEpoch",
    "Welcome",
    "follow",
    "join",
    "learn_secret",
    "open_entry",
    "seal_entry",
]

_SUITE: Final = bytes((limits.SUITE,))
_OVERHEAD: Final = 1 + limits.AEAD_NONCE_BYTES + LENGTH_BYTES + limits.AEAD_TAG_BYTES
_BODY_AT: Final = 1 + limits.AEAD_NONCE_BYTES
MAX_WAITING_SECRETS: Final = 128


class MissingEpoch(NamedTuple):
    """A cut whose secret has not come: (epoch, 32 B hash of its state, 32 B commitment)."""

    epoch: int
    cut_hash: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True, eq=False)
class GroupView:
    """What one device knows of a group."""

    state: GroupState
    next_entry: int
    """Index in the log of the entry to read next."""
    epochs: tuple[EpochKeys, ...] = field(repr=False)
    """Newest first, at most MAX_KEPT_EPOCHS: for messages still under way."""
    missing: tuple[MissingEpoch, ...] = ()
    """Newest first."""
    waiting: tuple[EpochHandOut, ...] = field(default=(), repr=False)
    """Secrets of cuts that were not read yet, the last that came first."""
    write_seed: bytes = field(default=b"", repr=False)
    """32 B Ed25519 seed of the log's present write key; empty if this device may not commit."""
    earlier: tuple[EarlierSteps, ...] = field(default=(), repr=False)
    """Of a broadcast group what `epochs` has no place for, newest first, at most MAX_KEPT_STEPS: who was away over a
    thousand joins opens what was sent meanwhile.
    """

    @property
    def cuts(self) -> tuple[EpochHandOut, ...]:
        """The secrets of cuts that are here, oldest first, without write seeds."""
        found = [steps.hand_out(0) for steps in self.earlier if not steps.first_step]
        found += [
            EpochHandOut(keys.group_id, keys.epoch, 0, keys.cut_hash, keys.secret)
            for keys in self.epochs
            if not keys.step
        ]
        return tuple(sorted(found, key=lambda given: given.epoch))

    @property
    def keys(self) -> EpochKeys:
        """Of the present epoch; ChainMissing until its secret has come."""
        state = self.state
        for keys in self.epochs:
            if (keys.epoch, keys.step, keys.cut_hash) == (state.epoch, state.step, state.cut_hash):
                return keys
        raise ChainMissing("the secret of the group's epoch has not come yet")


class Followed(NamedTuple):
    """What became of one entry."""

    view: GroupView
    commit: SignedCommit | None
    """None for an entry that was skipped."""
    reason: str = ""
    """Why it was skipped."""


def seal_entry(keys: EpochKeys, index: int, commit: SignedCommit, random: RandomBytes) -> bytes:
    """The log entry for this index, under the epoch that the commit leaves; draws the 12 B nonce.

    Suite ‖ nonce 12 ‖ AES-256-GCM of the padded commit; its size is a bucket. Raises TooLarge.
    """
    content = commit.encode()
    size = bucket_for(_OVERHEAD + len(content))
    nonce = random(limits.AEAD_NONCE_BYTES)
    padded = pad(content, size - _BODY_AT - limits.AEAD_TAG_BYTES)
    return _SUITE + nonce + keys.entries.seal(nonce, padded, _entry_ad(keys, index))


def open_entry(keys: EpochKeys, index: int, entry: bytes) -> SignedCommit:
    """The commit of an entry; Undecryptable or InvalidEncoding."""
    if entry[:1] != _SUITE or not is_bucket(len(entry)):
        raise InvalidEncoding("not a log entry of this suite")
    padded = keys.entries.open(entry[1:_BODY_AT], entry[_BODY_AT:], _entry_ad(keys, index))
    return SignedCommit.parse(unpad(padded))


def _entry_ad(keys: EpochKeys, index: int) -> bytes:
    return transcript(labels.GROUP_ENTRY, keys.group_id, u64(index))


def follow(
    view: GroupView,
    index: int,
    entry: bytes,
    manifests: Mapping[bytes, VerifiedManifest],
    *,
    manifests_are_newest: bool = False,
) -> Followed:
    """The view after the log's entry `index`, which must be the next one.

    Skips what is no commit on the present state, as every member does. Raises ChainMissing while the secret of the
    present epoch is not here, ManifestGap, GroupTooNew: then the entry is read again later.

    `manifests_are_newest`: they were fetched after the entry was read. As a manifest is published before a commit names
    it, one that is missing even then does not exist, and the entry is skipped: nobody can stall a group with it.
    """
    if index != view.next_entry:
        raise ValueError(f"entry {view.next_entry} comes before entry {index}")
    keys = view.keys
    try:
        signed = open_entry(keys, index, entry)
        state = apply_commit(view.state, signed, manifests)
    except ManifestGap as error:
        if not manifests_are_newest:
            raise
        return Followed(replace(view, next_entry=index + 1), None, str(error))
    except (CommitRefused, InvalidEncoding, Undecryptable) as error:
        return Followed(replace(view, next_entry=index + 1), None, str(error))
    after = replace(view, state=state, next_entry=index + 1)
    match signed.commit.kind:
        case CommitKind.STEP:
            after = _with_epochs(after, (next_step(keys, state.hash), *view.epochs))
        case CommitKind.CUT:
            after = _after_cut(after)
    return Followed(after, signed)


def _after_cut(view: GroupView) -> GroupView:
    """A cut has been read: its secret is waiting here, or is missing."""
    state = view.state
    cut = MissingEpoch(state.epoch, state.hash, state.commitment)
    missing = (cut, *view.missing)[: limits.MAX_KEPT_EPOCHS]
    view = replace(view, missing=missing, write_seed=b"")
    for given in view.waiting:
        if _opens(given, cut):
            view = _take(view, cut, given)
    return replace(view, waiting=tuple(given for given in view.waiting if given.epoch > state.epoch))


def learn_secret(view: GroupView, given: EpochHandOut) -> GroupView:
    """With an epoch's secret that came from another device; unchanged if it is known.

    One that comes before its commit waits for it, so it does not matter who sent it: only the secret that the commit
    names is ever used. Raises InvalidEncoding for the secret of a step, which only a welcome tells, or of another group.
    """
    if given.group_id != view.state.group_id or given.step:
        raise InvalidEncoding("the secret of another group or of a step")
    for cut in view.missing:
        if _opens(given, cut):
            return _take(view, cut, given)
    if given.epoch <= view.state.epoch:
        return view
    waiting = (given, *view.waiting)[:MAX_WAITING_SECRETS]
    return replace(view, waiting=waiting)


def _opens(given: EpochHandOut, cut: MissingEpoch) -> bool:
    return (given.epoch, given.cut_hash) == (cut.epoch, cut.cut_hash) and cut.commitment == epoch_commitment(
        given.group_id, given.secret
    )


def _take(view: GroupView, cut: MissingEpoch, given: EpochHandOut) -> GroupView:
    epochs = sorted((given.keys(), *view.epochs), key=lambda keys: (-keys.epoch, -keys.step))
    return replace(
        _with_epochs(view, tuple(epochs)),
        missing=tuple(each for each in view.missing if each is not cut),
        write_seed=given.write_seed if cut.epoch == view.state.epoch else view.write_seed,
    )


def _with_epochs(view: GroupView, epochs: tuple[EpochKeys, ...]) -> GroupView:
    """The newest of these are kept as they are; in a broadcast group older ones as bare secrets."""
    kept, surplus = epochs[: limits.MAX_KEPT_EPOCHS], epochs[limits.MAX_KEPT_EPOCHS :]
    earlier = view.earlier
    if view.state.is_broadcast:
        for keys in reversed(surplus):
            earlier = _with_earlier(earlier, keys)
    return replace(view, epochs=kept, earlier=earlier)


def _with_earlier(earlier: tuple[EarlierSteps, ...], keys: EpochKeys) -> tuple[EarlierSteps, ...]:
    if earlier and earlier[0].is_followed_by(keys):
        earlier = earlier[0].with_next(keys), *earlier[1:]
    else:
        earlier = EarlierSteps.of(keys), *earlier
    left, kept = limits.MAX_KEPT_STEPS, []
    for steps in earlier:
        kept.append(steps.newest(left))
        left -= kept[-1].count
        if not left:
            break
    return tuple(kept)


@dataclass(frozen=True, slots=True, eq=False)
class Welcome:
    """What who joins is told by the inviter, inside their session."""

    hand_out: EpochHandOut = field(repr=False)
    next_entry: int
    state: GroupState

    def encode(self) -> bytes:
        """Epoch hand-out 141 ‖ next entry u64 ‖ encoded state; secret. In a large group it travels as a blob."""
        return self.hand_out.encode() + u64(self.next_entry) + self.state.encode()

    @classmethod
    def parse(cls, data: bytes) -> "Welcome":
        """Inverse of `encode`, or InvalidEncoding."""
        at = EPOCH_HAND_OUT_BYTES + 8
        if len(data) < at:
            raise InvalidEncoding("a welcome ends early")
        hand_out = EpochHandOut.parse(data[:EPOCH_HAND_OUT_BYTES])
        next_entry = int.from_bytes(data[EPOCH_HAND_OUT_BYTES:at], "big")
        return cls(hand_out, next_entry, parse_state(data[at:]))


def join(welcome: Welcome, account: bytes) -> GroupView:
    """The view of who joins; raises InvalidEncoding if the parts do not fit, NotEntitled if the account is not in it."""
    state, given = welcome.state, welcome.hand_out
    state.member(account)
    told = given.group_id, given.epoch, given.step, given.cut_hash
    if told != (state.group_id, state.epoch, state.step, state.cut_hash):
        raise InvalidEncoding("a welcome with the secret of another state")
    if not given.step and epoch_commitment(state.group_id, given.secret) != state.commitment:
        raise InvalidEncoding("a welcome with another secret than the state names")
    return GroupView(state, welcome.next_entry, (given.keys(),), write_seed=given.write_seed)
