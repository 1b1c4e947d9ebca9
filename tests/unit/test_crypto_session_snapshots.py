"""Snapshots of sessions come back whole; other versions and damaged ones are refused."""

import pytest

from crypto.errors import InvalidEncoding, Replayed
from crypto.session_snapshots import (
    decode_sessions,
    encode_sessions,
)
from crypto.sessions import PeerSessions
from tests.crypto_people import NOW_MS, Person, ratchet_of


def restart(person: Person) -> None:
    """Everything through its snapshot, as when a client starts again."""
    for account, peer in person.peers.items():
        snapshot = encode_sessions(peer)
        person.peers[account] = decode_sessions(snapshot, (person.account, person.device.device_id))
        assert encode_sessions(person.peers[account]) == snapshot


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


def test_other_versions_and_damage_are_refused() -> None:
    alice, bob = Person("alice"), Person("bob")
    alice.start(bob)
    bob.receive(alice.send(bob, b"hello"))
    snapshot, own = encode_sessions(bob.peers[alice.account]), (bob.account, bob.device.device_id)
    decode_sessions(snapshot, own)
    for bad in (b"", b"\x02" + snapshot[1:], snapshot[:-1], snapshot + b"\x00", snapshot[:1] + b"\xc0"):
        with pytest.raises(InvalidEncoding):
            decode_sessions(bad, own)


def test_an_empty_value_comes_back() -> None:
    empty = PeerSessions(bytes(32), bytes(16))
    assert encode_sessions(
        decode_sessions(encode_sessions(empty), (bytes(32), bytes(16)))
    ) == encode_sessions(empty)


def test_a_snapshot_has_no_voice() -> None:
    alice, bob = Person("alice"), Person("bob")
    alice.start(bob)
    assert repr(ratchet_of(alice, bob).root.root_key) not in repr(alice.peers[bob.account])
