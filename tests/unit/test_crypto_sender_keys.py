"""Group messages: one envelope for all, bound to group, epoch, state and sender; replays and strangers refused."""

import dataclasses

import pytest

from crypto import limits, sender_keys
from crypto.errors import (
    ChainEnded,
    ChainMissing,
    CopiedState,
    CryptoError,
    InvalidEncoding,
    InvalidKey,
    InvalidSignature,
    NotEntitled,
    Replayed,
    TooFarAhead,
    TooLarge,
    Undecryptable,
)
from crypto.group_changes import Add
from crypto.group_rights import Role
from crypto.padding import BUCKETS, is_bucket
from crypto.secret_value import replace
from crypto.sender_chains import (
    ChainHandOut,
    SenderChains,
    accept_hand_out,
    begin_chain,
    hand_out,
    open_chain,
)
from tests.group_people import GroupMember, group_of


def talking(*names: str) -> list[GroupMember]:
    """A group in which everybody has the first one's chain."""
    _, members = group_of(*names)
    members[0].hand_to(members)
    return members


def test_one_envelope_opens_for_all() -> None:
    ann, *others = talking("ann", "bob", "cem", "dee")
    envelope = ann.send(b"hello all")
    assert envelope[:2] == b"\x03\x01"
    assert [other.open(envelope) for other in others] == [b"hello all"] * 3


@pytest.mark.parametrize("length", [0, 1, 110, 111, 366, 367, 878, 879, 1_500, 100_000, 261_998])
def test_c3_the_size_of_a_group_envelope_is_a_bucket(length: int) -> None:
    ann, bob = talking("ann", "bob")
    envelope = ann.send(b"x" * length)
    assert is_bucket(len(envelope))
    assert len(envelope) == min(each for each in BUCKETS if each >= length + 146)
    assert bob.open(envelope) == b"x" * length


def test_content_beyond_an_envelope_is_too_large() -> None:
    ann, _ = talking("ann", "bob")
    with pytest.raises(TooLarge):
        ann.send(b"x" * 261_999)


def test_b2_b8_each_flipped_byte_is_refused_and_changes_nothing() -> None:
    ann, bob = talking("ann", "bob")
    envelope = ann.send(b"intact")
    before = bob.senders[ann.device.device_id]
    for at in range(len(envelope)):
        altered = envelope[:at] + bytes((envelope[at] ^ 1,)) + envelope[at + 1 :]
        with pytest.raises((ChainMissing, InvalidSignature, InvalidEncoding)):
            bob.open(altered)
        assert bob.senders[ann.device.device_id] is before
    assert bob.open(envelope) == b"intact"


def test_b8_a_replayed_group_message_is_refused() -> None:
    ann, bob = talking("ann", "bob")
    envelopes = [ann.send(b"%d" % number) for number in range(6)]
    for number in (4, 0, 5, 2):
        assert bob.open(envelopes[number]) == b"%d" % number
    for number in (0, 2, 4, 5):
        with pytest.raises(Replayed):
            bob.open(envelopes[number])
    assert [bob.open(envelopes[number]) for number in (1, 3)] == [b"1", b"3"]


def test_b3_a_thousand_messages_in_any_order_are_each_shown_once() -> None:
    ann, bob = talking("ann", "bob")
    envelopes = [ann.say([bob], b"%d" % number) for number in range(1_000)]
    order = sorted(range(1_000), key=lambda number: number * 7_919 % 1_000)
    for number in order:
        bob.open(envelopes[number])
        with pytest.raises(Replayed):
            bob.open(envelopes[number])
    assert sorted(bob.shown) == sorted(b"%d" % number for number in range(1_000))


@pytest.mark.proves("M-GROUP-05")
def test_a_chain_ends_after_500_messages() -> None:
    ann, bob = talking("ann", "bob")
    for number in range(limits.MAX_CHAIN_MESSAGES):
        assert bob.open(ann.send(b"%d" % number)) == b"%d" % number
    assert ann.chain is not None
    with pytest.raises(ChainEnded):
        sender_keys.encrypt(ann.chain, ann.known.keys, ann.known.state, b"one more", ann.random, ann.now_ms)
    assert bob.open(ann.say([bob], b"under a new chain")) == b"under a new chain"


@pytest.mark.proves("M-GROUP-05")
@pytest.mark.parametrize("passed_ms", [limits.MAX_CHAIN_AGE_MS, -1])
def test_a_chain_ends_after_seven_days_and_when_the_clock_ran_back(passed_ms: int) -> None:
    ann, _ = talking("ann", "bob")
    old, began = ann.fresh_chain(), ann.now_ms
    now = began + passed_ms
    with pytest.raises(ChainEnded):
        sender_keys.encrypt(old, ann.known.keys, ann.known.state, b"late", ann.random, now)
    now = max(began, now - 1)
    after, _ = sender_keys.encrypt(old, ann.known.keys, ann.known.state, b"in time", ann.random, now)
    assert after.iteration == old.iteration + 1


def test_a_message_redirected_to_another_group_is_refused() -> None:
    log, members = group_of("ann", "bob")
    ann, bob = members
    ann.hand_to([bob])
    envelope = ann.send(b"for the first group")
    first, first_senders = bob.known, dict(bob.senders)
    ann.chain = None
    ann.begin(type(log)(), [(bob, Role.MEMBER)])
    ann.invite(bob)
    ann.hand_to([bob])
    with pytest.raises(ChainMissing):
        bob.open(envelope)
    opened = sender_keys.find_header(first.epochs, envelope)
    assert opened is not None
    with pytest.raises(ValueError, match="another group"):
        sender_keys.decrypt(
            bob.senders[ann.device.device_id], opened, envelope, bob.known.state, ann.person.manifest, 0
        )
    bob.view, bob.senders = first, first_senders
    assert bob.open(envelope) == b"for the first group"


@pytest.mark.parametrize("field", ["group_id", "cut_hash", "account", "device", "chain_id"])
def test_each_field_that_a_message_is_bound_to_counts(field: str) -> None:
    """A chain handed out as another's, or for another place, opens nothing: the signature covers each field."""
    ann, bob = talking("ann", "bob")
    envelope = ann.send(b"bound")
    sender = bob.senders[ann.device.device_id]
    opened = sender_keys.find_header(bob.known.epochs, envelope)
    assert opened is not None
    chain = ann.fresh_chain().opening
    swapped = replace(chain, **{field: bytes(len(getattr(chain, field)))})
    opening = open_chain(
        swapped.group_id,
        swapped.epoch,
        swapped.cut_hash,
        swapped.account,
        swapped.device,
        swapped.chain_id,
        swapped.signing_public,
    )
    keys = replace(opened.keys, group_id=opening.group_id, cut_hash=opening.cut_hash)
    chains = SenderChains(sender.account, sender.device, (replace(sender.chains[0], opening=opening),))
    header = opened.header._replace(chain_id=opening.chain_id)
    state = bob.known.state
    if field == "group_id":
        state = dataclasses.replace(state, group_id=opening.group_id)
    with pytest.raises(InvalidSignature):
        sender_keys.decrypt(
            chains, opened._replace(keys=keys, header=header), envelope, state, ann.person.manifest, 0
        )


def test_another_iteration_in_the_header_is_not_signed() -> None:
    ann, bob = talking("ann", "bob")
    envelope = ann.send(b"number 0")
    opened = sender_keys.find_header(bob.known.epochs, envelope)
    assert opened is not None
    header = opened.header._replace(iteration=1)
    sender = bob.senders[ann.device.device_id]
    with pytest.raises(InvalidSignature):
        sender_keys.decrypt(
            sender, opened._replace(header=header), envelope, bob.known.state, ann.person.manifest, 0
        )


def test_forward_jumps_and_skipped_keys_are_bounded() -> None:
    ann, bob = talking("ann", "bob")
    chain = ann.fresh_chain()
    device = ann.device.device_id
    receiver = bob.senders[device].chains[0]
    with pytest.raises(TooFarAhead):
        receiver.message_key(limits.MAX_FORWARD_JUMP + 1, 0)
    with pytest.raises(TooFarAhead):
        receiver.message_key(2**32 - 1, 0)
    after, _ = receiver.message_key(limits.MAX_FORWARD_JUMP, 0)
    assert after.skipped.count == limits.MAX_SKIPPED_KEYS
    assert after.skipped.ranges[0].first == limits.MAX_FORWARD_JUMP - limits.MAX_SKIPPED_KEYS
    keys = []
    for _ in range(20):
        chain, key = chain.next_message()
        keys.append(key)
    moved, key = receiver.message_key(19, 0)
    assert key == keys[19]
    assert [moved.message_key(number, 0)[1] for number in range(19)] == keys[:19]


def test_five_chains_of_a_sender_share_their_skipped_keys() -> None:
    ann, bob = talking("ann", "bob")
    device = ann.device.device_id
    for _ in range(7):
        ann.chain = None
        ann.hand_to([bob])
        skipped = [ann.send(b"lost") for _ in range(limits.MAX_CHAIN_MESSAGES - 1)]
        bob.open(ann.send(b"last"))
        assert skipped
    chains = bob.senders[device].chains
    assert len(chains) == limits.MAX_SENDER_CHAINS
    assert [chain.skipped.count for chain in chains] == [499, 499, 499, 499, 4]
    assert sum(chain.skipped.count for chain in chains) == limits.MAX_SKIPPED_KEYS
    bob.senders[device] = bob.senders[device].without_keys_before(bob.now_ms)
    assert bob.senders[device].chains is chains
    emptied = bob.senders[device].without_keys_before(bob.now_ms + 1)
    assert not any(chain.skipped.count for chain in emptied.chains)


def test_a_repeated_hand_out_moves_nothing_and_a_second_key_under_one_id_is_an_alarm() -> None:
    ann, bob = talking("ann", "bob")
    first = hand_out(ann.fresh_chain())
    bob.open(ann.send(b"one"))
    device = ann.device.device_id
    before = bob.senders[device]
    assert accept_hand_out(before, first) is before
    other = begin_chain(ann.known.keys, ann.account, device, ann.random, ann.now_ms)
    twisted = replace(hand_out(other), chain_id=first.chain_id)
    with pytest.raises(CopiedState):
        accept_hand_out(before, twisted)


def test_hand_outs_have_one_encoding() -> None:
    ann, _ = talking("ann", "bob")
    encoded = hand_out(ann.fresh_chain()).encode()
    assert len(encoded) == 153
    assert ChainHandOut.parse(encoded).encode() == encoded
    for wrong in (b"", encoded[:-1], encoded + b"\0", b"\x02" + encoded[1:]):
        with pytest.raises(InvalidEncoding):
            ChainHandOut.parse(wrong)
    with pytest.raises(InvalidKey):
        ChainHandOut.parse(encoded[:-32] + bytes(32))
    with pytest.raises(InvalidEncoding, match="impossible epoch"):
        ChainHandOut.parse(encoded[:33] + b"\0\x20" + bytes(6) + encoded[41:])


def test_the_wrong_secret_chain_or_manifest_is_a_mistake_of_the_caller() -> None:
    ann, bob = talking("ann", "bob")
    envelope = ann.send(b"x")
    opened = sender_keys.find_header(bob.known.epochs, envelope)
    assert opened is not None
    sender = bob.senders[ann.device.device_id]
    with pytest.raises(ValueError, match="another sender"):
        sender_keys.decrypt(sender, opened, envelope, bob.known.state, bob.person.manifest, 0)
    older = replace(opened.keys, epoch=0)
    with pytest.raises((Undecryptable, NotEntitled)):
        sender_keys.decrypt(
            sender, opened._replace(keys=older), envelope, bob.known.state, ann.person.manifest, 0
        )


@pytest.mark.parametrize(
    "envelope", [b"", b"\x03\x01" + bytes(100), b"\x02\x01" + bytes(254), b"\x03\x01" + bytes(255)]
)
def test_what_is_no_group_envelope_is_refused(envelope: bytes) -> None:
    _, bob = talking("ann", "bob")
    with pytest.raises(InvalidEncoding):
        sender_keys.find_header(bob.known.epochs, envelope)


def test_secrets_of_chains_are_not_shown() -> None:
    ann, bob = talking("ann", "bob")
    for value in (
        ann.fresh_chain(),
        hand_out(ann.fresh_chain()),
        bob.senders[ann.device.device_id],
        ann.known.keys,
    ):
        assert "(…)" in repr(value)
        assert b"\\x" not in repr(value).encode()
    assert "secret" not in repr(ann.known)


def test_every_failure_is_of_the_one_tree() -> None:
    assert issubclass(ChainEnded, CryptoError)
    assert issubclass(ChainMissing, CryptoError)
    assert not issubclass(ChainMissing, Undecryptable)
    assert Add(b"", 1, Role.MEMBER, 3, 3) == Add(b"", 1, Role.MEMBER, 3, 3)
