"""Snapshots: a state and its bytes are one and the same, and nothing else passes for one."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import InvalidEncoding
from crypto.limits import DAY_MS
from crypto.primitives import AeadKey, KemPrivateKey
from crypto.secret_value import SecretValue
from crypto.snapshots import SNAPSHOT_VERSION, decode_state, encode_state
from tests.ratchet_pair import End, start_pair, warm_pair


def busy_end() -> End:
    """A state with every part in use: an offer out, skipped keys in two chains, used numbers, a closed chain."""
    alice, bob = warm_pair("busy")
    for _ in range(3):
        late = [alice.seal(b"late") for _ in range(70)]
        bob.open(alice.seal(b"now"))
        bob.open(late[5])
        bob.open(alice.seal(b"e", ephemeral=True))
        alice.open(bob.seal(b"turn"))
        alice.now_ms = bob.now_ms = bob.now_ms + DAY_MS
    bob.open(alice.seal(b"with a step"))
    bob.seal(b"answers and offers")
    return bob


def content(value: object) -> object:
    """A state as nested tuples, to compare: secrets have no == of their own."""
    if isinstance(value, KemPrivateKey):
        return value.seed
    if isinstance(value, AeadKey):
        return value.key_bytes
    if isinstance(value, SecretValue):
        return tuple(content(getattr(value, field)) for field in value.__struct_fields__)
    if isinstance(value, tuple):
        return tuple(map(content, value))
    return value


def test_every_part_of_a_state_survives() -> None:
    fresh = start_pair()
    warm = warm_pair()
    for end in (*fresh, *warm, busy_end()):
        snapshot = encode_state(end.state)
        restored = decode_state(snapshot)
        assert content(restored) == content(end.state)
        assert encode_state(restored) == snapshot


def test_a_restored_state_goes_on_where_the_saved_one_was() -> None:
    alice, bob = start_pair("restored")
    for number in range(100):
        sender, receiver = (alice, bob) if number % 3 else (bob, alice)
        if not sender.state.can_send:
            continue
        assert receiver.open(sender.seal(b"%d" % number)) == b"%d" % number
        alice.state = decode_state(encode_state(alice.state))
        bob.state = decode_state(encode_state(bob.state))


@pytest.mark.parametrize("version", [0, SNAPSHOT_VERSION + 1, 255])
def test_an_unknown_version_is_refused_by_name(version: int) -> None:
    snapshot = encode_state(busy_end().state)
    with pytest.raises(InvalidEncoding, match=f"version {version}; this build reads {SNAPSHOT_VERSION}"):
        decode_state(bytes((version,)) + snapshot[1:])
    with pytest.raises(InvalidEncoding, match="version none"):
        decode_state(b"")


def test_cut_and_lengthened_snapshots_are_refused() -> None:
    snapshot = encode_state(busy_end().state)
    for cut in (*range(1, 200), len(snapshot) // 2, len(snapshot) - 1):
        with pytest.raises(InvalidEncoding):
            decode_state(snapshot[:cut])
    with pytest.raises(InvalidEncoding):
        decode_state(snapshot + b"\0")


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_a_changed_snapshot_is_refused_or_is_another_state(data: st.DataObject) -> None:
    """Keys are any bytes, so a changed one cannot be noticed; but nothing decodes that is not canonical."""
    snapshot = BUSY
    position = data.draw(st.integers(min_value=1, max_value=len(snapshot) - 1))
    changed = snapshot[:position] + data.draw(st.binary(min_size=1, max_size=3)) + snapshot[position + 1 :]
    try:
        state = decode_state(changed)
    except InvalidEncoding:
        return
    assert encode_state(state) == changed


BUSY = encode_state(busy_end().state)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((0,), bytes(31)),
        ((1, 0), bytes(33)),
        ((1, 1), bytes(5)),
        ((1, 2), bytes(31)),
        ((1, 7), -1),
        ((1, 9), 2**60),
        ((1, 10), bytes(63)),
        ((1, 11), bytes(1_183)),
        ((2, 5), 4),
        ((2, 6), b"no block of this length"),
        ((2, 8), 2**33),
        ((3, 0, 4), bytes(31)),
        ((3, 1, 7), [1, 5]),
        ((3, 0, 8), bytes(13)),
        ((3, 0, 9), [[0, bytes(31), 0]]),
        ((3, 0, 9), [[5, bytes(64), 0], [6, bytes(32), 0]]),
        ((3, 0, 9), [[2**31, bytes(32), 0]]),
        ((3, 0), {"a": "map"}),
        ((3,), [[]] * 6),
    ],
)
def test_values_that_no_state_has_are_refused(path: tuple[int, ...], value: object) -> None:
    tree = msgspec.msgpack.decode(BUSY[1:])
    assert decode_state(bytes((SNAPSHOT_VERSION,)) + msgspec.msgpack.encode(tree))
    at = tree
    for index in path[:-1]:
        at = at[index]
    at[path[-1]] = value
    with pytest.raises(InvalidEncoding):
        decode_state(bytes((SNAPSHOT_VERSION,)) + msgspec.msgpack.encode(tree))


def test_deeply_nested_input_is_refused() -> None:
    with pytest.raises(InvalidEncoding):
        decode_state(bytes((SNAPSHOT_VERSION,)) + b"\x91" * 100_000)


def test_another_encoding_of_the_same_state_is_refused() -> None:
    """One state has one encoding: here the first key says its length in two bytes instead of one."""
    assert BUSY[1:4] == b"\x94\xc4\x20"
    with pytest.raises(InvalidEncoding, match="canonical"):
        decode_state(BUSY[:2] + b"\xc5\x00\x20" + BUSY[4:])
