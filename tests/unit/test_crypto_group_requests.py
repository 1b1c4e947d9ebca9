"""What a member of a group asks for itself: who may grant it, when, and whose signature has to be good."""

from dataclasses import replace

import pytest

from crypto.errors import CommitRefused
from crypto.group_changes import Answer, Give, Remove, Request, RequestKind, sign_request
from crypto.group_proposals import add
from crypto.group_rights import Right, Role
from crypto.group_rules import apply_commit
from tests.group_people import GroupMember, Log, group_of

ROLES = {"moderator": Role.MODERATOR, "member": Role.MEMBER}


def everybody(target: Role = Role.MEMBER) -> tuple[Log, dict[str, GroupMember]]:
    log, members = group_of("owner", *ROLES, "target", roles={**ROLES, "target": target})
    return log, {member.name: member for member in members}


def request(
    member: GroupMember, kind: RequestKind, value: int = 0, at_ms: int = 5, **changed: object
) -> Answer:
    state = member.known.state
    since = state.member(member.account).since
    asked = Request(state.group_id, member.account, member.device.device_id, since, kind, value, at_ms)
    return Answer(sign_request(replace(asked, **changed), member.device))  # type: ignore[arg-type]


def test_a_member_leaves_by_asking_and_whoever_may_commit_grants_it() -> None:
    log, people = everybody(Role.ADMIN)
    moderator, target = people["moderator"], people["target"]
    with pytest.raises(CommitRefused):
        moderator.prepare([Remove(target.account)])
    leaves = [request(target, RequestKind.LEAVE), request(people["member"], RequestKind.LEAVE)]
    moderator.commit(log, leaves)
    assert moderator.known.state.epoch == 2
    assert target.account not in moderator.known.state.by_account
    assert len(moderator.known.state.members) == 2


def test_what_a_member_wants_is_asked_once() -> None:
    log, people = everybody()
    owner, target = people["owner"], people["target"]
    owner.commit(log, [request(target, RequestKind.WANT, int(Right.HEAR), 7)])
    assert owner.known.state.member(target.account).rights == Right.HEAR
    owner.commit(log, [request(target, RequestKind.WANT, int(Right.HEAR | Right.SEND), 8)])
    for at_ms in (7, 8):
        with pytest.raises(CommitRefused, match="not newer"):
            owner.prepare([request(target, RequestKind.WANT, int(Right.HEAR), at_ms)])


def test_a_request_of_another_membership_or_group_is_refused() -> None:
    log, people = everybody()
    owner, target = people["owner"], people["target"]
    old = request(target, RequestKind.LEAVE)
    for changed in ({"group_id": bytes(32)}, {"since": 9}):
        with pytest.raises(CommitRefused):
            owner.prepare([request(target, RequestKind.LEAVE, **changed)])
    owner.commit(log, [Remove(target.account)])
    owner.commit(log, [add(target.account, 1)])
    with pytest.raises(CommitRefused, match="earlier membership"):
        owner.prepare([old])


@pytest.mark.parametrize("kind", RequestKind)
def test_who_cannot_remove_a_member_needs_its_signature(kind: RequestKind) -> None:
    log, people = everybody(Role.ADMIN)
    moderator, target = people["moderator"], people["target"]
    good = request(target, kind)
    unsigned = Answer(replace(good.signed, signature=bytes(64)))
    for bad in (unsigned, request(target, kind, device=bytes(16))):
        with pytest.raises(CommitRefused):
            moderator.prepare([bad])
    moderator.commit(log, [good])


def test_the_signature_of_a_member_is_judged_by_nobody_where_its_list_may_be_unknown() -> None:
    """Else who never talked to somebody who leaves could not read on: whoever may remove it answers for the request."""
    log, people = everybody()
    owner, moderator, target = people["owner"], people["moderator"], people["target"]
    asked = request(target, RequestKind.WANT, int(Right.HEAR), 5), request(target, RequestKind.LEAVE, at_ms=6)
    for one in asked:
        without = {
            account: known for account, known in owner.town.manifests.items() if account != target.account
        }
        made = moderator.prepare([one])
        assert apply_commit(owner.known.state, made.signed, without).hash == made.state.hash
    owner.commit(log, [Give(moderator.account, int(Right.HEAR | Right.SEND | Right.ADD))])
    owner.spread([moderator])
    moderator.catch_up(log)
    for one in asked:
        with pytest.raises(CommitRefused, match="not outranked"):
            moderator.prepare([one])
