"""Which commits that cannot be applied are believed by whom they take out, and which requests speak for whom."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from crypto.group_changes import Ban, Change, ChangeSetting, Give, NewManifest, Remove, RequestKind
from crypto.group_commits import FORMAT, Commit, CommitHead, CommitKind, sign_commit
from crypto.group_exclusion import exclusion, may_take_out
from crypto.group_log import learn_secret, seal_entry
from crypto.group_requests import may_answer
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_state import Setting
from crypto.keys import LocalDevice
from tests.group_people import GroupMember, group_of
from tests.unit.test_crypto_group_requests import request

INDEX = 7
ROLES = {
    "second": Role.OWNER,
    "admin": Role.ADMIN,
    "moderator": Role.MODERATOR,
    "member": Role.MEMBER,
    "other": Role.MEMBER,
}


@pytest.fixture
def people() -> dict[str, GroupMember]:
    _, members = group_of("owner", *ROLES, roles=ROLES)
    return {member.name: member for member in members}


def told(
    by: GroupMember, *changes: Change, signed_by: LocalDevice | None = None, to: GroupMember, **head: Any
) -> bool:
    """Whether `to` believes that this commit, on a state that it does not know, takes it out."""
    made = CommitHead(
        FORMAT,
        CommitKind.CUT,
        by.known.state.group_id,
        b"\x01" * 32,
        by.account,
        by.device.device_id,
        by.known.state.member(by.account).manifest_version,
        by.now_ms,
    )
    signed = sign_commit(Commit(replace(made, **head), b"\x02" * 32, changes), signed_by or by.device)
    entry = seal_entry(by.known.keys, INDEX, signed, by.random)
    assert exclusion(to.known, INDEX + 1, entry, to.town.manifests, to.account) is None
    return exclusion(to.known, INDEX, entry, to.town.manifests, to.account) is not None


def test_who_may_remove_or_ban_and_outranks_is_believed(people: dict[str, GroupMember]) -> None:
    for target, believed in {
        "member": {"owner", "second", "admin", "moderator"},
        "moderator": {"owner", "second", "admin"},
        "admin": {"owner", "second"},
        "owner": {"second"},
    }.items():
        to = people[target]
        for name in people.keys() - {target}:
            by = people[name]
            for change in (Remove(to.account), Ban(to.account)):
                assert told(by, change, to=to) == (name in believed), (name, target)
            assert may_take_out(to.known.state, by.account, to.account) == (name in believed)


def test_a_right_that_was_taken_does_not_take_anybody_out() -> None:
    log, (owner, admin, member) = group_of("owner", "admin", "member", roles={"admin": Role.ADMIN})
    owner.commit(log, [Give(admin.account, int(ROLE_RIGHTS[Role.ADMIN] & ~Right.REMOVE))])
    owner.spread([admin, member])
    for one in (admin, member):
        one.catch_up(log)
    assert not told(admin, Remove(member.account), to=member)
    assert told(admin, Ban(member.account), to=member)
    assert may_take_out(member.known.state, admin.account, member.account)
    owner.commit(log, [Give(admin.account, int(Right.HEAR | Right.ADD))])
    owner.spread([admin, member])
    for one in (admin, member):
        one.catch_up(log)
    assert not told(admin, Ban(member.account), to=member)
    assert not may_take_out(member.known.state, admin.account, member.account)


def test_b5_nobody_takes_a_member_out_in_the_name_of_another(people: dict[str, GroupMember]) -> None:
    owner, member, other = people["owner"], people["member"], people["other"]
    out = Remove(member.account)
    assert told(owner, out, to=member)
    assert not told(owner, out, to=member, signed_by=other.device)
    assert not told(owner, out, to=member, group_id=bytes(32))
    assert not told(owner, out, to=member, account=bytes(32))
    assert not told(owner, out, to=member, manifest_version=2)
    assert not told(owner, Remove(other.account), ChangeSetting(Setting("name", b"x")), to=member)


def test_b5_a_device_that_left_takes_nobody_out() -> None:
    log, (owner, member) = group_of("owner", "member")
    old = owner.sibling()
    owner.publish([owner.device])
    out = Remove(member.account)
    assert not told(owner, out, to=member, signed_by=old.device, device=old.device.device_id)
    owner.commit(log, [NewManifest(owner.account, 2, device_left=True)])
    owner.spread([member])
    member.catch_up(log)
    assert told(owner, out, to=member)
    assert not told(owner, out, to=member, manifest_version=1)
    assert not told(owner, out, to=member, signed_by=old.device, device=old.device.device_id)


def test_an_own_leave_that_the_rules_would_take_is_believed(people: dict[str, GroupMember]) -> None:
    owner, admin, moderator = people["owner"], people["admin"], people["moderator"]
    leave = request(admin, RequestKind.LEAVE)
    assert told(owner, leave, to=admin)
    assert not told(moderator, leave, to=admin)
    assert not told(owner, request(moderator, RequestKind.LEAVE), to=admin)
    assert not told(owner, request(admin, RequestKind.WANT, 1), to=admin)


def test_an_entry_under_the_secret_of_a_cut_that_was_not_read_is_believed() -> None:
    """The commits between are shut away; the secret of the last cut came by itself."""
    log, (owner, member) = group_of("owner", "member")
    cut = owner.commit(log, [], cut=True)
    assert cut.hand_out is not None
    assert not told(owner, Remove(member.account), to=member)
    member.view = learn_secret(member.known, cut.hand_out)
    assert member.known.state.epoch == 1
    assert told(owner, Remove(member.account), to=member)


def test_a_request_is_answered_by_who_could_do_what_it_asks(
    people: dict[str, GroupMember],
) -> None:
    state = people["owner"].known.state
    member = {name: state.member(one.account) for name, one in people.items()}
    for by, of, expected in (
        ("owner", "admin", True),
        ("owner", "second", True),
        ("moderator", "member", True),
        ("member", "other", False),
        ("member", "admin", False),
    ):
        assert may_answer(member[by], member[of], RequestKind.LEAVE) is expected, (by, of)
    adds_only = structs.replace(member["moderator"], given=int(Right.HEAR | Right.ADD))
    assert not may_answer(adds_only, member["member"], RequestKind.LEAVE)
    removes_only = structs.replace(member["moderator"], given=int(Right.HEAR | Right.REMOVE))
    assert may_answer(removes_only, member["member"], RequestKind.LEAVE)
    assert not may_answer(removes_only, member["member"], RequestKind.WANT)
