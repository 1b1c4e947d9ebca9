"""Groups and the oracle agree: on the vectors, on lives of groups made at random, and on each refusal."""

import json
import random as stdlib_random
from pathlib import Path
from typing import Any

import pytest

from crypto import errors, labels
from crypto.errors import CommitRefused, ManifestGap, NotEntitled
from crypto.group_changes import (
    Ban,
    Change,
    ChangeSetting,
    Give,
    NewManifest,
    Remove,
    SetRole,
    Unban,
)
from crypto.group_proposals import add
from crypto.group_rights import Role
from crypto.group_state import Setting, parse_state
from crypto.sender_chains import hand_out
from tests.group_people import GroupMember, group_of
from tests.oracle import ed25519, groups
from tests.oracle.groups import Skipped
from tests.vectors import generate_accounts, generate_groups

FOLDER = Path(__file__).parents[1] / "vectors"
DERIVED: dict[str, Any] = json.loads((FOLDER / "group_derivations.json").read_text())
LIFE: dict[str, Any] = json.loads((FOLDER / "group_life.json").read_text())
GROUP_ID = bytes.fromhex(LIFE["group_id"])
MEMBERS = {
    name: {key: bytes.fromhex(value) for key, value in member.items()}
    for name, member in LIFE["members"].items()
}


@pytest.mark.parametrize("module", [generate_groups, generate_accounts], ids=lambda module: module.__name__)
def test_the_vectors_are_what_the_code_makes(module: Any) -> None:
    for name, make in module.FILES.items():
        assert json.loads((FOLDER / name).read_text()) == make()


def test_ed25519_of_the_oracle_is_that_of_rfc_8032() -> None:
    """Section 7.1, test 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = ed25519.sign(seed, b"\x72")
    assert ed25519.public_of(seed).hex() == public
    assert signature.hex().startswith("92a009a9f0d4cab8720e820b5f642540")
    assert ed25519.verifies(bytes.fromhex(public), b"\x72", signature)
    assert not ed25519.verifies(bytes.fromhex(public), b"\x73", signature)


def test_the_derivations() -> None:
    epoch, step, chain = DERIVED["epoch"], DERIVED["step"], DERIVED["chain_step"]
    group_id, cut, secret = (bytes.fromhex(epoch[name]) for name in ("group_id", "cut_hash", "secret"))
    keys = groups.epoch_keys(group_id, epoch["epoch"], 0, cut, secret)
    assert [keys[name].hex() for name in ("header", "entry", "read_token")] == [
        epoch[name] for name in ("header_key", "entry_key", "read_token")
    ]
    assert groups.commitment_of(group_id, secret).hex() == epoch["commitment"]
    after = groups.next_secret(group_id, epoch["epoch"], 1, bytes.fromhex(step["state_hash"]), secret)
    assert after.hex() == step["secret"]
    assert groups.epoch_keys(group_id, epoch["epoch"], 1, cut, after)["header"].hex() == step["header_key"]
    made = groups.chain_step(bytes.fromhex(chain["chain_key"]))
    assert [each.hex() for each in made] == [chain["message_key"], chain["next"]]
    assert {name: getattr(labels, name).hex() for name in DERIVED["labels"]} == DERIVED["labels"]
    assert dict(DERIVED["roles"].values()) == groups.ROLE_RIGHTS


def keys_of_epochs() -> dict[int, dict[str, bytes]]:
    known = {}
    for entry in LIFE["entries"]:
        if "state" in entry and entry["epoch"] not in known:
            cut, secret = bytes.fromhex(entry["state_hash"]), bytes.fromhex(entry["secret"])
            known[entry["epoch"]] = groups.epoch_keys(GROUP_ID, entry["epoch"], 0, cut, secret)
    return known


def test_the_oracle_follows_the_log_of_the_vectors() -> None:
    known, state, epoch = keys_of_epochs(), None, 1
    for entry in LIFE["entries"]:
        sealed = bytes.fromhex(entry["entry"])
        if entry.get("skipped"):
            with pytest.raises(Skipped):
                groups.open_entry(known[epoch]["entry"], GROUP_ID, entry["index"], sealed)
            continue
        signature, body = groups.open_entry(known[epoch]["entry"], GROUP_ID, entry["index"], sealed)
        assert (body.hex(), signature.hex()) == (entry["body"], entry["signature"])
        assert ed25519.verifies(MEMBERS[entry["by"]]["signing_public"], body, signature)
        state = groups.apply_commit(state, body)
        assert groups.encode_state(state).hex() == entry["state"]
        epoch = state["epoch"]
        assert groups.commitment_of(GROUP_ID, bytes.fromhex(entry["secret"])) == state["commitment"]
    assert epoch == 4


@pytest.mark.parametrize("message", LIFE["messages"], ids=lambda m: m.get("does", m["from"]))
def test_the_oracle_opens_and_makes_the_messages_of_the_vectors(message: dict[str, Any]) -> None:
    sender = MEMBERS[message["from"]]
    chain = groups.parse_chain(bytes.fromhex(message["chain_hand_out"]))
    header_key = keys_of_epochs()[message["epoch"]]["header"]
    envelope, text = bytes.fromhex(message["envelope"]), bytes.fromhex(message["plaintext"])
    seed, nonce = bytes.fromhex(message["signing_seed"]), bytes.fromhex(message["nonce"])
    made = groups.seal_message(text, header_key, chain, sender["account"], sender["device"], seed, nonce)
    if "error" in message:
        assert made != envelope
        assert issubclass(getattr(errors, message["error"]), errors.CryptoError)
        with pytest.raises(Skipped):
            groups.open_message(envelope, header_key, chain, sender["account"])
    else:
        assert made == envelope
        assert groups.open_message(envelope, header_key, chain, sender["account"]) == text


def random_change(dice: stdlib_random.Random, people: list[GroupMember]) -> Change:
    account = dice.choice(people).account
    state = people[0].known.state
    known = state.by_account.get(account)
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
            NewManifest(account, (known.manifest_version if known else 1) + 1, dice.random() < 0.5),
        ]
    )


@pytest.mark.parametrize("seed", range(12))
def test_lives_made_at_random_agree(seed: int) -> None:
    """What one refuses the other refuses; what both take makes one state."""
    dice = stdlib_random.Random(seed)
    settings = [Setting("broadcast", b"\x01")] if seed % 3 == 0 else []
    log, members = group_of(*"abcdefg"[: 2 + seed % 3], roles={"b": Role.ADMIN}, settings=settings)
    ann, bob = members[:2]
    people = [*members, *(GroupMember(f"{seed} {number}", ann.town) for number in range(4))]
    state = groups.apply_commit(None, _body(log.entries[0], ann))
    taken = refused = 0
    for _ in range(60):
        by = dice.choice((ann, bob))
        by.catch_up(log)
        if by.account not in by.known.state.by_account or by.known.missing:
            continue
        changes = [random_change(dice, people[1:]) for _ in range(1 + dice.randrange(2))]
        try:
            made = by.prepare(changes, cut=dice.random() < 0.1)
        except (CommitRefused, ManifestGap, NotEntitled):
            refused += 1
            continue
        state = groups.apply_commit(state, made.signed.body)
        assert groups.encode_state(state) == made.state.encode()
        assert parse_state(groups.encode_state(state)).hash == made.state.hash
        if made.hand_out is not None:
            by.learn(made.hand_out)
        assert by.append(log, made)
        by.catch_up(log)
        by.spread([ann, bob])
        taken += 1
    assert taken > 5
    assert refused > 5
    text = dice.randbytes(dice.randrange(3_000))
    chain = groups.parse_chain(hand_out(ann.fresh_chain()).encode())
    envelope, keys = ann.send(text), ann.known.keys
    header = groups.epoch_keys(keys.group_id, keys.epoch, keys.step, keys.cut_hash, keys.secret)["header"]
    assert groups.open_message(envelope, header, chain, ann.account) == text


def _body(entry: bytes, member: GroupMember) -> bytes:
    keys = member.known.epochs[-1]
    return groups.open_entry(keys.entries.key_bytes, keys.group_id, 0, entry)[1]


def test_the_oracle_refuses_what_the_rules_refuse() -> None:
    """The same commits under other kinds and hands: neither takes them."""
    log, (ann, bob, cem) = group_of("ann", "bob", "cem")
    state = groups.apply_commit(None, _body(log.entries[0], ann))
    body = ann.prepare([Remove(cem.account)]).signed.body
    assert groups.apply_commit(state, body)["epoch"] == 2
    for changed in (
        body.replace(ann.account, bob.account, 1),
        body.replace(b"\x01\x01" + b"\0\0\0\x20", b"\x01\x00" + b"\0\0\0\x20", 1),
        body.replace(ann.known.state.hash, bytes(32), 1),
    ):
        assert changed != body
        with pytest.raises(Skipped):
            groups.apply_commit(state, changed)
