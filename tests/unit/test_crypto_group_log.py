"""The group's log: invalid entries are skipped, races settle, secrets meet their cuts, who was away catches up."""

from dataclasses import replace

import pytest

from crypto import group_log, limits
from crypto.errors import (
    ChainMissing,
    CommitOutdated,
    CommitRefused,
    GroupTooNew,
    InvalidEncoding,
    ManifestGap,
)
from crypto.group_changes import Ban, ChangeSetting, Give, NewManifest, Remove
from crypto.group_commits import CommitKind, SignedCommit, sign_commit
from crypto.group_epoch import EpochHandOut
from crypto.group_needed import still_needed
from crypto.group_proposals import add
from crypto.group_rights import Right, Role
from crypto.group_rules import apply_commit
from crypto.group_state import Setting
from crypto.manifest import build_manifest, device_entry, sign_manifest
from crypto.manifest_chain import verify_chain
from crypto.padding import is_bucket
from crypto.secret_value import replace as replace_secret
from tests.group_people import GroupMember, group_of

TITLE = ChangeSetting(Setting("name", b"Climbers"))


def agree(*members: GroupMember) -> bytes:
    """The hash that all of these see."""
    hashes = {member.known.state.hash for member in members}
    assert len(hashes) == 1
    return hashes.pop()


def test_members_follow_the_log_to_one_state() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem", roles={"bob": Role.ADMIN})
    before = ann.known.state
    ann.commit(log, [TITLE])
    bob.commit(log, [Give(cem.account, int(Right.HEAR))])
    bob.spread([ann, cem])
    for member in (ann, cem):
        member.catch_up(log)
    assert agree(ann, bob, cem)
    state = cem.known.state
    assert (state.index, state.epoch, state.setting("name")) == (2, 2, b"Climbers")
    assert state.member(cem.account).rights == Right.HEAR
    assert before.index == 0
    assert all(is_bucket(len(entry)) for entry in log.entries)


def test_a_join_keeps_epoch_and_chains() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    ann.hand_to([bob])
    chain = ann.fresh_chain()
    dee = GroupMember("dee", ann.town)
    proposal = ann.commit(log, [add(dee.account, 1)])
    ann.invite(dee)
    bob.catch_up(log)
    assert proposal.hand_out is None
    assert proposal.signed.commit.kind is CommitKind.PLAIN
    assert ann.fresh_chain() is chain
    assert agree(ann, bob, dee)
    assert dee.known.write_seed == b""


def test_several_adds_and_removes_fit_into_one_commit() -> None:
    log, (ann, bob, cem, dee) = group_of("ann", "bob", "cem", "dee")
    news = [GroupMember(name, ann.town) for name in ("eve", "fay")]
    changes = [Remove(cem.account), Ban(dee.account), *(add(new.account, 1) for new in news), TITLE]
    ann.commit(log, changes)
    ann.spread([bob])
    bob.catch_up(log)
    for new in news:
        ann.invite(new)
    agree(ann, bob, *news)
    assert set(bob.known.state.by_account) == {each.account for each in (ann, bob, *news)}
    assert bob.known.state.is_banned(dee.account)
    assert not bob.known.state.is_banned(cem.account)


def test_b15_two_commits_at_once_and_the_loser_starts_again() -> None:
    log, (ann, bob, cem, dee) = group_of("ann", "bob", "cem", "dee", roles={"bob": Role.ADMIN})
    of_ann, of_bob = (
        ann.prepare([Remove(cem.account)]),
        bob.prepare([Remove(dee.account), Remove(cem.account)]),
    )
    lost = of_bob.hand_out
    assert lost is not None
    for other in (ann, cem, dee):
        other.learn(lost)  # handed to others before the append, which then fails: it opens nothing
    assert of_ann.hand_out is not None
    ann.learn(of_ann.hand_out)
    bob.learn(of_ann.hand_out)
    assert ann.append(log, of_ann)
    assert not bob.append(log, of_bob)
    ann.catch_up(log)
    bob.catch_up(log)
    with pytest.raises(CommitOutdated):
        apply_commit(bob.known.state, of_bob.signed, bob.town.manifests)
    wanted = still_needed(bob.known.state, [Remove(dee.account), Remove(cem.account)])
    assert wanted == (Remove(dee.account),)
    again = bob.commit(log, wanted)
    assert again.hand_out is not None
    assert again.hand_out.secret != lost.secret
    bob.spread([ann])
    ann.catch_up(log)
    agree(ann, bob)
    assert set(ann.known.state.by_account) == {ann.account, bob.account}
    assert ann.known.keys.secret == bob.known.keys.secret == again.hand_out.secret


def test_b15_a_committer_killed_between_append_and_secrets() -> None:
    """Its fellow committers have the secret from before the append: one of them cuts anew and tells both secrets."""
    log, (ann, bob, cem, dee) = group_of("ann", "bob", "cem", "dee", roles={"bob": Role.ADMIN})
    ann.catch_up(log)
    proposal = ann.prepare([Remove(dee.account)])
    assert proposal.hand_out is not None
    bob.learn(proposal.hand_out)
    assert ann.append(log, proposal)
    # Here ann is killed. The others read the log.
    bob.catch_up(log)
    cem.catch_up(log)
    dee.catch_up(log)
    for waiting in (cem, dee):
        with pytest.raises(ChainMissing):
            _ = waiting.known.keys
    assert bob.known.keys.epoch == 2
    bob.commit(log, [], cut=True)
    bob.spread([cem, dee])
    cem.catch_up(log)
    agree(bob, cem)
    assert cem.known.state.epoch == 3
    assert [keys.epoch for keys in cem.known.epochs] == [3, 2, 1]
    bob.hand_to([cem])
    assert cem.open(bob.send(b"we go on")) == b"we go on"
    assert dee.known.state.epoch == 2
    assert dee.account not in dee.known.state.by_account
    # It starts again: what it stored before the append is still good.
    ann.learn(proposal.hand_out)
    bob.spread([ann])
    ann.catch_up(log)
    agree(ann, bob)


def test_b15_a_committer_killed_before_the_append_has_done_nothing() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem", roles={"bob": Role.ADMIN})
    proposal = ann.prepare([Remove(cem.account)])
    assert proposal.hand_out is not None
    bob.learn(proposal.hand_out)
    bob.commit(log, [TITLE])
    bob.commit(log, [Remove(cem.account)])
    bob.spread([ann])
    ann.catch_up(log)
    agree(ann, bob)
    assert not bob.known.waiting


def test_who_was_away_for_fifty_epochs_catches_up() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    under_way = []
    secrets: list[EpochHandOut] = []
    for number in range(50):
        proposal = ann.commit(log, [TITLE] if number % 3 else [], cut=True)
        assert proposal.hand_out is not None
        secrets.append(proposal.hand_out)
        ann.commit(log, [ChangeSetting(Setting("about", b"%d" % number))])
        ann.hand_to([bob])
        under_way.append(ann.send(b"%d" % number))
    for given in reversed(secrets[1::2]):
        bob.learn(given)
    bob.catch_up(log)
    assert bob.known.state.epoch == 2
    for given in secrets[::2]:
        bob.learn(given)
    bob.catch_up(log)
    agree(ann, bob)
    assert (bob.known.state.epoch, len(bob.known.epochs), bob.known.missing) == (51, 51, ())
    newest = under_way[-limits.MAX_SENDER_CHAINS :]
    assert [bob.open(envelope) for envelope in newest] == [b"%d" % n for n in range(45, 50)]
    cem.learn(secrets[0])
    cem.catch_up(log)
    assert cem.known.state.epoch == 3
    with pytest.raises(ChainMissing):
        cem.open(under_way[49])


def test_b5_a_removed_member_reads_no_later_commit() -> None:
    log, (ann, _, cem) = group_of("ann", "bob", "cem")
    ann.commit(log, [Remove(cem.account)])
    ann.commit(log, [TITLE])
    cem.catch_up(log)
    assert cem.known.state.index == 1
    with pytest.raises(ChainMissing):
        _ = cem.known.keys
    old = cem.known.epochs[0]
    assert ann.known.keys.read_token != old.read_token
    with pytest.raises(Exception, match="does not open"):
        group_log.open_entry(old, 2, log.entries[2])
    assert ann.known.write_seed
    assert not cem.known.write_seed


def test_b5_the_write_key_goes_with_the_cut() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem", roles={"bob": Role.ADMIN, "cem": Role.ADMIN})
    old = ann.known.write_seed
    assert old
    assert bob.known.write_seed == cem.known.write_seed == old
    ann.commit(log, [Remove(cem.account)])
    bob.catch_up(log)
    cem.catch_up(log)
    assert bob.known.write_seed == cem.known.write_seed == b""
    ann.spread([bob, cem])
    assert bob.known.write_seed == ann.known.write_seed
    assert bob.known.write_seed not in (b"", old)
    assert cem.known.write_seed == b""


def test_b5_b6_an_entry_of_a_removed_writer_is_skipped_by_all() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem", roles={"bob": Role.ADMIN})
    evil = GroupMember("evil", ann.town)
    late = bob.prepare([add(evil.account, 1)])
    sealed = group_log.seal_entry(bob.known.keys, 1, late.signed, bob.random)
    ann.commit(log, [Remove(bob.account)])
    ann.spread([cem])
    assert log.append(2, group_log.seal_entry(bob.known.keys, 2, late.signed, bob.random))
    assert log.append(3, sealed)
    assert log.append(4, b"\x01" + bytes(255))
    assert log.append(5, b"")
    assert [result.commit for result in ann.catch_up(log)] == [None] * 4
    ann.commit(log, [TITLE])
    assert [result.commit is None for result in cem.catch_up(log)] == [False, *[True] * 4, False]
    agree(ann, cem)
    assert evil.account not in cem.known.state.by_account
    assert cem.known.state.setting("name") == b"Climbers"


def test_b6_the_relay_cannot_add_a_member() -> None:
    """Whatever it puts into the log, no member changes its state, and so nobody hands a chain to the new one."""
    log, (ann, bob) = group_of("ann", "bob")
    evil = GroupMember("evil", ann.town)
    real = ann.prepare([add(evil.account, 1)])
    before = bob.known.state.hash
    swapped = SignedCommit(real.signed.body[:-1] + b"\0", real.signed.signature)
    foreign = sign_commit(real.signed.commit, evil.device)
    for signed in (swapped, foreign):
        keys = bob.known.keys
        assert log.append(len(log.entries), group_log.seal_entry(keys, len(log.entries), signed, evil.random))
    assert [result.commit for result in bob.catch_up(log)] == [None, None]
    assert bob.known.state.hash == before
    bob.hand_to([ann, evil])
    assert not evil.senders


def test_an_entry_at_another_index_does_not_open() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    entry = group_log.seal_entry(ann.known.keys, 7, ann.prepare([TITLE]).signed, ann.random)
    result = group_log.follow(bob.known, 1, entry, bob.town.manifests)
    assert result.commit is None
    assert "does not open" in result.reason
    with pytest.raises(ValueError, match="entry 1 comes before"):
        group_log.follow(bob.known, 2, entry, bob.town.manifests)
    assert log.append(1, entry)


def test_each_flipped_byte_of_an_entry_is_skipped_and_changes_nothing() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    entry = group_log.seal_entry(ann.known.keys, 1, ann.prepare([TITLE]).signed, ann.random)
    for at in range(len(entry)):
        altered = entry[:at] + bytes((entry[at] ^ 1,)) + entry[at + 1 :]
        result = group_log.follow(bob.known, 1, altered, bob.town.manifests)
        assert result.commit is None
        assert result.view.state is bob.known.state
    assert group_log.follow(bob.known, 1, entry, bob.town.manifests).commit is not None
    assert len(log.entries) == 1


def test_a_commit_waits_for_a_manifest_that_is_not_here() -> None:
    log, (ann, bob) = group_of("ann", "bob", roles={"bob": Role.ADMIN})
    bob.commit(log, [TITLE])
    known = dict(ann.town.manifests)
    del known[bob.account]
    with pytest.raises(ManifestGap):
        group_log.follow(ann.known, 1, log.entries[1], known)
    skipped = group_log.follow(ann.known, 1, log.entries[1], known, manifests_are_newest=True)
    assert (skipped.commit, skipped.view.next_entry) == (None, 2)
    assert ann.catch_up(log)[0].commit is not None


def test_a_new_manifest_version_is_named_and_only_rises() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    entries = [device_entry(ann.device, added_at_ms=1, manager=True)]
    body = build_manifest(ann.person.root.public, 2, ann.person.manifest.hash, entries)
    second = verify_chain(ann.account, ann.person.manifest, [sign_manifest(body, ann.person.root)])
    ann.town.manifests[ann.account] = second
    ann.commit(log, [NewManifest(ann.account, 2, device_left=True), TITLE])
    ann.spread([bob])
    bob.catch_up(log)
    assert bob.known.state.member(ann.account).manifest_version == 2
    assert bob.known.state.epoch == 2
    for version in (1, 2):
        with pytest.raises(CommitRefused):
            ann.prepare([NewManifest(ann.account, version, device_left=False)])


def test_a_commit_of_a_later_format_stops_who_cannot_follow_only_if_it_is_real() -> None:
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    real = ann.prepare([TITLE]).signed.commit
    later = replace(real, head=replace(real.head, form=2))
    own = replace(later, head=replace(later.head, account=cem.account, device=cem.device.device_id))
    for signer, commit, outcome in (
        (cem, later, "skipped"),
        (cem, own, "skipped"),
        (ann, later, "too new"),
    ):
        signed = sign_commit(commit, signer.device)
        entry = group_log.seal_entry(ann.known.keys, 1, signed, ann.random)
        if outcome == "skipped":
            assert group_log.follow(bob.known, 1, entry, bob.town.manifests).commit is None
        else:
            with pytest.raises(GroupTooNew, match="format 2"):
                group_log.follow(bob.known, 1, entry, bob.town.manifests)
    assert len(log.entries) == 1


def test_only_the_secret_that_the_cut_names_is_taken() -> None:
    log, (ann, bob) = group_of("ann", "bob")
    proposal = ann.commit(log, [], cut=True)
    given = proposal.hand_out
    assert given is not None
    bob.catch_up(log)
    wrong = replace_secret(given, secret=bytes(32))
    for refused in (wrong, replace_secret(given, cut_hash=bytes(32)), replace_secret(given, epoch=1)):
        bob.learn(refused)
        with pytest.raises(ChainMissing):
            _ = bob.known.keys
    for of_elsewhere in (replace_secret(given, group_id=bytes(32)), replace_secret(given, step=1)):
        with pytest.raises(InvalidEncoding):
            bob.learn(of_elsewhere)
    bob.learn(given)
    view = bob.known
    bob.learn(given)
    assert bob.known is view
    assert view.keys.secret == given.secret
    for number in range(group_log.MAX_WAITING_SECRETS + 5):
        bob.learn(replace_secret(given, epoch=100 + number))
    assert len(bob.known.waiting) == group_log.MAX_WAITING_SECRETS
