"""Manifests, linking, recovery and the log: what the oracle makes the product takes, and the other way round."""

import random as stdlib_random

import pytest

from crypto.errors import CryptoError
from crypto.keys import IdentityKeyPair, SigningKeyPair
from crypto.linking import LinkDesk, LinkOffer, LinkRequest, ScannedLink, begin_link, confirm_link
from crypto.manifest import SignedManifest
from crypto.manifest_chain import verify_chain
from crypto.merkle import verify_consistency, verify_inclusion
from crypto.message_references import MessageFacts
from crypto.primitives import HpkePrivateKey
from crypto.recovery import RecoveryKey, SignedBackup, open_backup, seal_backup
from crypto.recovery_words import words_of_key
from tests.crypto_people import NOW_MS, Person, SeededRandom
from tests.oracle import contents, ed25519, hpke, linking, manifests, recovery, transparency, x25519
from tests.oracle.manifests import Device
from tests.oracle.refusals import Refused
from tests.oracle.transcripts import sha256
from tests.oracle.vector_files import read


def made_device(seed: bytes, account: bytes, flags: int) -> tuple[Device, bytes]:
    """(Manifest field, seed of the signing key)."""
    signing_seed, private = sha256(seed + b"signing"), sha256(seed + b"identity")
    signing, identity = ed25519.public_of(signing_seed), x25519.public_of(private)
    device = sha256(seed)[:16]
    signed = ed25519.sign(signing_seed, manifests.device_transcript(account, device, signing, identity))
    return Device(device, signing, identity, flags, NOW_MS, signed), signing_seed


def random_chain(dice: stdlib_random.Random, root_seed: bytes) -> list[bytes]:
    """Manifests that mostly follow one another; some break a rule."""
    root = ed25519.public_of(root_seed)
    account = manifests.account_id(root)
    pool = [made_device(b"%d" % number, account, dice.choice((0, 1, 1, 3, 4))) for number in range(4)]
    chain: list[bytes] = []
    previous, managers = b"", [pool[0]]
    for version in range(1, 5):
        devices = dice.sample(pool, dice.choice((1, 2, 3)))
        listed = [device for device, _ in devices]
        if dice.random() < 0.06:  # the keys of another under a name of its own
            taken = dice.choice(pool)[0]
            listed.append(Device(b"\xff" * 16, taken.signing, taken.identity, 0, NOW_MS, taken.signature))
        by_root = version == 1 or dice.random() < 0.4
        device, seed = dice.choice(managers if managers and dice.random() < 0.85 else pool)
        signer, key = (b"", root_seed) if by_root else (device.device, seed)
        number = version + (dice.random() < 0.05)
        made = manifests.make(
            root, number, previous if dice.random() < 0.95 else bytes(32), listed, key, signer
        )
        if dice.random() < 0.05:
            made = made[:30] + bytes([made[30] ^ 1]) + made[31:]
        managers = [each for each in pool if each[0] in listed and each[0].manager]
        chain.append(made)
        previous = sha256(made[17 + 64 :] if signer else made[1 + 64 :])
    return chain


def verdicts(account: bytes, known: list[bytes], came: list[bytes]) -> tuple[bytes | None, bytes | None]:
    """The newest manifest's hash that either make ends with, or None for a refusal."""
    try:
        before = verify_chain(account, None, [SignedManifest.parse(one) for one in known]) if known else None
        mine: bytes | None = verify_chain(account, before, [SignedManifest.parse(one) for one in came]).hash
    except CryptoError:
        mine = None
    try:
        first = manifests.verify_chain(account, [], [manifests.parse(one) for one in known]) if known else []
        theirs: bytes | None = manifests.verify_chain(account, first, [manifests.parse(one) for one in came])[
            -1
        ].hash
    except Refused:
        theirs = None
    return mine, theirs


def test_a13_chains_made_at_random_get_one_verdict() -> None:
    taken = refused = 0
    for seed in range(40):
        dice = stdlib_random.Random(seed)
        root_seed = sha256(b"root")
        chain = random_chain(dice, root_seed)
        account = manifests.account_id(ed25519.public_of(root_seed))
        for known in range(3):
            for until in range(1, 5):
                mine, theirs = verdicts(account, chain[:known], chain[: until + 1])
                assert mine == theirs, (seed, known, until)
                taken, refused = taken + (mine is not None), refused + (mine is None)
    assert min(taken, refused) > 100


@pytest.mark.parametrize("seed", range(20))
def test_words_agree(seed: int) -> None:
    key = stdlib_random.Random(seed).randbytes(32)
    words = " ".join(words_of_key(key))
    assert recovery.words_of(key) == words
    assert recovery.key_of(words) == key
    assert RecoveryKey.from_words(words).root().public == ed25519.public_of(recovery.seeds(key)[0])


@pytest.mark.parametrize("length", [0, 1, 251, 252, 253, 1_021, 5_000])
def test_a_backup_of_the_product_opens_for_the_oracle(length: int) -> None:
    person, key = Person("saver", stock=0), sha256(b"recovery key")
    content = stdlib_random.Random(length).randbytes(length)
    public = hpke.x_wing_public(recovery.seeds(key)[1])
    made = seal_backup(content, public, person.device, person.manifest, 3, NOW_MS)
    chain = [manifests.parse(person.manifest.newest.encode())]
    assert recovery.open_backup(made.encode(), recovery.seeds(key)[1], chain) == (3, content)


def test_the_backup_of_the_vectors_opens_for_the_product() -> None:
    part = read("recovery.json")
    manifest = SignedManifest.parse(part.data("manifest"))
    newest = verify_chain(manifest.manifest.account_id, None, [manifest])
    backup = SignedBackup.parse(part.data("backup"))
    assert open_backup(backup, RecoveryKey.from_words(part["words"]), newest) == part.data("content")


def test_d5_a_device_of_the_product_is_linked_by_the_oracle_and_the_other_way_round() -> None:
    manager, draw = Person("manager", stock=0), SeededRandom("linking")
    offer = begin_link("phone", draw, NOW_MS)
    asked, qr = offer.request.encode(), offer.scanned
    keys = linking.parse_request(asked, qr.request_hash)
    answer = manager.account + manager.device.device_id + draw(32)
    sealed = hpke.seal(keys[0], linking.answer_info(qr.mailbox_id, asked), answer, draw(64))
    used, opened, code = offer.open_answer(sealed, NOW_MS)
    assert (opened.encode(), code) == (answer, linking.digits(asked, answer))
    signed = manifests.device_transcript(manager.account, keys[1], keys[2], keys[3])
    ed25519.verify(keys[2], signed, confirm_link(used, opened))

    seeds, private, mailbox = (draw(32), draw(32)), draw(32), draw(16)
    asked = linking.request(
        hpke.x_wing_public(seeds[0]), draw(16), seeds[1], x25519.public_of(private), "desk"
    )
    scanned = ScannedLink(mailbox, sha256(asked))
    _, told, sealed = LinkDesk().answer(scanned, asked, manager.device, draw, NOW_MS, NOW_MS)
    opened_answer = b"".join(linking.open_answer(sealed, seeds[0], mailbox, asked))
    assert opened_answer == told.answer.encode()
    assert linking.digits(asked, opened_answer) == told.code
    device = LinkRequest.parse(asked).device_id
    entry = told.entry(
        linking.confirmation(manager.account, device, seeds[1], x25519.public_of(private)), NOW_MS
    )
    assert entry.device_id == device


def test_the_answer_of_the_vectors_opens_for_the_product() -> None:
    part = read("linking.json")
    request, seeds = part.data("request"), part.data("sealing_seed", "signing_seed", "identity_private")
    offer = LinkOffer(
        ScannedLink(part.data("mailbox_id"), sha256(request)),
        LinkRequest.parse(request),
        HpkePrivateKey(seeds[0]),
        SigningKeyPair.from_seed(seeds[1]),
        IdentityKeyPair.from_seed(seeds[2]),
        0,
    )
    _, opened, code = offer.open_answer(part.data("sealed_answer"), 0)
    assert (opened.encode(), code) == (part.data("answer"), part["code"])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 21])
def test_proofs_of_the_oracle_convince_the_product(size: int) -> None:
    leaves = [b"leaf %d" % number for number in range(size)]
    root = transparency.root_of(leaves)
    for index in range(size):
        proof = transparency.inclusion(index, leaves)
        verify_inclusion(leaves[index], index, size, proof, root)
        with pytest.raises(CryptoError):
            verify_inclusion(b"another", index, size, proof, root)
        older = transparency.root_of(leaves[:index])
        verify_consistency(index, older, size, root, transparency.consistency(index, leaves))
        with pytest.raises(CryptoError):
            verify_consistency(
                index + 1, sha256(b"another"), size, root, transparency.consistency(index + 1, leaves)
            )


def test_b10_references_agree() -> None:
    draw = SeededRandom("references")
    fields = draw(32), draw(32), draw(16), draw(16)
    assert MessageFacts(*fields, sha256(b"first")).reference() == contents.reference(*fields, b"first")
