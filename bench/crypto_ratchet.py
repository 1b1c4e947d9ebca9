"""How fast two devices talk: ratchet pairs, snapshots and session set-ups a second, on one core.

    python -m bench.crypto_ratchet

A pair is one encryption and one decryption of 1 KiB in a warm session, in one direction or in turns (each message
opens a chain). A set-up is both sides: bundle checks, PQXDH, sealed first message, and opening it. No disk, no relay.
"""

import os
import time
from collections.abc import Callable

from bench.results import Result, table
from crypto.primitives import require_supported_build
from crypto.snapshots import decode_state, encode_state
from tests.crypto_people import NOW_MS, Person
from tests.ratchet_pair import warm_pair

CONTENT = bytes(range(256)) * 4
ROUNDS = 3
SECONDS = 1.0  # of this process's CPU time, a round: other load on the machine shall not count
BATCH = 20


def rate(name: str, work: Callable[[], None]) -> Result:
    """How often `work` runs in a second, over rounds of about a second each."""
    work()
    rates = []
    for _ in range(ROUNDS):
        done, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < SECONDS:
            for _ in range(BATCH):
                work()
            done += BATCH
        rates.append(done / elapsed)
    return Result.of(name, "a CPU second", rates)


def ratchet_pairs() -> Result:
    """One sender, one receiver, one chain."""
    alice, bob = warm_pair()
    alice.random = bob.random = os.urandom  # type: ignore[assignment]

    def pair() -> None:
        bob.open(alice.seal(CONTENT))

    return rate("ratchet: encrypt + decrypt of 1 KiB, warm", pair)


def ratchet_turns() -> Result:
    """Every message answers the one before: a root step on both sides, a post-quantum step each 21 of them."""
    ends = list(warm_pair("turns"))
    for end in ends:
        end.random = os.urandom  # type: ignore[assignment]

    def turn() -> None:
        ends[1].open(ends[0].seal(CONTENT))
        ends.reverse()

    return rate("ratchet: encrypt + decrypt of 1 KiB, in turns", turn)


def snapshots() -> Result:
    """What a client adds to each message: the state as bytes (and back only at start)."""
    alice, bob = warm_pair("snapshots")
    bob.open(alice.seal(CONTENT))
    assert encode_state(decode_state(encode_state(bob.state))) == encode_state(bob.state)

    def save() -> None:
        encode_state(bob.state)

    return rate("ratchet: snapshots", save)


def session_set_ups() -> Result:
    """A fresh session each time, with one-time keys until they are used up and last-resort keys after that."""
    alice, bob = Person("alice", stock=100), Person("bob", stock=100)
    peers, prekeys = dict(alice.peers), bob.prekeys
    bundle = bob.relay.claim()

    def set_up() -> None:
        alice.peers, bob.peers, bob.prekeys = dict(peers), {}, prekeys
        alice.start(bob, NOW_MS, bundle=bundle)
        assert bob.receive(alice.send(bob, CONTENT)) == CONTENT

    return rate("session set-up, both sides, with the first message", set_up)


MEASURES = (ratchet_pairs, ratchet_turns, snapshots, session_set_ups)


def run() -> list[Result]:
    """Every figure."""
    require_supported_build()
    return [measure() for measure in MEASURES]


if __name__ == "__main__":
    print(table(run()))
