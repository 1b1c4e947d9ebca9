"""Sender chains: one device's keys for its messages to one group in one epoch, and how they are handed out.

A chain belongs to (group, epoch, state at the cut, sender's account and device) and has a signing key of its own; all
of that is authenticated with each message, so a chain says nothing in another group, epoch or mouth. Each message has
its own key. Knows no envelopes. docs/protocol.md, "Groups", "Sender chains".
"""

from struct import Struct
from typing import Final

from . import labels, limits
from .errors import CopiedState, InvalidEncoding, Replayed, TooFarAhead
from .group_epoch import EpochKeys
from .primitives import RandomBytes, ed25519_check, ed25519_keypair, hmac_sha256, hmac_sha256_twice
from .secret_value import SecretValue, replace
from .skipped_keys import NO_SKIPPED_KEYS, SkippedKeys
from .transcript import transcript, u64

__all__ = [
    "CHAIN_HAND_OUT_BYTES",
    "ChainHandOut",
    "ChainOpening",
    "SenderChain",
    "SenderChains",
    "SendingChain",
    "accept_hand_out",
    "begin_chain",
    "chain_step",
    "hand_out",
    "open_chain",
]

_HAND_OUT: Final = Struct(">B32sQ32s12sI32s32s")
CHAIN_HAND_OUT_BYTES: Final = _HAND_OUT.size  # 153
_MESSAGE_KEY: Final = labels.GROUP_CHAIN + b"\x01"
_CHAIN_KEY: Final = labels.GROUP_CHAIN + b"\x02"


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """(32 B message key, 32 B next chain key): HMAC of label ‖ 01, and of label ‖ 02."""
    return hmac_sha256_twice(chain_key, _MESSAGE_KEY, _CHAIN_KEY)


class ChainOpening(SecretValue, frozen=True, eq=False):
    """What all messages of a chain share; nothing of it is secret."""

    group_id: bytes
    epoch: int
    cut_hash: bytes
    account: bytes
    device: bytes
    chain_id: bytes
    """12 B random."""
    signing_public: bytes
    """32 B Ed25519, fresh for this chain."""
    sealed_start: bytes
    """Associated data of a body up to the iteration."""
    signed_start: bytes
    """The signed transcript up to the iteration."""


def open_chain(
    group_id: bytes,
    epoch: int,
    cut_hash: bytes,
    account: bytes,
    device: bytes,
    chain_id: bytes,
    signing_public: bytes,
) -> ChainOpening:
    """The opening of these values, with what is made of them once."""
    fields = group_id, u64(epoch), cut_hash, account, device, chain_id
    return ChainOpening(
        group_id,
        epoch,
        cut_hash,
        account,
        device,
        chain_id,
        signing_public,
        transcript(labels.GROUP_MESSAGE, *fields),
        transcript(labels.GROUP_SIGNATURE, *fields),
    )


class SendingChain(SecretValue, frozen=True, eq=False):
    """The own chain in a group."""

    opening: ChainOpening
    signing_private: bytes
    """64 B."""
    chain_key: bytes
    iteration: int
    """Of the next message."""
    began_at_ms: int

    def is_used_up(self, now_ms: int) -> bool:
        """Whether it has had its 500 messages or 7 days."""
        old = not 0 <= now_ms - self.began_at_ms < limits.MAX_CHAIN_AGE_MS
        return old or self.iteration >= limits.MAX_CHAIN_MESSAGES

    def next_message(self) -> tuple["SendingChain", bytes]:
        """(The chain after it, the 32 B key of message `iteration`)."""
        message_key, chain_key = chain_step(self.chain_key)
        after = SendingChain(
            self.opening, self.signing_private, chain_key, self.iteration + 1, self.began_at_ms
        )
        return after, message_key


def begin_chain(
    keys: EpochKeys, account: bytes, device: bytes, random: RandomBytes, now_ms: int
) -> SendingChain:
    """A fresh chain of this device in this epoch; draws chain id 12, signing seed 32, chain key 32, in this order."""
    chain_id = random(limits.CHAIN_ID_BYTES)
    private, public = ed25519_keypair(random(limits.ED25519_SEED_BYTES))
    opening = open_chain(keys.group_id, keys.epoch, keys.cut_hash, account, device, chain_id, public)
    return SendingChain(opening, private, random(32), 0, now_ms)


class ChainHandOut(SecretValue, frozen=True, eq=False):
    """A chain as it goes to one device, inside its session; whose it is, the session says."""

    group_id: bytes
    epoch: int
    cut_hash: bytes
    chain_id: bytes
    iteration: int
    """Where the chain stands: a newcomer opens nothing before."""
    chain_key: bytes
    signing_public: bytes

    def encode(self) -> bytes:
        """153 B: suite ‖ group id ‖ epoch u64 ‖ hash at the cut ‖ chain id ‖ iteration u32 ‖ chain key ‖ signing key."""
        return _HAND_OUT.pack(
            limits.SUITE,
            self.group_id,
            self.epoch,
            self.cut_hash,
            self.chain_id,
            self.iteration,
            self.chain_key,
            self.signing_public,
        )

    @classmethod
    def parse(cls, data: bytes) -> "ChainHandOut":
        """Inverse of `encode`; InvalidEncoding, or InvalidKey for a signing key that A7 refuses."""
        if len(data) != CHAIN_HAND_OUT_BYTES or data[0] != limits.SUITE:
            raise InvalidEncoding(f"a chain hand-out of this suite has {CHAIN_HAND_OUT_BYTES} bytes")
        parsed = cls(*_HAND_OUT.unpack(data)[1:])
        if parsed.epoch > limits.MAX_EPOCH:
            raise InvalidEncoding("a chain of an impossible epoch")
        ed25519_check(parsed.signing_public)
        return parsed


def hand_out(chain: SendingChain) -> ChainHandOut:
    """The own chain at its present iteration."""
    opening = chain.opening
    return ChainHandOut(
        opening.group_id,
        opening.epoch,
        opening.cut_hash,
        opening.chain_id,
        chain.iteration,
        chain.chain_key,
        opening.signing_public,
    )


class SenderChain(SecretValue, frozen=True, eq=False):
    """A chain of another device, as far as it has come here."""

    opening: ChainOpening
    chain_key: bytes
    iteration: int
    """The lowest whose key was not derived."""
    skipped: SkippedKeys = NO_SKIPPED_KEYS

    def message_key(self, iteration: int, now_ms: int) -> tuple["SenderChain", bytes]:
        """(The chain after it, the 32 B key of this message).

        Raises Replayed for an iteration that was opened before, that was handed out as past, or whose key has expired
        (B8); TooFarAhead.
        """
        if iteration < self.iteration:
            if (taken := self.skipped.take(iteration)) is None:
                raise Replayed(f"message {iteration} of this chain was opened before, or its key has expired")
            skipped, message_key = taken
            return SenderChain(self.opening, self.chain_key, self.iteration, skipped), message_key
        jump = iteration - self.iteration
        if jump > limits.MAX_FORWARD_JUMP:
            raise TooFarAhead(f"{jump} messages ahead, at most {limits.MAX_FORWARD_JUMP} are allowed")
        chain_key, skipped = self.chain_key, self.skipped
        if jump:
            chain_key, skipped = self._skip(jump, now_ms)
        message_key, chain_key = chain_step(chain_key)
        return SenderChain(self.opening, chain_key, iteration + 1, skipped), message_key

    def _skip(self, jump: int, now_ms: int) -> tuple[bytes, SkippedKeys]:
        chain_key, keys = self.chain_key, []
        unkept = max(0, jump - limits.MAX_SKIPPED_KEYS)
        for _ in range(unkept):
            chain_key = hmac_sha256(chain_key, _CHAIN_KEY)
        for _ in range(jump - unkept):
            message_key, chain_key = chain_step(chain_key)
            keys.append(message_key)
        return chain_key, self.skipped.add(self.iteration + unkept, b"".join(keys), now_ms)


class SenderChains(SecretValue, frozen=True, eq=False):
    """The chains of one sending device in one group."""

    account: bytes
    device: bytes
    chains: tuple[SenderChain, ...] = ()
    """Newest first, at most MAX_SENDER_CHAINS."""

    def index_of(self, chain_id: bytes) -> int | None:
        """Where the chain of this 12 B id stands."""
        for index, chain in enumerate(self.chains):
            if chain.opening.chain_id == chain_id:
                return index
        return None

    def with_chain(self, index: int, chain: SenderChain) -> "SenderChains":
        """With the chain at `index` in its new state, and no more skipped keys than a sender may have."""
        chains = (*self.chains[:index], chain, *self.chains[index + 1 :])
        if chain.skipped.count > self.chains[index].skipped.count:
            chains = _within_limits(chains)
        return SenderChains(self.account, self.device, chains)

    def without_keys_before(self, oldest_ms: int) -> "SenderChains":
        """Without skipped keys stored before `oldest_ms`; itself if there are none."""
        kept = tuple(_without_old_keys(chain, oldest_ms) for chain in self.chains)
        if all(map(lambda a, b: a is b, kept, self.chains)):
            return self
        return SenderChains(self.account, self.device, kept)


def _without_old_keys(chain: SenderChain, oldest_ms: int) -> SenderChain:
    skipped = chain.skipped.stored_since(oldest_ms)
    return chain if skipped is chain.skipped else replace(chain, skipped=skipped)


def _within_limits(chains: tuple[SenderChain, ...]) -> tuple[SenderChain, ...]:
    """The newest chains and skipped keys; the oldest chain loses first."""
    left, kept = limits.MAX_SKIPPED_KEYS, []
    for chain in chains[: limits.MAX_SENDER_CHAINS]:
        surplus = chain.skipped.count - left
        bounded = replace(chain, skipped=chain.skipped.without_oldest(surplus)) if surplus > 0 else chain
        left -= bounded.skipped.count
        kept.append(bounded)
    return tuple(kept)


def accept_hand_out(sender: SenderChains, given: ChainHandOut) -> SenderChains:
    """With the chain that this device handed out, as the newest; unchanged if it is known.

    Whether the device may send in the group is asked of `sender_keys.require_sender` before.

    A known chain does not move: a repeated hand-out neither winds it back nor on. Raises CopiedState if its id came
    with another key before: then a copy of the sender hands out chains.
    """
    if (index := sender.index_of(given.chain_id)) is not None:
        opening = sender.chains[index].opening
        same = opening.group_id, opening.epoch, opening.cut_hash, opening.signing_public
        if same != (given.group_id, given.epoch, given.cut_hash, given.signing_public):
            raise CopiedState("one chain id under two keys")
        return sender
    opening = open_chain(
        given.group_id,
        given.epoch,
        given.cut_hash,
        sender.account,
        sender.device,
        given.chain_id,
        given.signing_public,
    )
    added = SenderChain(opening, given.chain_key, given.iteration)
    return SenderChains(sender.account, sender.device, _within_limits((added, *sender.chains)))
