"""Two clients on a hostile wire: every plaintext is shown at most once, and once if its envelope comes within limits.

The machine sends, drops, repeats, reorders, crashes before and after a commit, restores, and lets time pass, with
post-quantum steps every few turns; a thief uses old states beside it. Ids: B2, B3, B4, B11, B13, B14.
"""

import random as stdlib_random
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crypto import double_ratchet, limits
from crypto.double_ratchet import decrypt, encrypt
from crypto.errors import CopiedState, CryptoError, Replayed, Undecryptable
from crypto.primitives import AeadKey
from crypto.ratchet_state import RatchetState, forget_expired
from crypto.root_chain import KemSchedule
from crypto.snapshots import decode_state, encode_state
from tests.ratchet_pair import End, start_pair


@dataclass
class Message:
    """One submitted envelope, and where the model expects it."""

    text: bytes
    envelope: bytes = field(repr=False)
    chain: int
    ephemeral: bool
    number: int


@dataclass
class Copy:
    """An old state of a client in a thief's hands, and what the client numbered since."""

    state: RatchetState
    sent_since: list[Message] = field(default_factory=list)


class Client:
    """One side as a real client runs it: `committed` is its disk, and nothing leaves before it is there."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.committed = encode_state(end.state)
        self.wire: list[Message] = []  # towards this client
        self.shown: list[bytes] = []
        self.opened_chains: list[int] = []
        self.highest_ephemeral: dict[int, int] = {}
        self.sending_chain = -1
        self.copies: list[Copy] = []

    def commit(self) -> None:
        self.committed = encode_state(self.end.state)

    def restart(self) -> None:
        self.end.state = decode_state(self.committed)


class RatchetMachine(RuleBasedStateMachine):
    """Both clients, the wire, and what must hold of them."""

    sides = st.sampled_from((0, 1))
    picks = st.integers(min_value=0, max_value=2**16)

    @initialize(steps=st.sampled_from((0, 1, 3, 20)))
    def start(self, steps: int) -> None:
        alice, bob = start_pair("machine", KemSchedule(root_steps=steps))
        self.clients = (Client(alice), Client(bob))
        self.counter = 0
        self.now_ms = 0
        self.sealed: dict[tuple[bytes, bytes], bytes] = {}
        self.unsubmitted: list[tuple[bytes, bytes, bytes]] = []
        self.patch = pytest.MonkeyPatch()
        real = double_ratchet.aes256gcm_seal

        def recording(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
            self.unsubmitted.append((key, nonce, plaintext))
            return real(key, nonce, plaintext, ad)

        self.patch.setattr(double_ratchet, "aes256gcm_seal", recording)
        self.patch.setattr(AeadKey, "seal", lambda key, *rest: recording(key.key_bytes, *rest))

    def teardown(self) -> None:
        if not hasattr(self, "clients"):
            return
        try:
            self.everything_under_way_arrives()
            self.both_ends_agree()
        finally:
            self.patch.undo()

    # What the clients do

    def submit(self, side: int, *, ephemeral: bool) -> None:
        """Encrypt, commit, and only then submit (B13)."""
        client, peer = self.clients[side], self.clients[1 - side]
        self.counter += 1
        text = b"%d from %d" % (self.counter, side)
        if client.end.state.sending is None:
            client.sending_chain += 1
        chain = client.end.state.sending
        number = (chain.ephemeral_number if ephemeral else chain.number) if chain else 0
        self.unsubmitted.clear()
        envelope = client.end.seal(text, ephemeral=ephemeral)
        client.commit()
        for key, nonce, plaintext in self.unsubmitted:
            assert self.sealed.setdefault((key, nonce), plaintext) == plaintext, (
                "a key and nonce sealed twice"
            )
        message = Message(text, envelope, client.sending_chain, ephemeral, number)
        peer.wire.append(message)
        if not ephemeral:
            for copy in client.copies:
                copy.sent_since.append(message)

    @rule(side=sides, count=st.integers(min_value=1, max_value=4), ephemeral=st.booleans())
    def send(self, side: int, count: int, ephemeral: bool) -> None:
        if self.clients[side].end.state.can_send:
            for _ in range(count):
                self.submit(side, ephemeral=ephemeral and count % 2 == 0)

    @rule(side=sides)
    def crash_between_encrypting_and_committing(self, side: int) -> None:
        client = self.clients[side]
        if client.end.state.can_send:
            client.end.seal(b"never left this client")
            client.restart()

    @rule(side=sides, pick=picks)
    def crash_between_decrypting_and_committing(self, side: int, pick: int) -> None:
        client = self.clients[side]
        if client.wire:
            with suppress(Undecryptable):
                client.end.open(client.wire[pick % len(client.wire)].envelope)
            client.restart()

    @rule(side=sides)
    def restart_from_what_was_committed(self, side: int) -> None:
        self.clients[side].restart()

    @rule(minutes=st.sampled_from((1, 60, 1_500)))
    def time_passes(self, minutes: int) -> None:
        self.now_ms += minutes * 60_000
        for client in self.clients:
            client.end.now_ms = self.now_ms

    # What the wire does

    def deliver(self, side: int, message: Message) -> None:
        client = self.clients[side]
        before = client.end.state
        if not self.must_open(client, message):
            with pytest.raises(Replayed if self.keeps_chain_of(client, message) else Undecryptable):
                client.end.open(message.envelope)
            assert client.end.state is before
            return
        text, info = client.end.open_with_info(message.envelope)
        assert (text, info.ephemeral, info.number) == (message.text, message.ephemeral, message.number)
        if info.opened_chain:
            client.opened_chains.append(message.chain)
        if message.ephemeral:
            client.highest_ephemeral[message.chain] = message.number
        client.shown.append(text)
        client.commit()

    def keeps_chain_of(self, client: Client, message: Message) -> bool:
        return message.chain in client.opened_chains[-limits.MAX_RECEIVING_CHAINS :]

    def must_open(self, client: Client, message: Message) -> bool:
        if message.text in client.shown:
            return False
        if message.chain == len(client.opened_chains):
            return True
        rises = not message.ephemeral or message.number > client.highest_ephemeral.get(message.chain, -1)
        return rises and self.keeps_chain_of(client, message)

    @rule(side=sides, pick=picks, repeat=st.booleans())
    def deliver_any(self, side: int, pick: int, repeat: bool) -> None:
        wire = self.clients[side].wire
        if wire:
            index = pick % len(wire)
            self.deliver(side, wire[index] if repeat else wire.pop(index))

    @rule(side=sides)
    def deliver_all_in_order(self, side: int) -> None:
        wire = self.clients[side].wire
        while wire:
            self.deliver(side, wire.pop(0))

    @rule(side=sides, seed=picks)
    def reorder(self, side: int, seed: int) -> None:
        stdlib_random.Random(seed).shuffle(self.clients[side].wire)

    @rule(side=sides, pick=picks)
    def drop(self, side: int, pick: int) -> None:
        wire = self.clients[side].wire
        if wire:
            del wire[pick % len(wire)]

    @rule(side=sides, pick=picks, bit=picks)
    def alter(self, side: int, pick: int, bit: int) -> None:
        client = self.clients[side]
        if client.wire:
            envelope = bytearray(client.wire[pick % len(client.wire)].envelope)
            envelope[bit // 8 % len(envelope)] ^= 1 << bit % 8
            with pytest.raises(CryptoError) as caught:
                client.end.open(bytes(envelope))
            assert not isinstance(caught.value, CopiedState), "the relay can raise a false alarm"

    # What a thief does

    @rule(side=sides)
    def copy_a_state(self, side: int) -> None:
        self.clients[side].copies.append(Copy(self.clients[side].end.state))

    @precondition(lambda self: any(client.copies for client in self.clients))
    @rule(side=sides, pick=picks)
    def use_a_copy(self, side: int, pick: int) -> None:
        """In a world beside this one: a message of the thief that opens turns the owner's next one into an alarm."""
        owner, victim = self.clients[side], self.clients[1 - side].end
        copies = [copy for copy in owner.copies if copy.state.can_send and copy.sent_since]
        if not copies:
            return
        copy = copies[pick % len(copies)]
        end = owner.end
        _, forged = encrypt(copy.state, b"thief", end.ad, end.random, self.now_ms, schedule=end.schedule)
        try:
            beside, text, _ = decrypt(victim.state, forged, end.ad, self.now_ms)
        except (CopiedState, Undecryptable):
            return
        assert text == b"thief"
        with pytest.raises(CopiedState):
            decrypt(beside, copy.sent_since[0].envelope, end.ad, self.now_ms)

    # What must hold

    @invariant()
    def nothing_is_shown_twice(self) -> None:
        for client in getattr(self, "clients", ()):
            assert len(client.shown) == len(set(client.shown))

    @invariant()
    def states_stay_small_and_are_what_is_on_disk(self) -> None:
        for client in getattr(self, "clients", ()):
            state = client.end.state
            assert len(state.receiving) <= limits.MAX_RECEIVING_CHAINS
            assert sum(chain.skipped.count for chain in state.receiving) <= limits.MAX_SKIPPED_KEYS
            assert encode_state(state) == client.committed
            assert forget_expired(state, self.now_ms) is state

    def everything_under_way_arrives(self) -> None:
        for side in (0, 1):
            self.deliver_all_in_order(side)

    def both_ends_agree(self) -> None:
        """Convergence: whatever happened, the next round trip works."""
        for side in (0, 1, 0):
            if self.clients[side].end.state.can_send:
                self.submit(side, ephemeral=False)
                self.deliver_all_in_order(1 - side)
                assert self.clients[1 - side].shown[-1] == b"%d from %d" % (self.counter, side)


TestRatchetMachine = RatchetMachine.TestCase
TestRatchetMachine.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
