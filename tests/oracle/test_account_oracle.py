"""Linking, recovery and the log agree with the oracle on the vectors, and what is sealed in them opens."""

import json
import random as stdlib_random
from pathlib import Path
from typing import Any

import pytest

from crypto.keys import IdentityKeyPair, SigningKeyPair
from crypto.linking import LinkOffer, LinkRequest, ScannedLink
from crypto.manifest import SignedManifest
from crypto.manifest_chain import verify_chain
from crypto.merkle import verify_consistency, verify_inclusion
from crypto.primitives import HpkePrivateKey
from crypto.recovery import RecoveryKey, SignedBackup, open_backup
from crypto.recovery_words import words_of_key
from crypto.transparency import LeafType, SignedHead, handle_subject, leaf, verify_head
from tests.oracle import accounts, ed25519

FOLDER = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())  # type: ignore[no-any-return]


LINK, RECOVERY, LOG = vectors("linking.json"), vectors("recovery.json"), vectors("transparency.json")


def of(source: dict[str, Any], *names: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(source[name]) for name in names)


@pytest.mark.parametrize("seed", range(20))
def test_words_agree(seed: int) -> None:
    key = stdlib_random.Random(seed).randbytes(32)
    assert accounts.words_of(key) == " ".join(words_of_key(key))


def test_recovery_agrees_and_the_backup_opens() -> None:
    key, root, public, sealing, backup, signing = of(
        RECOVERY, "key", "root_seed", "root_public", "sealing_seed", "backup", "signing_public"
    )
    assert accounts.words_of(key) == RECOVERY["words"]
    assert accounts.recovery_seeds(key) == (root, sealing)
    assert ed25519.public_of(root) == public
    assert accounts.backup_signature_holds(backup, signing)
    assert not accounts.backup_signature_holds(backup[:60] + b"\x09" + backup[61:], signing)
    recovery = RecoveryKey.from_words(RECOVERY["words"])
    assert recovery.root().public == public
    assert recovery.sealing().public_bytes().hex() == RECOVERY["sealing_public"]
    manifest = SignedManifest.parse(bytes.fromhex(RECOVERY["manifest"]))
    newest = verify_chain(manifest.manifest.account_id, None, [manifest])
    assert open_backup(SignedBackup.parse(backup), recovery, newest).hex() == RECOVERY["content"]


def test_linking_agrees_and_the_answer_opens() -> None:
    sealing_seed, signing_seed, identity, device_id, request, mailbox, answer, sealed, account = of(
        LINK,
        "sealing_seed",
        "signing_seed",
        "identity_private",
        "device_id",
        "request",
        "mailbox_id",
        "answer",
        "sealed_answer",
        "account",
    )
    sealing = HpkePrivateKey(sealing_seed)
    pair = IdentityKeyPair.from_seed(identity)
    made = accounts.link_request(sealing.public_bytes(), device_id, signing_seed, pair.public, LINK["name"])
    assert made == request
    assert accounts.sha256(request) == bytes.fromhex(LINK["qr"])[16:]
    assert accounts.link_digits(request, answer) == LINK["code"]
    assert accounts.confirmation(account, device_id, signing_seed, pair.public).hex() == LINK["confirmation"]
    offer = LinkOffer(
        ScannedLink(mailbox, accounts.sha256(request)),
        LinkRequest.parse(request),
        sealing,
        SigningKeyPair.from_seed(signing_seed),
        pair,
        0,
    )
    _, opened, code = offer.open_answer(sealed, 0)
    assert (opened.encode(), code) == (answer, LINK["code"])


def test_leaves_heads_and_proofs_agree() -> None:
    log_id, relay = of(LOG, "log_id", "relay_public")
    leaves = []
    for each in LOG["leaves"]:
        subject, value = of(each, "subject", "value_hash")
        leaves.append(accounts.log_leaf(each["type"], subject, each["version"], value))
        assert leaves[-1].hex() == each["leaf"]
    heads = {}
    for each in LOG["heads"]:
        head = SignedHead.parse(bytes.fromhex(each["head"]))
        body = accounts.log_head(log_id, each["size"], bytes.fromhex(each["root"]), each["time_ms"])
        assert head.body == body
        assert ed25519.verifies(relay, body, head.signature)
        verify_head(head, relay)
        heads[each["size"]] = head.root
    for each in LOG["inclusion"]:
        proof = [bytes.fromhex(step) for step in each["proof"]]
        entry, index, size = leaves[each["index"]], each["index"], each["size"]
        assert accounts.root_from_path(entry, index, size, proof) == heads[size]
        verify_inclusion(entry, index, size, proof, heads[size])
        if index == 7:
            newest = bytes.fromhex(LOG["heads"][-1]["head"])
            assert accounts.inclusion_proof(index, proof, newest).hex() == LOG["inclusion_encoded"]
    salt, account = of(LOG["handle"], "salt", "account")
    for version, bound_to, name in ((1, account, "bound"), (2, b"", "given_back")):
        made = accounts.handle_leaf(salt, LOG["handle"]["handle"], version, bound_to)
        assert made.hex() == LOG["handle"][name]
        value_hash = accounts.sha256(bound_to)
        assert leaf(LeafType.HANDLE, handle_subject(salt, "anna"), version, value_hash) == made
    for each in LOG["consistency"]:
        proof = [bytes.fromhex(step) for step in each["proof"]]
        verify_consistency(each["from"], heads[each["from"]], each["to"], heads[each["to"]], proof)
