"""Snapshots of sessions, prekeys and manifests come back whole; other versions and damaged ones are refused."""

from collections.abc import Callable

import msgspec
import pytest

from crypto.errors import InvalidEncoding, Replayed
from crypto.local_prekeys import LocalPrekeys
from crypto.session_snapshots import (
    decode_manifests,
    decode_prekeys,
    decode_sessions,
    encode_manifests,
    encode_prekeys,
    encode_sessions,
)
from crypto.sessions import PeerSessions
from tests.crypto_people import NOW_MS, Person


def restart(person: Person) -> None:
    """Everything through its snapshot, as when a client starts again."""
    for account, peer in person.peers.items():
        snapshot = encode_sessions(peer)
        person.peers[account] = decode_sessions(snapshot, person.device)
        assert encode_sessions(person.peers[account]) == snapshot
    snapshot = encode_prekeys(person.prekeys)
    person.prekeys = decode_prekeys(snapshot)
    assert encode_prekeys(person.prekeys) == snapshot
    for account, known in person.known.items():
        person.known[account] = decode_manifests(encode_manifests(known))
        assert person.known[account] == known


def test_a_conversation_survives_a_restart_after_every_step() -> None:
    alice, bob = Person("alice"), Person("bob")
    alice.start(bob)
    restart(alice)
    first = alice.send(bob, b"one")
    restart(alice)
    second = alice.send(bob, b"two")
    restart(bob)
    assert bob.receive(second) == b"two"
    restart(bob)
    assert bob.receive(first) == b"one"
    restart(bob)
    alice.start(bob)
    restart(alice)
    answer = bob.send(alice, b"three")
    assert alice.receive(answer) == b"three"
    restart(alice)
    assert bob.receive(alice.send(bob, b"four")) == b"four"
    restart(bob)
    assert alice.receive(bob.send(alice, b"five")) == b"five"
    restart(alice)
    late = alice.send(bob, b"six", NOW_MS)
    assert late[0] == 2
    restart(bob)
    assert bob.receive(late) == b"six"


def test_a4_a_replay_is_refused_after_a_restart() -> None:
    alice, bob = Person("alice"), Person("bob")
    alice.start(bob)
    envelope = alice.send(bob, b"once")
    assert bob.receive(envelope) == b"once"
    restart(bob)
    with pytest.raises(Replayed):
        bob.receive(envelope)


def decode_of(bob: Person) -> list[tuple[bytes, Callable[[bytes], object]]]:
    return [
        (encode_sessions(next(iter(bob.peers.values()))), lambda data: decode_sessions(data, bob.device)),
        (encode_prekeys(bob.prekeys), decode_prekeys),
        (encode_manifests(bob.manifest), decode_manifests),
    ]


def test_other_versions_and_damage_are_refused() -> None:
    alice, bob = Person("alice"), Person("bob")
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    for snapshot, decode in decode_of(bob):
        decode(snapshot)
        for bad in (b"", b"\x02" + snapshot[1:], snapshot[:-1], snapshot + b"\x00", snapshot[:1] + b"\xc0"):
            with pytest.raises(InvalidEncoding):
                decode(bad)


def test_values_that_no_snapshot_has_are_refused() -> None:
    too_short = b"\x01" + msgspec.msgpack.encode(([(1, 1, 1, 0, bytes(31), False, None)], (1, 1, 1, 1)))
    wrong_class = b"\x01" + msgspec.msgpack.encode(([(1, 3, 1, 0, bytes(32), False, None)], (1, 1, 1, 1)))
    for bad in (too_short, wrong_class):
        with pytest.raises(InvalidEncoding):
            decode_prekeys(bad)


def test_empty_values_come_back() -> None:
    bob = Person("bob")
    empty = PeerSessions(bytes(32), bytes(16))
    assert encode_sessions(decode_sessions(encode_sessions(empty), bob.device)) == encode_sessions(empty)
    assert decode_prekeys(encode_prekeys(LocalPrekeys())).next_ids == (1, 1, 1, 1)
