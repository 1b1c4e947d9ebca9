"""Snapshots of groups: a value and its bytes are one and the same, and nothing else passes for one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crypto import group_snapshots, sender_keys
from crypto.errors import InvalidEncoding
from crypto.group_changes import Remove
from crypto.group_snapshots import (
    SNAPSHOT_VERSION,
    decode_held,
    decode_sender,
    decode_sending,
    decode_view,
    encode_held,
    encode_sender,
    encode_sending,
    encode_view,
)
from crypto.held_messages import HeldMessages
from crypto.manifest import SignedManifest
from crypto.manifest_chain import verify_chain
from crypto.secret_value import replace
from tests.crypto_people import SeededRandom
from tests.group_people import GroupMember, Log, group_of
from tests.vectors import generate_group_snapshots

SAVED = json.loads((Path(__file__).parents[1] / "vectors" / "group_snapshots.json").read_text())
Codec = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
CODECS: dict[str, Codec] = {
    "view": (encode_view, decode_view),
    "sending": (encode_sending, decode_sending),
    "sender": (encode_sender, decode_sender),
    "held": (encode_held, decode_held),
}


def busy() -> tuple[Log, GroupMember, GroupMember]:
    """A group with every part in use: several epochs, one missing, one waiting, skipped keys, a held message."""
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    ann.hand_to([bob])
    ann.commit(log, [Remove(cem.account)])
    ann.spread([bob])
    bob.catch_up(log)
    for _ in range(2):
        ann.chain = None
        ann.hand_to([bob])
        late = [ann.send(b"late") for _ in range(9)]
        bob.open(late[8])
        bob.open(late[4])
    proposal = ann.commit(log, [], cut=True)
    bob.catch_up(log)
    assert proposal.hand_out is not None
    bob.learn(replace(proposal.hand_out, epoch=99))
    bob.held = HeldMessages().add(late[1], 5).add(late[2], 6)
    ann.fresh_chain()
    return log, ann, bob


def values() -> dict[str, Any]:
    _, ann, bob = busy()
    assert bob.known.missing
    assert bob.known.waiting
    return {
        "view": bob.known,
        "sending": ann.fresh_chain(),
        "sender": bob.senders[ann.device.device_id],
        "held": bob.held,
    }


@pytest.mark.parametrize("name", CODECS)
def test_each_value_survives(name: str) -> None:
    encode, decode = CODECS[name]
    snapshot = encode(values()[name])
    assert snapshot[0] == SNAPSHOT_VERSION
    assert encode(decode(snapshot)) == snapshot


@pytest.mark.parametrize("name", CODECS)
def test_an_unknown_version_and_damage_are_refused(name: str) -> None:
    encode, decode = CODECS[name]
    snapshot = encode(values()[name])
    for version in (0, SNAPSHOT_VERSION + 1, 255):
        with pytest.raises(InvalidEncoding, match=f"version {version}; this build reads"):
            decode(bytes((version,)) + snapshot[1:])
    with pytest.raises(InvalidEncoding, match="version none"):
        decode(b"")
    for cut in (1, 2, 40, len(snapshot) // 2, len(snapshot) - 1):
        with pytest.raises(InvalidEncoding):
            decode(snapshot[:cut])
    with pytest.raises(InvalidEncoding):
        decode(snapshot + b"\0")


def altered(name: str, change: Callable[[list[Any]], None]) -> bytes:
    encode, _ = CODECS[name]
    fields = msgspec.msgpack.decode(encode(values()[name])[1:])
    change(fields)
    return bytes((SNAPSHOT_VERSION,)) + msgspec.msgpack.encode(fields)


def set_at(*path: int, to: Any) -> Callable[[list[Any]], None]:
    def change(fields: list[Any]) -> None:
        for step in path[:-1]:
            fields = fields[step]
        fields[path[-1]] = to

    return change


def with_earlier(*secrets: bytes) -> Callable[[list[Any]], None]:
    return lambda fields: fields.append([[1, bytes(32), 0, one] for one in secrets])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("view", set_at(0, to=b"")),
        ("view", set_at(1, to=-1)),
        ("view", set_at(2, 0, to=bytes(141))),
        ("view", set_at(2, 0, to=b"\x01" + bytes(140))),
        ("view", set_at(4, 0, to=bytes(3))),
        ("view", set_at(5, to=bytes(7))),
        ("view", with_earlier(bytes(33))),
        ("view", with_earlier(b"")),
        ("view", with_earlier(*(bytes(32 * 4_000),) * 2)),
        ("sending", set_at(3, to=bytes(32))),
        ("sending", set_at(0, to=bytes(31))),
        ("sending", set_at(5, to=2**32 + 1)),
        ("sender", set_at(2, 0, 0, 4, to=bytes(32))),
        ("sender", set_at(2, 0, 3, 0, 1, to=bytes(33))),
        ("sender", set_at(2, 0, 3, 0, 0, to=8)),
        ("sender", set_at(2, 0, 2, to=3)),
        ("sender", set_at(2, 0, 3, 0, 1, to=bytes(32 * 2_001))),
        ("held", set_at(0, 0, to=b"")),
        ("held", set_at(1, to="many")),
    ],
)
def test_impossible_values_are_refused(name: str, change: Callable[[list[Any]], None]) -> None:
    with pytest.raises(InvalidEncoding):
        CODECS[name][1](altered(name, change))


def test_a_restored_member_goes_on_where_the_saved_one_was() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    ann.hand_to([bob])
    for number in range(30):
        text = b"%d" % number
        if number % 10 == 9:
            ann.commit(log, [], cut=True)
            ann.spread([bob])
            bob.catch_up(log)
        assert bob.open(ann.say([bob], text)) == text
        for member in (ann, bob):
            member.view = decode_view(encode_view(member.known))
            member.senders = {
                device: decode_sender(encode_sender(sender)) for device, sender in member.senders.items()
            }
        assert ann.chain is not None
        ann.chain = decode_sending(encode_sending(ann.chain))


def test_snapshots_show_nothing_of_themselves() -> None:
    shape = group_snapshots._Missing(1, b"h" * 32, b"c" * 32)
    assert repr(shape) == "_Missing(…)"


@pytest.mark.parametrize("saved", SAVED["versions"], ids=lambda each: f"version {each['version']}")
def test_what_every_version_saved_still_works(saved: dict[str, Any]) -> None:
    view, sender = decode_view(bytes.fromhex(saved["view"])), decode_sender(bytes.fromhex(saved["sender"]))
    signed = SignedManifest.parse(bytes.fromhex(saved["manifest"]))
    manifest = verify_chain(signed.manifest.account_id, None, [signed])
    envelope, now_ms = bytes.fromhex(saved["envelope"]), saved["now_ms"]
    opened = sender_keys.find_header(view.epochs, envelope)
    assert opened is not None
    _, text = sender_keys.decrypt(sender, opened, envelope, view.state, manifest, now_ms)
    assert text.hex() == saved["plaintext"]
    _, ready = decode_held(bytes.fromhex(saved["held"])).take(bool)
    assert ready == (envelope,)
    chain = decode_sending(bytes.fromhex(saved["sending"]))
    _, another = sender_keys.encrypt(chain, view.keys, view.state, b"on", SeededRandom("x"), now_ms)
    again = sender_keys.find_header(view.epochs, another)
    assert again is not None
    assert sender_keys.decrypt(sender, again, another, view.state, manifest, now_ms)[1] == b"on"


def test_the_present_version_is_among_the_saved_ones() -> None:
    assert SAVED["versions"][-1] == generate_group_snapshots.snapshots()
