"""Who may write into a group: nobody writes as another, who is out is not shown, who joins sees what comes after."""

import pytest

from crypto import sender_keys
from crypto.errors import (
    ChainEnded,
    ChainMissing,
    GroupTooNew,
    InvalidSignature,
    NotEntitled,
    Replayed,
    Undecryptable,
    UnknownDevice,
)
from crypto.group_changes import ChangeSetting, Give, Remove
from crypto.group_proposals import add
from crypto.group_rights import Right, Role
from crypto.group_state import Setting, audience
from crypto.keys import LocalDevice
from crypto.manifest_chain import verify_chain
from crypto.secret_value import replace
from crypto.sender_chains import (
    begin_chain,
)
from tests.group_people import GroupMember, Town, group_of


def talking(*names: str) -> list[GroupMember]:
    """A group in which everybody has the first one's chain."""
    _, members = group_of(*names)
    members[0].hand_to(members)
    return members


def test_b5_a_chain_ends_with_its_epoch_and_what_was_sent_before_still_opens() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    bob.hand_to([ann])
    under_way = bob.send(b"sent before the cut")
    old = bob.chain
    ann.commit(log, [Remove(cem.account)])
    ann.spread([bob])
    bob.catch_up(log)
    assert old is not None
    with pytest.raises(ChainEnded):
        sender_keys.encrypt(old, bob.known.keys, bob.known.state, b"x", bob.random, bob.now_ms)
    assert ann.open(under_way) == b"sent before the cut"
    assert ann.open(bob.say([ann], b"after")) == b"after"


def test_b5_an_old_chain_under_the_header_key_of_a_new_epoch_is_refused() -> None:
    """Who was removed in between knows the chain, and would read what is said under it."""
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    bob.hand_to([ann, cem])
    old, before = bob.known_chain, bob.known.state
    ann.commit(log, [Remove(cem.account)])
    ann.spread([bob])
    bob.catch_up(log)
    new = bob.known.keys
    posing = replace(new, epoch=before.epoch, cut_hash=before.cut_hash)
    _, envelope = sender_keys.encrypt(old, posing, before, b"under the old chain", bob.random, bob.now_ms)
    opened = sender_keys.find_header(ann.known.epochs, envelope)
    assert opened is not None
    assert opened.keys.epoch == new.epoch
    with pytest.raises(Undecryptable, match="another epoch"):
        ann.open(envelope)


def test_a_chain_is_used_with_the_secret_of_its_own_epoch_and_step() -> None:
    _, (ann, _) = group_of("ann", "bob")
    chain, view = ann.fresh_chain(), ann.known
    later = replace(view.keys, step=1)
    with pytest.raises(ChainMissing, match="secret"):
        sender_keys.encrypt(chain, later, view.state, b"x", ann.random, ann.now_ms)


def test_b5_a_removed_sender_is_not_shown_also_under_keys_it_still_has() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    cem.hand_to([ann, bob])
    before, after = cem.send(b"before"), cem.send(b"after")
    assert bob.open(before) == b"before"
    ann.commit(log, [Remove(cem.account)])
    ann.spread([bob, cem])
    bob.catch_up(log)
    for member in (ann, bob):
        with pytest.raises(NotEntitled):
            member.open(after)
    assert cem.known.state.epoch == 1


def test_b5_a_removed_member_cannot_read_what_comes_after() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    ann.hand_to([bob, cem])
    ann.commit(log, [Remove(cem.account)])
    ann.spread([bob, cem])
    bob.catch_up(log)
    envelope = ann.say([bob, cem], b"without cem")
    assert bob.open(envelope) == b"without cem"
    with pytest.raises(ChainMissing):
        cem.open(envelope)
    assert ann.device.device_id in cem.senders
    assert len(cem.senders[ann.device.device_id].chains) == 1


def test_b5_a_member_who_is_added_again_is_not_shown_with_what_it_sent_before() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    cem.hand_to([ann, bob])
    old = cem.send(b"from the first time")
    ann.commit(log, [Remove(cem.account)])
    ann.spread([bob])
    ann.commit(log, [add(cem.account, 1)])
    bob.catch_up(log)
    assert bob.known.state.member(cem.account).since == 2
    with pytest.raises(NotEntitled, match="added again"):
        bob.open(old)


def test_b5_a_device_that_left_its_manifest_is_refused() -> None:
    ann, bob = talking("ann", "bob")
    envelope = ann.send(b"from a device that is gone")
    other = LocalDevice.generate(ann.account, ann.random)
    signed = ann.person.next_manifest([other])
    ann.town.manifests[ann.account] = verify_chain(ann.account, ann.person.manifest, [signed])
    with pytest.raises(UnknownDevice):
        bob.open(envelope)


def test_a_muted_member_can_neither_send_nor_be_shown() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    cem.hand_to([bob])
    under_way = cem.send(b"before it was muted")
    ann.commit(log, [Give(cem.account, int(Right.HEAR))])
    ann.spread([bob, cem])
    for member in (bob, cem):
        member.catch_up(log)
    with pytest.raises(NotEntitled):
        cem.say([bob], b"psst")
    with pytest.raises(NotEntitled):
        bob.open(under_way)
    envelope = ann.say([bob, cem], b"you may listen")
    assert cem.open(envelope) == b"you may listen"


def test_b6_another_member_cannot_write_as_the_sender() -> None:
    """All members know the chain key; only the sender has the signing key."""
    ann, bob, cem = talking("ann", "bob", "cem")
    real = ann.send(b"first")
    bob.open(real)
    known = cem.senders[ann.device.device_id].chains[0]
    mine = begin_chain(cem.known.keys, ann.account, ann.device.device_id, cem.random, cem.now_ms)
    forged = replace(mine, opening=known.opening, chain_key=known.chain_key, iteration=known.iteration)
    _, envelope = sender_keys.encrypt(
        forged, cem.known.keys, cem.known.state, b"as if from ann", cem.random, cem.now_ms
    )
    with pytest.raises(InvalidSignature):
        bob.open(envelope)


def test_b6_who_is_not_in_the_audience_gets_no_chain() -> None:
    log, (ann, bob, bot) = group_of("ann", "bob", "bot")
    stranger = GroupMember("stranger", ann.town)
    ann.commit(log, [Give(bot.account, int(Right.SEND))])
    ann.spread([bob])
    bob.catch_up(log)
    listed = audience(ann.known.state, ann.town.manifests)
    assert listed == {(each.account, each.device.device_id) for each in (ann, bob)}
    ann.hand_to([bob, bot, stranger])
    assert bob.senders
    assert not bot.senders
    assert not stranger.senders


def test_a_newcomer_opens_nothing_from_before_it_got_the_chain() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    ann.hand_to([bob])
    early = ann.send(b"before")
    dee = GroupMember("dee", ann.town)
    ann.commit(log, [add(dee.account, 1)])
    ann.invite(dee)
    bob.catch_up(log)
    ann.hand_to([dee])
    late = ann.send(b"after")
    assert [member.open(late) for member in (bob, dee)] == [b"after"] * 2
    with pytest.raises(Replayed):
        dee.open(early)
    assert bob.open(early) == b"before"


def test_a_critical_setting_that_is_unknown_stops_writing_and_not_reading() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    ann.hand_to([bob])
    bob.hand_to([ann])
    ann.commit(log, [ChangeSetting(Setting("polls", b"\x01"))])
    ann.send(b"an unknown optional one stops nobody")
    ann.commit(log, [ChangeSetting(Setting("post-quantum-signatures", b"\x01", critical=True))])
    bob.catch_up(log)
    for member in (ann, bob):
        with pytest.raises(GroupTooNew, match="post-quantum-signatures"):
            member.send(b"no")
    assert bob.known.state.setting("polls") == b"\x01"


def test_who_may_not_send_hands_out_no_chain() -> None:
    log, (ann, lis) = group_of("ann", "lis", roles={"lis": Role.LISTENER})
    assert log.entries
    state = ann.known.state
    sender_keys.require_sender(state, ann.person.manifest, ann.device.device_id)
    with pytest.raises(NotEntitled):
        sender_keys.require_sender(state, lis.person.manifest, lis.device.device_id)
    with pytest.raises(UnknownDevice):
        sender_keys.require_sender(state, ann.person.manifest, bytes(16))
    with pytest.raises(NotEntitled):
        sender_keys.require_sender(state, GroupMember("x", Town()).person.manifest, bytes(16))
