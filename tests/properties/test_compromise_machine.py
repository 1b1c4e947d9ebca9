"""Two ends, and thieves who copied the state of one: what they read afterwards, message by message, and what no more.

A thief copies a whole state once and then records everything. The classical one learns nothing else; the quantum one
breaks every X25519 key that is made later, but no ML-KEM key. The machine says of each message whether the copy lets a
thief read it, and the thief has to agree both ways: an attacker that reads too little would prove nothing. Ids: B4, B11.
"""

import random as stdlib_random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from crypto import limits
from crypto.errors import CryptoError
from crypto.headers import HAS_KEM_CIPHERTEXT
from crypto.root_chain import KemSchedule
from tests.ratchet_pair import End, SeededBytes, start_pair


@dataclass
class Message:
    """On its way, with what its sender's chain hangs on."""

    text: bytes
    envelope: bytes
    answers: bytes
    """The recipient's ratchet key that the chain's DH used."""
    kem_secrets: int
    """How many ML-KEM secrets are in the root key of the chain."""


class Side:
    """An end with what the model counts."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.draws: list[bytes] = []
        end.random = self.recording(end.random)  # type: ignore[assignment]
        self.kem_secrets = 0
        self.wire: list[Message] = []  # towards this side
        self.thieves: list[Thief] = []

    def recording(self, random: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def draw(length: int) -> bytes:
            drawn = random(length)
            self.draws.append(drawn)
            return drawn

        return draw

    def seal(self, text: bytes) -> Message:
        """A message; the quantum thieves follow with the X25519 keys that were drawn for it, and ML-KEM keys of their own."""
        opens = self.end.state.sending is None
        self.draws.clear()
        envelope = self.end.seal(text)
        sending = self.end.state.sending
        assert sending is not None
        self.kem_secrets += bool(opens and sending.opening.kem_flags & HAS_KEM_CIPHERTEXT)
        for thief in self.thieves:
            if opens:
                thief.new_keys.add(sending.opening.ratchet_public)
            thief.follow_a_send(self.draws if thief.quantum else [], self.end.now_ms)
        return Message(text, envelope, self.end.state.root.peer_public, self.kem_secrets)

    def open(self, message: Message) -> None:
        text, info = self.end.open_with_info(message.envelope)
        assert text == message.text
        self.kem_secrets += info.kem_step
        for thief in self.thieves:
            assert thief.reads(message, self.end.now_ms) == thief.should_read(message), thief


@dataclass
class Thief:
    """A copy of a side's state, kept twice: one that does what its owner does, one that only listens."""

    end: End
    listening: End
    quantum: bool
    known_kem_secrets: int
    """ML-KEM secrets up to this number are in the copy, or open with a key that is in it."""
    new_keys: set[bytes] = field(default_factory=set)
    """Ratchet keys that the victim made since the theft."""

    def should_read(self, message: Message) -> bool:
        if self.quantum:
            return message.kem_secrets <= self.known_kem_secrets
        return message.answers not in self.new_keys

    def reads(self, message: Message, now_ms: int) -> bool:
        opened = []
        for end in (self.end, self.listening):
            end.now_ms = now_ms
            with suppress(CryptoError):
                opened.append(end.open(message.envelope))
        return message.text in opened

    def follow_a_send(self, draws: list[bytes], now_ms: int) -> None:
        """Do what the victim did, with its X25519 key and nonce, but never with its ML-KEM key."""
        own, left = SeededBytes(f"thief {len(self.new_keys)}"), list(draws)

        def draw(length: int) -> bytes:
            found = next((drawn for drawn in left if len(drawn) == length), None)
            if found is None or length == limits.KEM_SEED_BYTES:
                return own(length)
            left.remove(found)
            return found

        self.end.now_ms, self.end.random = now_ms, draw  # type: ignore[assignment]
        self.end.seal(b"what the victim said")


def thief_of(end: End, quantum: bool, known_kem_secrets: int) -> Thief:
    copies = [End(end.state, end.ad, SeededBytes("thief"), end.now_ms, end.schedule) for _ in range(2)]
    return Thief(*copies, quantum, known_kem_secrets)


class CompromiseMachine(RuleBasedStateMachine):
    """Both sides, the wire, and thieves at times of their choice."""

    sides = st.sampled_from((0, 1))
    seeds = st.integers(min_value=0, max_value=2**16)

    @initialize(steps=st.sampled_from((0, 1, 2, 5, 20)))
    def start(self, steps: int) -> None:
        self.sides_of = tuple(Side(end) for end in start_pair("compromise", KemSchedule(root_steps=steps)))
        self.counter = 0
        self.exchange()

    def send(self, side: int) -> None:
        self.counter += 1
        self.sides_of[1 - side].wire.append(self.sides_of[side].seal(b"%d from %d" % (self.counter, side)))

    def exchange(self) -> None:
        """One round trip: each says something, and it arrives."""
        for side in (0, 1):
            self.send(side)
            self.everything_arrives(1 - side)

    @rule(side=sides, count=st.integers(min_value=1, max_value=3))
    def say(self, side: int, count: int) -> None:
        for _ in range(count):
            self.send(side)

    @rule(side=sides)
    def everything_arrives(self, side: int) -> None:
        wire = self.sides_of[side].wire
        while wire:
            self.sides_of[side].open(wire.pop(0))

    @rule(side=sides, seed=seeds)
    def everything_arrives_in_another_order(self, side: int, seed: int) -> None:
        stdlib_random.Random(seed).shuffle(self.sides_of[side].wire)
        self.everything_arrives(side)

    @rule(side=sides)
    def one_is_lost(self, side: int) -> None:
        if self.sides_of[side].wire:
            self.sides_of[side].wire.pop()

    @rule(hours=st.sampled_from((1, 25)))
    def time_passes(self, hours: int) -> None:
        for side in self.sides_of:
            side.end.now_ms += hours * 3_600_000

    @rule(side=sides, quantum=st.booleans())
    def steal(self, side: int, quantum: bool) -> None:
        victim = self.sides_of[side]
        if len(victim.thieves) == 4:
            return
        pending = victim.end.state.root.offered is not None  # the private half of an offer is in the copy
        victim.thieves.append(thief_of(victim.end, quantum, victim.kem_secrets + pending))

    @rule(side=sides)
    def one_round_trip_heals(self, side: int) -> None:
        """Whatever was under way: after the victim's next own turn and the answer to it, no classical thief reads."""
        victim = self.sides_of[side]
        for each in (side, 1 - side):
            self.everything_arrives(each)
        if victim.end.state.sending is not None:  # it has the turn once the peer has spoken
            self.send(1 - side)
            self.everything_arrives(side)
        self.send(side)
        self.everything_arrives(1 - side)
        self.send(1 - side)
        answer = victim.wire[-1]
        assert all(not thief.should_read(answer) for thief in victim.thieves if not thief.quantum)
        self.everything_arrives(side)

    def teardown(self) -> None:
        """A day later a post-quantum step is due; a pending offer may be stolen, the step after it is not."""
        if not hasattr(self, "sides_of"):
            return
        for _ in range(2):
            for side in (0, 1):
                self.everything_arrives(side)
            self.time_passes(25)
            self.exchange()
            self.exchange()
        for side in (0, 1):
            self.send(1 - side)
            newest = self.sides_of[side].wire[-1]
            assert not any(thief.should_read(newest) for thief in self.sides_of[side].thieves)
            self.everything_arrives(side)
            victim = self.sides_of[side]
            assert all(
                thief.end.state.root.root_key != victim.end.state.root.root_key for thief in victim.thieves
            )


TestB4B11CompromiseHeals = CompromiseMachine.TestCase
TestB4B11CompromiseHeals.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_b11_a_quantum_thief_reads_until_the_next_post_quantum_step_and_no_longer() -> None:
    """The machine's thief is strong: with the X25519 keys of twenty turns it reads all of them, then the step comes."""
    alice, bob = (Side(end) for end in start_pair("quantum", KemSchedule(root_steps=20)))

    def turn(sender: Side, recipient: Side) -> Message:
        message = sender.seal(b"turn")
        recipient.open(message)
        return message

    for _ in range(2):
        turn(alice, bob)
        turn(bob, alice)
    bob.thieves = [thief_of(bob.end, quantum, 0) for quantum in (True, False)]
    quantum, classical = bob.thieves
    seen = []
    for _ in range(14):
        message = turn(alice, bob)
        seen.append((quantum.should_read(message), classical.should_read(message)))
        turn(bob, alice)
    assert seen[0] == (True, True)
    assert seen[1] == (True, False)
    first_safe = [reads for reads, _ in seen].index(False)
    assert 5 < first_safe < 12
    assert not any(reads for reads, _ in seen[first_safe:])
