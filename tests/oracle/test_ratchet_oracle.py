"""The ratchet and the oracle agree when they talk with each other over a bad wire, and on what they refuse."""

import random as stdlib_random

import pytest

from crypto.errors import CryptoError
from crypto.padding import BUCKETS
from crypto.root_chain import KemSchedule
from tests.oracle import padding
from tests.oracle.ratchet import Oracle
from tests.oracle.refusals import Refused
from tests.ratchet_pair import ALICE_AD, End, SeededBytes, secrets_of, start_pair


def test_the_bucket_tables_agree() -> None:
    assert tuple(padding.BUCKETS) == BUCKETS


class Talker:
    """An end of either make behind one face."""

    def __init__(self, end: End | Oracle, random: SeededBytes) -> None:
        self.end, self.random = end, random

    def can_send(self) -> bool:
        return self.end.state.can_send if isinstance(self.end, End) else bool(self.end.s["theirs"])

    def seal(self, content: bytes, now_ms: int, ephemeral: bool) -> bytes:
        if isinstance(self.end, Oracle):
            return self.end.seal(content, self.random, now_ms, ephemeral=ephemeral)
        self.end.now_ms = now_ms
        return self.end.seal(content, ephemeral=ephemeral)

    def open(self, envelope: bytes, now_ms: int) -> bytes | None:
        try:
            if isinstance(self.end, Oracle):
                return self.end.open(envelope, now_ms)
            self.end.now_ms = now_ms
            return self.end.open(envelope)
        except (Refused, CryptoError):
            return None


def mixed_pair(seed: str, steps: int, *, oracle_starts: bool) -> tuple[Talker, Talker]:
    """(Initiator, responder), one of them the oracle."""
    alice, bob = start_pair(seed, KemSchedule(root_steps=steps))
    secrets, (private, public) = secrets_of(seed)
    given = {name: getattr(secrets, name) for name in secrets.__struct_fields__}
    me, peer = ALICE_AD
    if oracle_starts:
        strange = Oracle(given, me, peer, prekey_public=public, root_steps=steps)
        return Talker(strange, alice.random), Talker(bob, bob.random)
    strange = Oracle(given, peer, me, prekey_private=private, root_steps=steps)
    return Talker(alice, alice.random), Talker(strange, bob.random)


@pytest.mark.parametrize("oracle_starts", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_each_understands_the_other_over_a_bad_wire(seed: int, oracle_starts: bool) -> None:
    ends = mixed_pair(f"oracle {seed}", (20, 0, 1, 2, 3, 20)[seed], oracle_starts=oracle_starts)
    chance = stdlib_random.Random(seed)
    wires: tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]] = ([], [])
    now_ms, shown = 0, set[bytes]()
    for number in range(300):
        now_ms += chance.choice((0, 1_000, 3_600_000))
        side = chance.randrange(2)
        if ends[side].can_send():
            content = b"%d from %d" % (number, side) * chance.choice((1, 1, 90))
            wires[1 - side].append((content, ends[side].seal(content, now_ms, chance.random() < 0.2)))
        side = chance.randrange(2)
        if wires[side] and chance.random() < 0.9:
            index = chance.randrange(len(wires[side])) if chance.random() < 0.3 else 0
            content, envelope = wires[side][index] if chance.random() < 0.1 else wires[side].pop(index)
            damaged = bytearray(envelope)
            damaged[chance.randrange(len(damaged))] ^= 1
            assert ends[side].open(bytes(damaged), now_ms) is None
            opened = ends[side].open(envelope, now_ms)
            if opened is not None:
                assert opened == content
                assert content not in shown
                shown.add(content)
    assert len(shown) > 120


@pytest.mark.parametrize("seed", range(4))
def test_both_open_and_refuse_the_same(seed: int) -> None:
    """A responder of each make gets the same envelopes in the same order, some twice, some late, some changed."""
    alice, bob = start_pair(f"twins {seed}", KemSchedule(root_steps=20))
    secrets, (private, _) = secrets_of(f"twins {seed}")
    given = {name: getattr(secrets, name) for name in secrets.__struct_fields__}
    twin = Oracle(given, ALICE_AD[1], ALICE_AD[0], prekey_private=private)
    chance = stdlib_random.Random(seed)
    sent = [alice.seal(b"%d" % number, ephemeral=chance.random() < 0.2) for number in range(150)]
    for _ in range(300):
        envelope = bytearray(chance.choice(sent))
        if chance.random() < 0.2:
            envelope[chance.randrange(len(envelope))] ^= 1 << chance.randrange(8)
        results: list[bytes | None] = []
        for opener in (bob.open, lambda data: twin.open(data, 0)):
            try:
                results.append(opener(bytes(envelope)))
            except (CryptoError, Refused):
                results.append(None)
        assert results[0] == results[1]
