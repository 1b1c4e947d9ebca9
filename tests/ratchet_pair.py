"""Two ends of a ratchet session for tests: deterministic randomness, a clock that is set, no network."""

import hashlib
from dataclasses import dataclass

from crypto.chains import SessionSecrets
from crypto.double_ratchet import MessageInfo, decrypt, encrypt
from crypto.primitives import x25519_keypair
from crypto.ratchet_state import AssociatedData, RatchetState, start_initiator, start_responder
from crypto.root_chain import DEFAULT_SCHEDULE, KemSchedule

ALICE_AD = ((b"A" * 32, b"a" * 16), (b"B" * 32, b"b" * 16))


class SeededBytes:
    """A stream of bytes fixed by its seed: SHAKE-128 of seed and a call counter."""

    def __init__(self, seed: str) -> None:
        self.seed = seed.encode()
        self.calls = 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        return hashlib.shake_128(self.seed + self.calls.to_bytes(8, "big")).digest(count)


@dataclass
class End:
    """One side: its present state, and what it needs to use it."""

    state: RatchetState
    ad: AssociatedData
    random: SeededBytes
    now_ms: int = 0
    schedule: KemSchedule = DEFAULT_SCHEDULE

    def seal(self, plaintext: bytes, *, ephemeral: bool = False) -> bytes:
        """Encrypt and take the next state."""
        self.state, envelope = encrypt(
            self.state,
            plaintext,
            self.ad,
            self.random,
            self.now_ms,
            ephemeral=ephemeral,
            schedule=self.schedule,
        )
        return envelope

    def open(self, envelope: bytes) -> bytes:
        """Decrypt and take the next state."""
        return self.open_with_info(envelope)[0]

    def open_with_info(self, envelope: bytes) -> tuple[bytes, MessageInfo]:
        """Decrypt and take the next state; with what the message said about itself."""
        self.state, plaintext, info = decrypt(self.state, envelope, self.ad.reversed(), self.now_ms)
        return plaintext, info


def secrets_of(seed: str) -> tuple[SessionSecrets, tuple[bytes, bytes]]:
    """(What a set-up would give, the responder's signed prekey pair)."""
    random = SeededBytes(seed + " set-up")
    return SessionSecrets(random(32), random(32), random(32), random(32)), x25519_keypair(random(32))


def start_pair(seed: str = "pair", schedule: KemSchedule = DEFAULT_SCHEDULE) -> tuple[End, End]:
    """(Initiator, responder) of a fresh session."""
    secrets, prekey = secrets_of(seed)
    ad = AssociatedData(secrets.session_id, *ALICE_AD[0], *ALICE_AD[1])
    alice = End(start_initiator(secrets, prekey[1], 0), ad, SeededBytes(seed + " a"), schedule=schedule)
    bob = End(
        start_responder(secrets, prekey[0], 0), ad.reversed(), SeededBytes(seed + " b"), schedule=schedule
    )
    return alice, bob


def warm_pair(seed: str = "warm", schedule: KemSchedule = DEFAULT_SCHEDULE) -> tuple[End, End]:
    """A pair on which both have spoken."""
    alice, bob = start_pair(seed, schedule)
    assert bob.open(alice.seal(b"hello")) == b"hello"
    assert alice.open(bob.seal(b"hello too")) == b"hello too"
    return alice, bob
