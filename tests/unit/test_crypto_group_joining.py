"""Joining a group: a welcome fits together or is refused, a broadcast re-keys nobody, early messages are held."""

import pytest

from crypto import group_log, limits
from crypto.errors import (
    ChainMissing,
    InvalidEncoding,
    NotEntitled,
)
from crypto.group_changes import Give, Remove
from crypto.group_commits import CommitKind
from crypto.group_log import Welcome, join
from crypto.group_proposals import add, first_view, hand_outs, welcome
from crypto.group_rights import Right, Role
from crypto.group_rules import apply_commit
from crypto.group_snapshots import decode_view, encode_view
from crypto.group_state import Setting
from crypto.held_messages import HeldMessages
from crypto.secret_value import replace as replace_secret
from crypto.sender_chains import hand_out
from tests.group_people import GroupMember, Log, group_of


def agree(*members: GroupMember) -> bytes:
    """The hash that all of these see."""
    hashes = {member.known.state.hash for member in members}
    assert len(hashes) == 1
    return hashes.pop()


def test_a_welcome_whose_parts_do_not_fit_is_refused() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    given = welcome(ann.known, bob.account)
    assert Welcome.parse(given.encode()).encode() == given.encode()
    with pytest.raises(InvalidEncoding):
        Welcome.parse(given.encode()[:100])
    for part in ({"secret": bytes(32)}, {"epoch": 7}, {"cut_hash": bytes(32)}, {"group_id": bytes(32)}):
        other = Welcome(replace_secret(given.hand_out, **part), given.next_entry, given.state)
        with pytest.raises(InvalidEncoding):
            join(other, bob.account)
    with pytest.raises(NotEntitled):
        join(given, bytes(32))
    assert len(log.entries) == 1


def test_b6_who_may_not_hear_is_told_no_secret() -> None:
    log, (ann, bob, bot) = group_of("ann", "bob", "bot")
    ann.commit(log, [Give(bot.account, int(Right.SEND))])
    ann.spread([bob, bot])
    bot.catch_up(log)
    for tell in (hand_outs, welcome):
        assert tell(ann.known, bob.account)
        for outside in (bot.account, bytes(32)):
            with pytest.raises(NotEntitled):
                tell(ann.known, outside)
    with pytest.raises(ChainMissing):
        _ = bot.known.keys


def test_a_join_of_a_broadcast_group_rekeys_nobody_and_shows_nothing_earlier() -> None:
    broadcast = [Setting("broadcast", b"\x01", critical=True)]
    log, (ann, lis) = group_of("ann", "lis", roles={"lis": Role.LISTENER}, settings=broadcast)
    ann.hand_to([lis])
    chain, first = ann.fresh_chain(), ann.known.keys
    early = ann.send(b"early")
    news = [GroupMember(f"new {number}", ann.town) for number in range(3)]
    for number, new in enumerate(news):
        proposal = ann.commit(log, [add(new.account, 1, Role.LISTENER)])
        assert proposal.signed.commit.kind is CommitKind.STEP
        assert proposal.hand_out is None
        ann.invite(new)
        ann.hand_to([new])
        assert new.known.state.step == number + 1
    assert ann.fresh_chain().opening is chain.opening
    late = ann.send(b"late")
    lis.catch_up(log)
    news[0].catch_up(log)
    for member in (lis, news[0], news[2]):
        assert member.open(late) == b"late"
    assert lis.open(early) == b"early"
    with pytest.raises(ChainMissing):
        news[0].open(early)
    assert len({keys.secret for keys in lis.known.epochs}) == 4
    with pytest.raises(Exception, match="does not open"):
        group_log.open_entry(news[0].known.epochs[-1], 1, log.entries[1])
    ann.commit(log, [Remove(news[1].account)])
    ann.spread([lis, *news])
    for member in (lis, news[0], news[2]):
        member.catch_up(log)
    agree(ann, lis, news[0], news[2])
    assert (ann.known.state.epoch, ann.known.state.step) == (2, 0)
    news[1].catch_up(log)
    with pytest.raises(ChainMissing):
        _ = news[1].known.keys
    assert first.secret != ann.known.keys.secret


def test_secrets_of_steps_that_give_way_are_kept_in_their_epochs_up_to_a_number(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEPT_EPOCHS", 2)
    monkeypatch.setattr(limits, "MAX_KEPT_STEPS", 5)
    broadcast = [Setting("broadcast", b"\x01", critical=True)]
    log, (ann, lis) = group_of("ann", "lis", roles={"lis": Role.LISTENER}, settings=broadcast)
    secrets = [ann.known.keys.secret]
    for number in range(9):
        if number == 5:
            ann.commit(log, [], cut=True)
            ann.spread([lis])
        else:
            ann.commit(log, [add(bytes((number,)) * 32, 1, Role.LISTENER)])
        secrets.append(ann.known.keys.secret)
    lis.catch_up(log)
    for member in (ann, lis):
        view = decode_view(encode_view(member.known))
        assert encode_view(view) == encode_view(member.known)
        assert [(one.epoch, one.first_step, one.count) for one in view.earlier] == [(2, 0, 2), (1, 3, 3)]
        earlier = [given.keys() for steps in view.earlier for given in steps.hand_outs()]
        kept = [*view.epochs, *earlier]
        assert [keys.secret for keys in kept] == secrets[::-1][:7]
        assert [(keys.epoch, keys.step) for keys in kept[-4:]] == [(2, 0), (1, 5), (1, 4), (1, 3)]
        assert [(one.epoch, one.secret) for one in view.cuts] == [(2, secrets[6])]
    # The cut's secret, long out of the newest ones, is still handed out to who lacks it.
    (given,) = hand_outs(ann.known, lis.account, since_epoch=2)
    assert (given.epoch, given.step, given.secret) == (2, 0, secrets[6])


def test_a_group_that_is_no_broadcast_keeps_the_newest_secrets_alone(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEPT_EPOCHS", 2)
    log, (ann, _) = group_of("ann", "bob")
    for _ in range(4):
        ann.commit(log, [], cut=True)
    assert [keys.epoch for keys in ann.known.epochs] == [5, 4]
    assert ann.known.earlier == ()


def test_the_creator_has_the_first_view_at_once() -> None:
    ann = group_of("ann")[1][0]
    again = Log()
    proposal = ann.begin(again, [])
    view = first_view(proposal)
    assert (view.state.index, view.state.epoch, view.next_entry) == (0, 1, 1)
    assert view.keys.secret == proposal.keys.secret
    assert view.write_seed
    opened = group_log.open_entry(proposal.keys, 0, again.entries[0])
    assert apply_commit(None, opened, ann.town.manifests).hash == view.state.hash


def test_held_messages_are_bounded_and_given_back_in_order() -> None:
    held = HeldMessages()
    for number in range(limits.MAX_HELD_MESSAGES + 3):
        held = held.add(b"%d" % number, number)
    assert (len(held.messages), held.dropped) == (limits.MAX_HELD_MESSAGES, 3)
    assert held.add(b"500", 9) is held
    left, taken = held.take(lambda envelope: int(envelope) < 6)
    assert taken == (b"3", b"4", b"5")
    assert left.take(lambda envelope: False) == (left, ())
    assert left.forget_expired(10) is left
    later = left.forget_expired(limits.HELD_MESSAGE_LIFETIME_MS + 10)
    assert (later.messages[0].envelope, later.dropped) == (b"11", 3 + 5)


def test_a_message_before_its_chain_is_held_and_shown_once_it_can_be() -> None:
    _, (ann, bob) = group_of("ann", "bob")
    given = hand_out(ann.fresh_chain()).encode()
    for number in range(3):
        envelope = ann.send(b"%d" % number)
        with pytest.raises(ChainMissing):
            bob.open(envelope)
        bob.held = bob.held.add(envelope, bob.now_ms)
    bob.accept(ann, given)
    bob.held, ready = bob.held.take(bool)
    assert [bob.open(envelope) for envelope in ready] == [b"0", b"1", b"2"]
    assert bob.held == HeldMessages()


def test_held_messages_are_bounded_in_bytes() -> None:
    held = HeldMessages()
    large = limits.MAX_ENVELOPE_BYTES
    for number in range(limits.MAX_HELD_BYTES // large + 2):
        held = held.add(number.to_bytes(4, "big") + bytes(large - 4), 0)
    assert (len(held.messages), held.dropped) == (256, 2)
    assert held.messages[0].envelope[:4] == b"\0\0\0\2"
