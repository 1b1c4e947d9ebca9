"""Groups and the oracle agree: on lives of groups made at random, on each refusal, and on the kind of each commit."""

import json
import random as stdlib_random
from pathlib import Path
from typing import Any

import pytest

from crypto.errors import CommitRefused, ManifestGap, NotEntitled
from crypto.group_changes import (
    Answer,
    Ban,
    Change,
    ChangeSetting,
    Give,
    NewManifest,
    Remove,
    Request,
    RequestKind,
    SetRole,
    Unban,
    encode_change,
    sign_request,
)
from crypto.group_commits import SignedCommit
from crypto.group_proposals import Proposal, add
from crypto.group_rights import Role
from crypto.group_rules import apply_commit
from crypto.group_state import Setting, parse_state
from tests.crypto_people import NOW_MS
from tests.group_people import GroupMember, group_of
from tests.oracle import group_messages, group_state, manifests
from tests.oracle.refusals import Refused, Waiting
from tests.vectors import generate_accounts, generate_groups

FOLDER = Path(__file__).parents[1] / "vectors"


@pytest.mark.parametrize("module", [generate_groups, generate_accounts], ids=lambda module: module.__name__)
def test_the_vectors_are_what_the_code_makes(module: Any) -> None:
    for name, make in module.FILES.items():
        assert json.loads((FOLDER / name).read_text()) == make()


def random_change(dice: stdlib_random.Random, people: list[GroupMember]) -> Change:
    account = dice.choice(people).account
    state = people[0].known.state
    other = dice.choice(people[2:])
    known = state.by_account.get(other.account)
    role = dice.choice(list(Role))
    return dice.choice(
        [
            add(account, 1 + dice.randrange(3), role),
            Remove(account),
            SetRole(account, role),
            Give(account, dice.randrange(512)),
            Ban(account),
            Unban(account),
            ChangeSetting(Setting(dice.choice(("name", "about", "x")), dice.randbytes(dice.randrange(3)))),
            # of nobody who commits here: a manifest that is not published yet stalls its account
            NewManifest(other.account, (known.manifest_version if known else 1) + 1, dice.random() < 0.5),
        ]
    )


def random_request(dice: stdlib_random.Random, people: list[GroupMember]) -> Answer:
    """Of somebody in the group or not, mostly good."""
    asker = dice.choice(people)
    state = people[0].known.state
    known = state.by_account.get(asker.account)
    since = known.since if known and dice.random() < 0.8 else dice.randrange(4)
    kind = dice.choice((RequestKind.LEAVE, RequestKind.WANT))
    value = 0 if kind is RequestKind.LEAVE else dice.choice((1, 2, 3, 511))
    at_ms = NOW_MS + dice.randrange(100)
    fields = state.group_id, asker.account, asker.device.device_id, since, kind, value, at_ms
    return Answer(sign_request(Request(*fields), dice.choice((asker, asker, people[0])).device))


def verdict_of_oracle(
    state: dict[str, Any], by: GroupMember, changes: list[Change], chains: group_state.Chains, cut: bool
) -> int | None:
    """The kind of the commit, or None where the oracle refuses it."""
    try:
        encoded = [encode_change(change) for change in changes]
        kind = group_state.needed_kind(state, by.account, encoded, chains)
        version = group_state.version_of_commit(state, by.account, encoded)
        group_state.signing_key(chains, by.account, version, by.device.device_id)
    except (Refused, Waiting):
        return None
    return group_state.CUT if cut else kind


def proposal_of(by: GroupMember, changes: list[Change], cut: bool) -> Proposal | None:
    try:
        return by.prepare(changes, cut=cut)
    except (CommitRefused, ManifestGap, NotEntitled):
        return None


@pytest.mark.parametrize("batch", range(4))
def test_lives_made_at_random_agree(batch: int) -> None:
    """What one refuses the other refuses, and what both take makes one state of one kind."""
    counts = [live(seed) for seed in range(batch, 24, 4)]
    assert min(map(sum, zip(*counts, strict=True))) > 20


def live(seed: int) -> tuple[int, int]:
    """(Commits that were taken, commits that were refused)."""
    dice = stdlib_random.Random(seed)
    settings = [Setting("broadcast", b"\x01")] if seed % 3 == 0 else []
    roles = {"b": dice.choice((Role.ADMIN, Role.MODERATOR, Role.OWNER))}
    log, members = group_of(*"abcdefg"[: 2 + seed % 3], roles=roles, settings=settings)
    ann, bob = members[:2]
    people = [*members, *(GroupMember(f"{seed} {number}", ann.town) for number in range(4))]
    chains = {each.account: [manifests.parse(each.person.manifest.newest.encode())] for each in people}
    state = group_state.apply_commit(None, *opened(log.entries[0], ann), chains)
    taken = refused = 0
    for _ in range(60):
        by = dice.choice((ann, bob))
        by.catch_up(log)
        if by.account not in by.known.state.by_account or by.known.missing:
            continue
        changes: list[Change] = [
            random_request(dice, people) if dice.random() < 0.2 else random_change(dice, people)
            for _ in range(1 + dice.randrange(3))
        ]
        cut = dice.random() < 0.1
        theirs = verdict_of_oracle(state, by, changes, chains, cut)
        made = proposal_of(by, changes, cut)
        assert theirs == (None if made is None else made.signed.commit.kind), (seed, changes)
        if made is None:
            refused += 1
            continue
        state = group_state.apply_commit(state, made.signed.signature, made.signed.body, chains)
        assert group_state.encode_state(state) == made.state.encode()
        assert parse_state(group_state.encode_state(state)).hash == made.state.hash
        if made.hand_out is not None:
            by.learn(made.hand_out)
        assert by.append(log, made)
        by.catch_up(log)
        by.spread([ann, bob])
        taken += 1
    return taken, refused


def opened(entry: bytes, member: GroupMember) -> tuple[bytes, bytes]:
    """Signature and body of the first entry."""
    keys = member.known.epochs[-1]
    named = keys.group_id, keys.epoch, keys.step, keys.cut_hash, keys.secret
    return group_messages.open_entry(group_messages.epoch_keys(*named), 0, entry)


def test_b5_the_oracle_refuses_what_the_rules_refuse() -> None:
    """The same commits under other kinds, hands and states: neither takes them."""
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    chains = {
        each.account: [manifests.parse(each.person.manifest.newest.encode())] for each in (ann, bob, cem)
    }
    state = group_state.apply_commit(None, *opened(log.entries[0], ann), chains)
    signed = ann.prepare([Remove(cem.account)]).signed
    assert group_state.apply_commit(state, signed.signature, signed.body, chains)["epoch"] == 2
    for signer, changed in (
        (
            bob,
            signed.body.replace(ann.account, bob.account, 1).replace(
                ann.device.device_id, bob.device.device_id
            ),
        ),
        (ann, signed.body.replace(b"\x01\x01" + b"\0\0\0\x20", b"\x01\x00" + b"\0\0\0\x20", 1)),
        (ann, signed.body.replace(ann.known.state.hash, bytes(32), 1)),
        (bob, signed.body),
    ):
        signature = signer.device.signing.sign(changed)
        with pytest.raises(Refused):
            group_state.apply_commit(state, signature, changed, chains)
        with pytest.raises(CommitRefused):
            apply_commit(ann.known.state, SignedCommit(changed, signature), ann.town.manifests)
