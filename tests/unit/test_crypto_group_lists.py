"""By which device lists a group knows who may commit: by such as there are, or a liar could lock everybody out."""

from collections.abc import Callable

import pytest

from crypto import group_log
from crypto.errors import ManifestGap
from crypto.group_changes import Change, ChangeSetting, NewManifest, Remove, SetRole
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import Setting
from tests.group_people import GroupMember, group_of

TITLE = ChangeSetting(Setting("name", b"Climbers"))


@pytest.mark.parametrize(
    "lie",
    [
        lambda ann, bob: [NewManifest(ann.account, 2**40, device_left=False)],
        lambda ann, bob: [NewManifest(bob.account, 2**40, device_left=True)],
    ],
    ids=["about the owner", "about an admin"],
)
def test_a13_a_version_that_there_is_not_locks_nobody_out(
    lie: Callable[[GroupMember, GroupMember], list[Change]], monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = {"bob": Role.ADMIN, "mod": Role.MODERATOR}
    log, (ann, bob, mod) = group_of("ann", "bob", "mod", roles=roles)
    with pytest.raises(ManifestGap):
        mod.prepare(lie(ann, bob))
    with monkeypatch.context() as patched:  # a client that does not keep to it
        patched.setattr("crypto.group_rules._require_list", lambda *_: None)
        entry = group_log.seal_entry(mod.known.keys, 1, mod.prepare(lie(ann, bob)).signed, mod.random)
    assert log.append(1, entry)
    for one in (ann, bob):
        with pytest.raises(ManifestGap):  # it is fetched first, and is not there
            group_log.follow(one.known, 1, entry, one.town.manifests)
        skipped = group_log.follow(one.known, 1, entry, one.town.manifests, manifests_are_newest=True)
        assert (skipped.commit, skipped.view.next_entry) == (None, 2)
        one.view = skipped.view
    ann.commit(log, [Remove(mod.account)])
    ann.spread([bob])
    bob.catch_up(log)
    assert mod.account not in bob.known.state.by_account
    bob.commit(log, [TITLE])


def test_who_may_commit_from_now_on_is_known_by_a_version_that_there_is() -> None:
    log, (ann, bob) = group_of("ann", "bob", roles={"bob": Role.MEMBER})
    cem = GroupMember("cem", ann.town)
    with pytest.raises(ManifestGap):
        ann.prepare([add(cem.account, 2, Role.MODERATOR)])
    ann.commit(
        log, [add(cem.account, 2), NewManifest(bob.account, 9, device_left=False)]
    )  # who only listens and sends
    for account in (bob.account, cem.account):
        with pytest.raises(ManifestGap):
            ann.prepare([SetRole(account, Role.MODERATOR)])
