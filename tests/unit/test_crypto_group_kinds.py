"""Of which kind a commit has to be, by which list its committer goes, when an epoch began, how much a group can hold."""

from dataclasses import replace

import pytest

from crypto import limits
from crypto.errors import CommitRefused, ManifestGap
from crypto.group_changes import Ban, Change, ChangeSetting, Give, NewManifest, Remove, SetRole
from crypto.group_commits import CommitKind, sign_commit
from crypto.group_proposals import add
from crypto.group_rights import ROLE_RIGHTS, Right, Role
from crypto.group_rules import apply_commit
from crypto.group_state import Setting
from tests.group_people import group_of

TITLE = ChangeSetting(Setting("name", b"Climbers"))
BROADCAST = [Setting("broadcast", b"\x01")]


def test_in_a_broadcast_whoever_begins_to_hear_makes_a_step_and_nobody_else() -> None:
    """Without the step the newcomer's secret would open what was sent before."""
    roles = {"bob": Role.LISTENER, "mod": Role.MODERATOR}
    log, (ann, bob, mod) = group_of("ann", "bob", "mod", roles=roles, settings=BROADCAST)
    cases: list[tuple[Change, CommitKind]] = [
        (Give(bob.account, 0), CommitKind.CUT),
        (SetRole(mod.account, Role.ADMIN), CommitKind.PLAIN),
        (Give(bob.account, int(Right.HEAR)), CommitKind.STEP),
        (replace(add(bytes(range(32)), 1, Role.LISTENER), given=0), CommitKind.PLAIN),
        (TITLE, CommitKind.PLAIN),
    ]
    for change, kind in cases:
        before = ann.known.state
        assert ann.prepare([change]).signed.commit.kind is kind, change
        after = ann.commit(log, [change]).state
        assert (after.epoch, after.step) == {
            CommitKind.CUT: (before.epoch + 1, 0),
            CommitKind.STEP: (before.epoch, before.step + 1),
            CommitKind.PLAIN: (before.epoch, before.step),
        }[kind]


def test_a_commit_goes_by_the_list_that_the_group_knows_of_its_committer() -> None:
    """A new device of its committer speaks for it only once a commit named the list that has it."""
    _, (ann, _) = group_of("ann", "bob")
    new = ann.sibling()
    assert ann.person.manifest.version == 1
    ann.publish([ann.device, new.device])
    commit = ann.prepare([TITLE]).signed.commit
    newer = replace(commit, head=replace(commit.head, manifest_version=2))
    with pytest.raises(CommitRefused, match="not the one of the group"):
        apply_commit(ann.known.state, sign_commit(newer, ann.device), ann.town.manifests)
    named = replace(newer, changes=(NewManifest(ann.account, 2, device_left=False), TITLE))
    after = apply_commit(ann.known.state, sign_commit(named, ann.device), ann.town.manifests)
    assert after.member(ann.account).manifest_version == 2


def test_b5_a_device_that_a_newer_list_left_out_commits_nothing() -> None:
    log, (ann, _) = group_of("ann", "bob")
    old = ann.sibling()
    ann.publish([ann.device])
    ann.commit(log, [NewManifest(ann.account, 2, device_left=True)])
    commit = ann.prepare([TITLE]).signed.commit
    cases = ((1, "an older manifest than the group"), (2, "does not list this device"))
    for version, reason in cases:
        head = replace(commit.head, device=old.device.device_id, manifest_version=version)
        with pytest.raises(CommitRefused, match=reason):
            apply_commit(
                ann.known.state, sign_commit(replace(commit, head=head), old.device), ann.town.manifests
            )


def test_a_commit_is_for_the_group_that_it_names() -> None:
    _, (ann,) = group_of("ann")
    commit = ann.prepare([TITLE]).signed.commit
    other = replace(commit, head=replace(commit.head, group_id=bytes(32)))
    with pytest.raises(CommitRefused, match="another group"):
        apply_commit(ann.known.state, sign_commit(other, ann.device), ann.town.manifests)


def test_what_one_change_needs_is_not_undone_by_a_new_list_in_the_same_commit() -> None:
    roles = {"bob": Role.LISTENER, "cem": Role.LISTENER}
    log, (ann, bob, cem) = group_of("ann", "bob", "cem", roles=roles, settings=BROADCAST)
    listed = NewManifest(cem.account, 2, device_left=False)
    assert ann.prepare([Remove(bob.account), listed]).signed.commit.kind is CommitKind.CUT
    assert ann.prepare([listed]).signed.commit.kind is CommitKind.STEP
    ann.commit(log, [Give(cem.account, 0)])
    assert ann.prepare([listed]).signed.commit.kind is CommitKind.PLAIN
    stranger = add(bytes(range(32)), 1, Role.LISTENER)
    assert ann.prepare([stranger, listed]).signed.commit.kind is CommitKind.STEP


def test_a_right_to_commit_that_is_given_needs_a_list_that_there_is() -> None:
    log, (ann, bob) = group_of("ann", "bob", roles={"bob": Role.MODERATOR})
    ann.commit(log, [Give(bob.account, 0), NewManifest(bob.account, 9, device_left=False)])
    with pytest.raises(ManifestGap):
        ann.prepare([Give(bob.account, int(ROLE_RIGHTS[Role.MODERATOR]))])
    with pytest.raises(ManifestGap):
        ann.prepare([add(bytes(range(32)), 1, Role.MODERATOR)])


def test_a_cut_begins_an_epoch_now_and_no_other_commit_does() -> None:
    """By this time members see that 7 days are over; it is the committer's, and judges nobody."""
    log, (ann, bob) = group_of("ann", "bob")
    began = ann.known.state.epoch_at_ms
    ann.now_ms += 1_000
    assert ann.commit(log, [TITLE]).state.epoch_at_ms == began
    assert ann.commit(log, [], cut=True).state.epoch_at_ms == began + 1_000
    ann.now_ms += 1_000
    assert ann.commit(log, [Give(bob.account, int(Right.HEAR))]).state.epoch_at_ms == began + 2_000


def test_who_may_add_and_not_promote_adds_plain_members_alone() -> None:
    log, (ann, bob) = group_of("ann", "bob", roles={"bob": Role.ADMIN})
    ann.commit(log, [Give(bob.account, int(ROLE_RIGHTS[Role.ADMIN] & ~Right.PROMOTE))])
    ann.spread([bob])
    bob.catch_up(log)
    stranger = bytes(range(32))
    assert bob.prepare([add(stranger, 1)]).state.member(stranger).role is Role.MEMBER
    with pytest.raises(CommitRefused, match="with this role"):
        bob.prepare([add(stranger, 1, Role.MODERATOR)])


@pytest.mark.parametrize(
    ("limit", "change"),
    [
        ("MAX_GROUP_MEMBERS", add(bytes(32), 1)),
        ("MAX_BANNED", Ban(bytes(32))),
        ("MAX_GROUP_SETTINGS", TITLE),
    ],
)
def test_a_group_holds_so_much_and_no_more(
    limit: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = {"MAX_GROUP_MEMBERS": 3, "MAX_BANNED": 1, "MAX_GROUP_SETTINGS": 1}
    log, (ann, _) = group_of("ann", "bob")
    monkeypatch.setattr(limits, limit, bound[limit])
    ann.commit(log, [change])
    more: dict[str, Change] = {
        "MAX_GROUP_MEMBERS": add(bytes(range(32)), 1),
        "MAX_BANNED": Ban(bytes(range(32))),
        "MAX_GROUP_SETTINGS": ChangeSetting(Setting("about", b"us")),
    }
    with pytest.raises(CommitRefused, match="than a group can have"):
        ann.prepare([more[limit]])
