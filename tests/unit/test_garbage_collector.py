"""What a client keeps for each of thousands is nothing that the garbage collector looks at: it stops the whole process."""

import gc
from typing import Any

from client.store.group_sending import Listener
from crypto.group_rights import EVERY_RIGHT, Role
from crypto.group_state import Member
from crypto.session_snapshots import decode_sessions, encode_sessions
from crypto.sessions import PeerSessions
from tests.crypto_people import NOW_MS, Person


def tracked_below(value: Any) -> dict[int, Any]:
    """All that the collector would look at because of this value, by identity; classes aside."""
    gc.collect()  # it is only then that tuples of plain values are let go
    found: dict[int, Any] = {}
    seen: set[int] = set()
    left = [value]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if gc.is_tracked(one):
            found[id(one)] = one
        left += gc.get_referents(one)
        left += [getattr(one, name) for name in getattr(type(one), "__struct_fields__", ())]
    return found


def peer_sessions() -> tuple[PeerSessions, PeerSessions]:
    """Of two pairs of devices that have spoken with each other, read from their stores."""
    found = []
    for _ in range(2):
        alice, bob = Person("alice"), Person("bob")
        alice.start(bob)
        bob.receive(alice.send(bob, b"hello"))
        alice.receive(bob.send(alice, b"and you?"))
        bob.receive(alice.send(bob, b"well", NOW_MS))
        (peer,) = alice.peers.values()
        found.append(decode_sessions(encode_sessions(peer), (alice.account, alice.device.device_id)))
    return found[0], found[1]


def test_one_more_session_gives_the_collector_one_more_object() -> None:
    first, second = peer_sessions()
    of_first, of_second = tracked_below(first), tracked_below(second)
    assert [type(one) for key, one in of_second.items() if key not in of_first] == [dict]


def test_what_a_group_has_of_each_member_is_not_looked_at() -> None:
    member = Member(bytes(32), 1, Role.MEMBER, EVERY_RIGHT, 3, 1)
    listener = Listener(bytes(32), bytes(32), 1, bytes(16))
    held = (member,), (listener,)
    gc.collect()
    assert not any(gc.is_tracked(one) for one in (member, listener, *held))
