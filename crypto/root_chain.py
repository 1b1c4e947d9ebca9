"""The root chain: each new chain of either side steps it by a fresh Diffie-Hellman secret, and at times by ML-KEM.

The sides take turns: a party opens a sending chain at its first send after the peer's newest chain was seen.

Post-quantum steps: a party that opens a chain may offer a fresh ML-KEM key on it; the peer's next chain carries the
encapsulation and mixes its secret into the step that opens that chain. As chains alternate, offers never cross.
doubleratchet spec, #diffie-hellman-ratchet; docs/protocol.md, "Post-quantum steps". Knows nothing of messages.
"""

from dataclasses import dataclass
from typing import Final

from . import labels
from .chains import ReceivingChain, ReceivingOpening, SendingChain, SendingOpening, derive_ephemeral_key
from .errors import Undecryptable
from .headers import (
    HAS_KEM_CIPHERTEXT,
    HAS_KEM_OFFER,
    Header,
    HeaderKey,
    KemBlock,
    derive_header_key,
)
from .limits import KEM_SEED_BYTES, KEM_STEP_AFTER_MS, KEM_STEP_AFTER_ROOT_STEPS, X25519_KEY_BYTES
from .primitives import (
    KemPrivateKey,
    RandomBytes,
    hkdf_sha256,
    ml_kem_768_check,
    ml_kem_768_encapsulate,
    x25519,
    x25519_keypair,
)
from .secret_value import SecretValue

__all__ = [
    "DEFAULT_SCHEDULE",
    "KemSchedule",
    "RootChain",
    "kem_flags_of_next_chain",
    "open_receiving_chain",
    "open_sending_chain",
    "root_step",
]


@dataclass(frozen=True, slots=True)
class KemSchedule:
    """When a party offers a post-quantum step; may be set lower than the protocol's limits, never higher."""

    root_steps: int = KEM_STEP_AFTER_ROOT_STEPS
    age_ms: int = KEM_STEP_AFTER_MS

    def __post_init__(self) -> None:
        if not 0 <= self.root_steps <= KEM_STEP_AFTER_ROOT_STEPS:
            raise ValueError(
                f"a post-quantum step is due after at most {KEM_STEP_AFTER_ROOT_STEPS} root steps"
            )
        if not 0 <= self.age_ms <= KEM_STEP_AFTER_MS:
            raise ValueError(f"a post-quantum step is due after at most {KEM_STEP_AFTER_MS} ms")


DEFAULT_SCHEDULE: Final = KemSchedule()


class RootChain(SecretValue, frozen=True, eq=False):
    """The slow half of a session's state: changes when a chain is opened, never with a message."""

    root_key: bytes
    own_private: bytes
    """32 B X25519; empty until the initiator's first send."""
    peer_public: bytes
    """32 B X25519; empty until the responder opened a first message."""
    next_sending: HeaderKey
    next_receiving: HeaderKey
    previous_length: int
    """How many numbered messages the newest sending chain had that the peer has answered."""
    steps_since_kem: int
    last_kem_at_ms: int
    offered: KemPrivateKey | None
    """The private key of the offer on the sending chain, until the peer's next chain was opened."""
    peer_offer: bytes
    """1,184 B; to be answered by the next sending chain; empty if there is none."""


def root_step(root_key: bytes, dh: bytes, shared_secret: bytes) -> tuple[bytes, bytes, HeaderKey]:
    """(32 B root key, 32 B first chain key, next header key) from a 32 B DH secret and a 32 B KEM secret, if any."""
    label = labels.ROOT_STEP_KEM if shared_secret else labels.ROOT_STEP
    derived = hkdf_sha256(root_key, dh + shared_secret, label, 96)
    return derived[:32], derived[32:64], derive_header_key(derived[64:])


def _is_offer_due(root: RootChain, now_ms: int, schedule: KemSchedule) -> bool:
    """Whether the chain that is opened now shall carry an offer; the step that opens it counts."""
    if root.peer_offer:  # that step mixes a KEM secret, so the last one is 0 steps and 0 ms old
        return schedule.root_steps == 0 or schedule.age_ms == 0
    return root.steps_since_kem + 1 >= schedule.root_steps or now_ms - root.last_kem_at_ms >= schedule.age_ms


def kem_flags_of_next_chain(root: RootChain, now_ms: int, schedule: KemSchedule) -> int:
    """The KEM flags of a sending chain that would be opened now: they tell the size of its messages."""
    offer = HAS_KEM_OFFER if _is_offer_due(root, now_ms, schedule) else 0
    return offer | (HAS_KEM_CIPHERTEXT if root.peer_offer else 0)


def open_sending_chain(
    root: RootChain, random: RandomBytes, now_ms: int, schedule: KemSchedule
) -> tuple[RootChain, SendingChain]:
    """Answer the peer's newest ratchet key with a fresh one.

    Draws 32 B for the ratchet key, then 64 B for an ML-KEM key if one is offered; the encapsulation draws its own.
    """
    own_private, own_public = x25519_keypair(random(X25519_KEY_BYTES))
    flags = kem_flags_of_next_chain(root, now_ms, schedule)
    offered = KemPrivateKey(random(KEM_SEED_BYTES)) if flags & HAS_KEM_OFFER else None
    shared_secret, ciphertext = ml_kem_768_encapsulate(root.peer_offer) if root.peer_offer else (b"", b"")
    root_key, chain_key, next_sending = root_step(
        root.root_key, x25519(own_private, root.peer_public), shared_secret
    )
    opening = SendingOpening(
        header_key=root.next_sending,
        ratchet_public=own_public,
        previous_length=root.previous_length,
        ephemeral_key=derive_ephemeral_key(chain_key),
        kem_flags=flags,
        kem_block=(offered.public_bytes() if offered else b"") + ciphertext,
    )
    after = RootChain(
        root_key=root_key,
        own_private=own_private,
        peer_public=root.peer_public,
        next_sending=next_sending,
        next_receiving=root.next_receiving,
        previous_length=root.previous_length,
        steps_since_kem=0 if ciphertext else root.steps_since_kem + 1,
        last_kem_at_ms=now_ms if ciphertext else root.last_kem_at_ms,
        offered=offered,
        peer_offer=b"",
    )
    return after, SendingChain(opening, chain_key)


def open_receiving_chain(
    root: RootChain, sending: SendingChain | None, header: Header, block: KemBlock, now_ms: int
) -> tuple[RootChain, ReceivingChain]:
    """Follow the peer to a new ratchet key; an offer that was made is answered by exactly this chain.

    Raises Undecryptable if it is not the peer's turn, or if the answer to an offer is missing or was not asked for;
    InvalidKey for a ratchet key or an ML-KEM key that must not be used (A7).
    """
    if sending is None and root.peer_public:
        raise Undecryptable("the peer opened two chains in a row")
    if (root.offered is not None) != bool(block.ciphertext):
        raise Undecryptable("the chain must answer the offered ML-KEM key, and only that")
    if block.offer:
        ml_kem_768_check(block.offer)
    shared_secret = root.offered.decapsulate(block.ciphertext) if root.offered else b""
    root_key, chain_key, next_receiving = root_step(
        root.root_key, x25519(root.own_private, header.ratchet_public), shared_secret
    )
    after = RootChain(
        root_key=root_key,
        own_private=root.own_private,
        peer_public=header.ratchet_public,
        next_sending=root.next_sending,
        next_receiving=next_receiving,
        previous_length=sending.number if sending else 0,
        steps_since_kem=0 if shared_secret else root.steps_since_kem + 1,
        last_kem_at_ms=now_ms if shared_secret else root.last_kem_at_ms,
        offered=None,
        peer_offer=block.offer,
    )
    opening = ReceivingOpening(root.next_receiving, header.ratchet_public, derive_ephemeral_key(chain_key))
    return after, ReceivingChain(opening, chain_key)
