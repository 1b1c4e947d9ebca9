"""Who may do what in a group: each change against each role, and one encoding of everything."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from crypto import labels, limits
from crypto.errors import CommitRefused, CryptoError, GroupTooNew, InvalidEncoding, NotEntitled
from crypto.group_changes import (
    Add,
    Ban,
    Change,
    ChangeSetting,
    Give,
    NewManifest,
    Remove,
    RequestKind,
    SetRole,
    Unban,
    encode_change,
    parse_change,
)
from crypto.group_commits import Commit, CommitKind, SignedCommit, sign_commit
from crypto.group_epoch import EpochHandOut
from crypto.group_proposals import add, begin_group
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_rules import WHO_MAY, apply_commit
from crypto.group_state import Member, Setting, parse_state
from crypto.transcript import parse_transcript, transcript
from tests.group_people import GroupMember, Log, group_of
from tests.unit.test_crypto_group_requests import request

NAMES = ("owner", "admin", "moderator", "member", "listener", "target")
ROLES = {name: Role[name.upper()] for name in NAMES[1:-1]}
TITLE = Setting("name", b"Climbers")


def everybody(target: Role = Role.MEMBER) -> tuple[Log, dict[str, GroupMember]]:
    log, members = group_of(*NAMES, roles={**ROLES, "target": target})
    return log, {member.name: member for member in members}


CHANGES: dict[str, Callable[[GroupMember, GroupMember], Change]] = {
    "add a member": lambda new, target: add(new.account, 1),
    "add an admin": lambda new, target: add(new.account, 1, Role.ADMIN),
    "remove": lambda new, target: Remove(target.account),
    "ban": lambda new, target: Ban(target.account),
    "ban a stranger": lambda new, target: Ban(new.account),
    "mute": lambda new, target: Give(target.account, int(Right.HEAR)),
    "promote to moderator": lambda new, target: SetRole(target.account, Role.MODERATOR),
    "promote to admin": lambda new, target: SetRole(target.account, Role.ADMIN),
    "promote to owner": lambda new, target: SetRole(target.account, Role.OWNER),
    "change a setting": lambda new, target: ChangeSetting(TITLE),
    "new manifest": lambda new, target: NewManifest(target.account, 2, device_left=False),
}
ALLOWED = {
    "add a member": {"owner", "admin", "moderator"},
    "add an admin": {"owner"},
    "remove": {"owner", "admin", "moderator"},
    "ban": {"owner", "admin", "moderator"},
    "ban a stranger": {"owner", "admin", "moderator"},
    "mute": {"owner", "admin", "moderator"},
    "promote to moderator": {"owner", "admin"},
    "promote to admin": {"owner"},
    "promote to owner": {"owner"},
    "change a setting": {"owner", "admin"},
    "new manifest": {"owner", "admin", "moderator"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_who_may_do_what(name: str) -> None:
    log, people = everybody()
    new = GroupMember("new", people["owner"].town)
    change = CHANGES[name](new, people["target"])
    did = set()
    for who in NAMES[:-1]:
        try:
            people[who].prepare([change])
        except (CommitRefused, NotEntitled):
            continue
        did.add(who)
    assert did == ALLOWED[name]
    assert len(log.entries) == 1


def test_the_table_knows_every_kind_of_change() -> None:
    assert set(WHO_MAY) == set(Change.__args__)
    assert set(ROLE_RIGHTS) == set(Role)
    assert all(low & ~high == 0 for low, high in pairwise(ROLE_RIGHTS.values()))


@pytest.mark.parametrize("role", [Role.MODERATOR, Role.ADMIN, Role.OWNER])
def test_nobody_touches_whom_it_does_not_outrank(role: Role) -> None:
    _, people = everybody(role)
    target = people["target"].account
    for who in ("admin", "moderator"):
        may = people[who].known.state.member(people[who].account).role > role
        for change in (Remove(target), Ban(target), Give(target, int(Right.HEAR))):
            if may:
                people[who].prepare([change])
            else:
                with pytest.raises(CommitRefused):
                    people[who].prepare([change])
    people["owner"].prepare([Remove(target)])


def test_a_group_keeps_an_owner_and_nobody_takes_itself_out() -> None:
    _, people = everybody()
    owner, admin = people["owner"], people["admin"]
    for change in (Remove(owner.account), Ban(owner.account), SetRole(owner.account, Role.ADMIN)):
        with pytest.raises(CommitRefused):
            owner.prepare([change])
    owner.prepare([SetRole(admin.account, Role.OWNER), SetRole(owner.account, Role.ADMIN)])
    for change in (SetRole(owner.account, Role.MEMBER), Give(owner.account, int(Right.HEAR))):
        with pytest.raises(CommitRefused, match="write key"):
            owner.prepare([SetRole(admin.account, Role.OWNER), change])
    for leaves in ([Remove(admin.account)], [Remove(admin.account), add(admin.account, 1)]):
        with pytest.raises(CommitRefused, match="outrank"):
            admin.prepare(leaves)
        again = [Remove(owner.account), *leaves[1:]]
        with pytest.raises(CommitRefused, match="nobody takes itself out"):
            owner.prepare([SetRole(admin.account, Role.OWNER), *again])
    with pytest.raises(CommitRefused):
        admin.prepare([SetRole(admin.account, Role.OWNER)])


@pytest.mark.parametrize(
    "change",
    [
        Add(bytes(32), 1, Role.MEMBER, 3, int(Right.PROMOTE)),
        Add(bytes(32), 0, Role.MEMBER, 3, 3),
        Remove(bytes(32)),
        SetRole(bytes(32), Role.MEMBER),
        Give(bytes(32), 0),
        Unban(bytes(32)),
        ChangeSetting(Setting("gone", b"")),
        NewManifest(bytes(32), 2, device_left=False),
    ],
    ids=str,
)
def test_a_change_that_makes_no_sense_is_refused(change: Change) -> None:
    _, people = everybody()
    with pytest.raises(CommitRefused):
        people["owner"].prepare([change])


def test_a_right_beyond_the_role_is_not_given_and_an_unwanted_one_does_nothing() -> None:
    _, people = everybody()
    member = people["member"].account
    with pytest.raises(CommitRefused):
        people["owner"].prepare([Give(member, int(Right.BAN))])
    wants_little = Member(member, 1, Role.ADMIN, int(Right.HEAR), int(ROLE_RIGHTS[Role.ADMIN]), 1)
    assert wants_little.rights == Right.HEAR


def test_a_right_that_is_taken_needs_a_cut_and_one_that_is_given_does_not() -> None:
    log, people = everybody()
    owner, member = people["owner"], people["member"]
    assert owner.commit(log, [Give(member.account, int(Right.HEAR))]).state.epoch == 2
    assert owner.commit(log, [Give(member.account, int(Right.HEAR | Right.SEND))]).state.epoch == 2
    assert owner.commit(log, [SetRole(member.account, Role.LISTENER)]).state.epoch == 3
    commit = owner.prepare([Remove(member.account)]).signed.commit
    for kind in (CommitKind.PLAIN, CommitKind.STEP):
        head = replace(commit.head, kind=kind)
        lazy = sign_commit(Commit(head, b"", commit.changes), owner.device)
        with pytest.raises(CommitRefused, match="CUT is needed"):
            apply_commit(owner.known.state, lazy, owner.town.manifests)


def test_what_the_same_commit_takes_back_still_needs_its_cut() -> None:
    """Who was out for a moment, or could not speak, may have handed nothing on; the rules judge change by change."""
    _, people = everybody()
    owner, member = people["owner"], people["member"].account
    for changes in (
        [Remove(member), add(member, 1)],
        [Give(member, int(Right.HEAR)), Give(member, int(Right.HEAR | Right.SEND))],
        [SetRole(member, Role.LISTENER), SetRole(member, Role.MEMBER)],
    ):
        assert owner.prepare(changes).signed.commit.kind is CommitKind.CUT


def test_nobody_raises_itself_and_an_owner_may_step_down() -> None:
    log, people = everybody()
    owner, admin, target = people["owner"], people["admin"], people["target"]
    owner.commit(log, [SetRole(target.account, Role.OWNER)])
    with pytest.raises(CommitRefused, match="may not give this role"):
        owner.prepare([SetRole(owner.account, Role.ADMIN), SetRole(owner.account, Role.OWNER)])
    with pytest.raises(CommitRefused):
        admin.prepare([SetRole(admin.account, Role.OWNER)])
    owner.commit(log, [SetRole(owner.account, Role.ADMIN)])
    assert owner.known.state.member(owner.account).role is Role.ADMIN


def test_a_group_begins_with_its_owner() -> None:
    """Whoever creates it is its owner, and says so first: no group begins under somebody else's name."""
    _, (ann, bob) = group_of("ann", "bob")
    head = replace(_begun(ann), changes=())
    first, other = add(ann.account, 1, Role.OWNER), add(bob.account, 1, Role.OWNER)
    apply_commit(None, sign_commit(replace(head, changes=(first, other)), ann.device), ann.town.manifests)
    for changes in ((other, first), (add(ann.account, 1, Role.ADMIN), other), (other,), ()):
        with pytest.raises(CommitRefused, match="begins by adding its committer"):
            apply_commit(None, sign_commit(replace(head, changes=changes), ann.device), ann.town.manifests)


def _begun(founder: GroupMember) -> Commit:
    own = founder.person.manifest
    made = begin_group(founder.device, own, [], [], founder.random, founder.now_ms, founder.town.manifests)
    return made.signed.commit


def test_a_step_stands_only_in_a_broadcast_and_a_join_there_is_one() -> None:
    new = add(bytes(range(32)), 1, Role.LISTENER)
    for settings, kind, wrong in (
        ([], CommitKind.PLAIN, CommitKind.STEP),
        ([Setting("broadcast", b"\x01")], CommitKind.STEP, CommitKind.PLAIN),
    ):
        _, (ann,) = group_of("ann", settings=settings)
        commit = ann.prepare([new]).signed.commit
        assert commit.kind is kind
        other = sign_commit(replace(commit, head=replace(commit.head, kind=wrong)), ann.device)
        with pytest.raises(CommitRefused, match="is needed"):
            apply_commit(ann.known.state, other, ann.town.manifests)


# Encodings


def test_every_change_comes_back_as_it_was() -> None:
    _, people = everybody()
    owner, target = people["owner"], people["target"]
    account = target.account
    changes = [
        add(account, 2**53 - 1, Role.OWNER),
        Remove(account),
        SetRole(account, Role.LISTENER),
        Give(account, 2**32 - 1),
        Ban(account),
        Unban(account),
        ChangeSetting(Setting("näme", b"x" * 4_096, critical=True)),
        NewManifest(account, 7, device_left=True),
        request(target, RequestKind.WANT, 3),
    ]
    assert {type(change) for change in changes} == set(Change.__args__)
    for change in changes:
        encoded = encode_change(change)
        assert parse_change(encoded) == change
        for wrong in (encoded[:-1], encoded + b"\0"):
            with pytest.raises(InvalidEncoding):
                parse_change(wrong)
    with pytest.raises(InvalidEncoding):
        parse_change(b"")
    with pytest.raises(GroupTooNew):
        parse_change(b"\x0a")
    with pytest.raises(GroupTooNew):
        parse_change(b"\x03" + account + b"\x09")
    assert owner.known.state.index == 0


@pytest.mark.parametrize("name", ["", "x" * 65, "ä" * 33])
def test_a_setting_s_name_is_bounded(name: str) -> None:
    with pytest.raises(InvalidEncoding):
        Setting(name, b"x").encode()


def test_a_setting_that_is_no_utf8_or_flag_or_too_long_is_refused() -> None:
    for wrong in (b"\x01\x00\x00\x01\xffx", b"\x01\x02\x00\x01ax", b"\x01\x00\x00\x05ax", b"\x01"):
        with pytest.raises(InvalidEncoding):
            Setting.parse_from(wrong, 0)
    with pytest.raises(InvalidEncoding):
        Setting("a", bytes(limits.MAX_SETTING_VALUE_BYTES + 1)).encode()


def test_a_state_comes_back_as_it_was_and_nothing_else_does() -> None:
    log, people = everybody()
    owner = people["owner"]
    owner.commit(log, [Ban(people["target"].account), ChangeSetting(TITLE), Ban(bytes(32))])
    state = owner.known.state
    encoded = state.encode()
    parsed = parse_state(encoded)
    assert (parsed.encode(), parsed.hash, parsed.members) == (encoded, state.hash, state.members)
    fields = list(parse_transcript(labels.GROUP_STATE, encoded))
    unsorted = fields[8][65:] + fields[8][:65]
    wrong = {
        0: [fields[0][:-1], b""],
        1: [bytes(8), (2**53).to_bytes(8, "big")],
        3: [bytes(8), (9).to_bytes(8, "big"), (2**53).to_bytes(8, "big")],
        2: [b"", bytes(31)],
        6: [b""],
        7: [bytes(31)],
        8: [fields[8][:-1], unsorted, fields[8][:65] * 2, fields[8][:40] + b"\x09" + fields[8][41:]],
        9: [fields[9][32:] + fields[9][:32], bytes(31)],
        10: [fields[10] * 2, fields[10][:-1]],
    }
    for index, values in wrong.items():
        for value in values:
            changed = [*fields[:index], value, *fields[index + 1 :]]
            with pytest.raises(InvalidEncoding):
                parse_state(transcript(labels.GROUP_STATE, *changed))


def test_each_flipped_byte_of_a_commit_is_refused() -> None:
    _, people = everybody()
    owner = people["owner"]
    proposal = owner.prepare([Remove(people["target"].account), ChangeSetting(TITLE)])
    encoded = proposal.signed.encode()
    for at in range(len(encoded)):
        altered = SignedCommit.parse(encoded[:at] + bytes((encoded[at] ^ 1,)) + encoded[at + 1 :])
        with pytest.raises(CryptoError):
            apply_commit(owner.known.state, altered, owner.town.manifests)
    again = SignedCommit.parse(encoded)
    assert apply_commit(owner.known.state, again, owner.town.manifests).hash == proposal.state.hash
    with pytest.raises(InvalidEncoding):
        SignedCommit.parse(bytes(63))


def test_epoch_hand_outs_have_one_encoding() -> None:
    given = EpochHandOut(bytes(32), 3, 1, b"h" * 32, b"s" * 32, b"w" * 32)
    assert len(given.encode()) == 141
    assert EpochHandOut.parse(given.encode()).encode() == given.encode()
    without = EpochHandOut(bytes(32), 3, 1, b"h" * 32, b"s" * 32)
    assert EpochHandOut.parse(without.encode()).write_seed == b""
    late = EpochHandOut(bytes(32), 2**53, 0, b"h" * 32, b"s" * 32).encode()
    for wrong in (b"", given.encode()[:-1], b"\x02" + given.encode()[1:], late):
        with pytest.raises(InvalidEncoding):
            EpochHandOut.parse(wrong)
    with pytest.raises(InvalidEncoding):
        EpochHandOut(b"", 3, 1, b"h" * 32, b"s" * 32).keys()
    assert "(…)" in repr(given)
