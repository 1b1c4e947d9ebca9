"""The transparency log: proofs hold for every size, lies are refused, contradictions keep both heads as evidence."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import limits
from crypto.errors import (
    InvalidEncoding,
    InvalidSignature,
    LogRefused,
    LogSplit,
    ManifestFork,
    ManifestGap,
    ManifestRefused,
    SplitView,
)
from crypto.keys import LocalDevice, SigningKeyPair
from crypto.manifest_chain import verify_chain
from crypto.merkle import EMPTY_ROOT, leaf_hash, node_hash, verify_consistency, verify_inclusion
from crypto.transparency import (
    Gossip,
    Inclusion,
    LeafType,
    SignedHead,
    advance,
    check_gossiped_manifest,
    compare_heads,
    handle_subject,
    head_body,
    leaf,
    verify_handle_logged,
    verify_manifest_logged,
)
from tests.crypto_people import Person, SeededRandom
from tests.merkle_log import consistency, inclusion, root_of

RELAY = SigningKeyPair.generate(SeededRandom("relay"))
LOG_ID = b"L" * 32
LEAVES = [b"leaf %d" % number for number in range(70)]


def head(
    size: int, *, leaves: list[bytes] = LEAVES, at_ms: int | None = None, log_id: bytes = LOG_ID
) -> SignedHead:
    body = head_body(log_id, size, root_of(leaves[:size]), size if at_ms is None else at_ms)
    return SignedHead.parse(RELAY.sign(body) + body)


def test_known_answers_of_rfc_6962() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert root_of([b"", b"\x00"]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert node_hash(leaf_hash(b""), leaf_hash(b"\x00")) == root_of([b"", b"\x00"])


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 64, 65])
def test_every_leaf_of_every_size_is_proved_included(size: int) -> None:
    leaves = LEAVES[:size]
    root = root_of(leaves)
    for index in range(size):
        proof = inclusion(leaves, index)
        verify_inclusion(leaves[index], index, size, proof, root)
        wrong = [
            (leaves[index] + b"!", index, size, proof, root),
            (leaves[index], index, size, [*proof, bytes(32)], root),
            (leaves[index], index, size, proof, bytes(32)),
            (leaves[index], size, size, proof, root),
            (leaves[index], -1, size, proof, root),
        ]
        if proof:
            wrong += [
                (leaves[index], index, size, proof[:-1], root),
                (leaves[index], index, size, [proof[0][:-1], *proof[1:]], root),
                (leaves[index], (index + 1) % size, size, proof, root),
            ]
        for case in wrong:
            with pytest.raises(LogRefused):
                verify_inclusion(*case)


@pytest.mark.parametrize("new", [*range(1, 18), 31, 32, 33, 64, 65])
def test_growth_from_every_size_is_proved(new: int) -> None:
    new_root = root_of(LEAVES[:new])
    for old in range(new + 1):
        old_root, proof = root_of(LEAVES[:old]), consistency(LEAVES[:new], old)
        verify_consistency(old, old_root, new, new_root, proof)
        wrong = [
            (old, old_root, new, new_root, [*proof, bytes(32)]),
            (old, bytes(32), new, new_root, proof),
            (new + 1, old_root, new, new_root, proof),
        ]
        if old:
            wrong.append((old, old_root, new, bytes(32), proof))
        if proof:
            wrong += [
                (old, old_root, new, new_root, proof[:-1]),
                (old, old_root, new, new_root, [bytes(32), *proof[1:]]),
                (old, old_root, new, new_root, []),
            ]
        for case in wrong:
            with pytest.raises(LogRefused):
                verify_consistency(*case)


@given(st.integers(1, 70), st.data())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_a_changed_leaf_has_no_proof(size: int, data: st.DataObject) -> None:
    """Whatever a relay takes from its two trees, no proof connects an old head with a log whose past it changed."""
    old = data.draw(st.integers(1, size))
    changed = list(LEAVES[:size])
    changed[data.draw(st.integers(0, old - 1))] = b"changed"
    for proof in (consistency(changed, old), consistency(LEAVES[:size], old)):
        with pytest.raises(LogRefused):
            verify_consistency(old, root_of(LEAVES[:old]), size, root_of(changed), proof)


# Heads


def test_a_head_has_one_encoding_and_one_signer() -> None:
    good = head(7)
    assert SignedHead.parse(good.encode()) == good
    assert advance(None, good, [], RELAY.public) == good
    with pytest.raises(InvalidSignature):
        advance(None, good, [], SigningKeyPair.generate(SeededRandom("other")).public)
    encoded = good.encode()
    for at in range(len(encoded)):
        altered = encoded[:at] + bytes((encoded[at] ^ 1,)) + encoded[at + 1 :]
        with pytest.raises((InvalidEncoding, InvalidSignature)):
            advance(None, SignedHead.parse(altered), [], RELAY.public)
    body = head_body(LOG_ID, 2**53, bytes(32), 1)
    with pytest.raises(InvalidEncoding):
        SignedHead.parse(RELAY.sign(body) + body)


def test_a_client_keeps_the_larger_head_once_the_proof_holds() -> None:
    five, nine = head(5), head(9)
    proof = consistency(LEAVES[:9], 5)
    assert advance(five, nine, proof, RELAY.public) is nine
    assert advance(nine, five, proof, RELAY.public) is nine
    assert advance(nine, nine, [], RELAY.public) == nine
    restored = head(2, log_id=b"N" * 32)
    assert advance(nine, restored, [], RELAY.public) is restored


def test_a10_heads_that_contradict_each_other_are_kept_as_evidence() -> None:
    known = head(5)
    forked = [*LEAVES[:2], b"another past", *LEAVES[3:]]
    same_size, grown = head(5, leaves=forked), head(9, leaves=forked)
    shrunk = head(4, at_ms=99)
    cases = [
        (same_size, []),
        (grown, consistency(forked[:9], 5)),
        (grown, consistency(LEAVES[:9], 5)),
        (shrunk, consistency(LEAVES[:5], 4)),
        (head(9), []),
    ]
    for other, proof in cases:
        with pytest.raises(LogSplit) as caught:
            advance(known, other, proof, RELAY.public)
        assert (caught.value.known, caught.value.other) == (known, other)
    with pytest.raises(LogSplit):
        compare_heads(same_size, known)
    compare_heads(known, head(9))


def test_a_manifest_is_proved_to_be_in_the_log() -> None:
    person = Person("logged", stock=0)
    signed = person.manifest.newest
    entry = leaf(LeafType.MANIFEST, person.account, 1, signed.hash)
    leaves = [*LEAVES[:4], entry, *LEAVES[4:9]]
    good = head(len(leaves), leaves=leaves)
    proof = Inclusion(good, 4, tuple(inclusion(leaves, 4)))
    verify_manifest_logged(proof, signed)
    with pytest.raises(LogRefused):
        verify_manifest_logged(proof, Person("other", stock=0).manifest.newest)
    kinds = {leaf(kind, bytes(32), 1, bytes(32)) for kind in LeafType}
    assert len(kinds) == len(LeafType)
    with pytest.raises(InvalidEncoding):
        leaf(LeafType.HANDLE, b"short", 1, bytes(32))


def test_a_handle_is_proved_to_name_an_account() -> None:
    salt, account = b"s" * 16, b"a" * 32
    entry = leaf(LeafType.HANDLE, handle_subject(salt, "anna"), 2, hashlib.sha256(account).digest())
    leaves = [*LEAVES[:2], entry, *LEAVES[2:5]]
    proof = Inclusion(head(len(leaves), leaves=leaves), 2, tuple(inclusion(leaves, 2)))
    verify_handle_logged(proof, "anna", salt, 2, account)
    wrong = [("anno", salt, 2, account), ("anna", b"x" * 16, 2, account), ("anna", salt, 1, account),
             ("anna", salt, 2, b"b" * 32)]  # fmt: skip
    for case in wrong:
        with pytest.raises(LogRefused):
            verify_handle_logged(proof, *case)


def test_an_inclusion_proof_has_one_encoding() -> None:
    for size in (1, 2, 9, 64):
        proof = Inclusion(head(size), size - 1, tuple(inclusion(LEAVES[:size], size - 1)))
        encoded = proof.encode()
        assert Inclusion.parse(encoded) == proof
        assert Inclusion.parse(encoded).encode() == encoded
        for broken in (encoded[:8], encoded[:-1], encoded + b"x", b""):
            with pytest.raises(InvalidEncoding):
                Inclusion.parse(broken)
    hashes = (bytes(32),) * (limits.MAX_PROOF_HASHES + 1)
    with pytest.raises(InvalidEncoding):
        Inclusion.parse(Inclusion(head(3), 0, hashes).encode())
    with pytest.raises(InvalidEncoding):
        Inclusion.parse(Inclusion(head(3), 0, hashes[:2]).encode()[:60])


# Gossip


def test_gossip_has_one_encoding() -> None:
    for shown in (None, head(3)):
        gossip = Gossip(7, b"o" * 32, 3, b"t" * 32, shown)
        assert Gossip.parse(gossip.encode()) == gossip
    for wrong in (b"", bytes(79), bytes(81)):
        with pytest.raises(InvalidEncoding):
            Gossip.parse(wrong)


def test_a10_a_contact_that_was_shown_another_manifest_is_heard() -> None:
    owner = Person("owner", stock=0)
    own = owner.manifest
    check_gossiped_manifest(own, 1, own.hash)
    check_gossiped_manifest(own, 0, bytes(32))
    with pytest.raises(SplitView):
        check_gossiped_manifest(own, 1, bytes(32))
    with pytest.raises(ManifestGap):
        check_gossiped_manifest(own, 2, bytes(32))


def test_a10_both_signed_manifests_are_the_evidence() -> None:
    """A stolen manager signs a second version 2 for one contact; its gossip shows it to the owner."""
    owner = Person("owner", stock=0)
    thief = LocalDevice.generate(owner.account, owner.random)
    shown = owner.next_manifest([owner.device, thief], signer=owner.device)
    real = owner.next_manifest([owner.device], signer=owner.device)
    own = verify_chain(owner.account, owner.manifest, [real])
    with pytest.raises(ManifestFork) as caught:
        check_gossiped_manifest(own, 2, shown.hash, shown)
    assert (caught.value.known, caught.value.other) == (real, shown)
    unsigned = replace(shown, signature=bytes(64))
    with pytest.raises((InvalidSignature, ManifestRefused)):
        check_gossiped_manifest(own, 2, shown.hash, unsigned)
    with pytest.raises(SplitView):
        check_gossiped_manifest(own, 2, bytes(32), shown)
    later = verify_chain(owner.account, None, [owner.manifest.newest])
    check_gossiped_manifest(later, 1, owner.manifest.hash)


# Managers


def test_a13_two_managers_at_once_one_wins_and_the_other_lands_on_top() -> None:
    owner = Person("owner", stock=0)
    second, third, fourth = (LocalDevice.generate(owner.account, owner.random) for _ in range(3))
    owner.manifest = verify_chain(
        owner.account, owner.manifest, [owner.next_manifest([owner.device, second], signer=owner.device)]
    )
    of_first = owner.next_manifest([owner.device, second, third], signer=owner.device)
    of_second = owner.next_manifest([owner.device, second, fourth], signer=second)
    owner.manifest = verify_chain(owner.account, owner.manifest, [of_first])
    with pytest.raises(ManifestFork):
        verify_chain(owner.account, owner.manifest, [of_second])
    on_top = owner.next_manifest([owner.device, second, third, fourth], signer=second)
    newest = verify_chain(owner.account, owner.manifest, [on_top])
    assert newest.version == 4
    assert {entry.device_id for entry in newest.manifest.devices} == {
        device.device_id for device in (owner.device, second, third, fourth)
    }


def test_a13_the_root_key_ousts_a_stolen_manager() -> None:
    owner = Person("owner", stock=0)
    stolen, fresh = (LocalDevice.generate(owner.account, owner.random) for _ in range(2))
    owner.manifest = verify_chain(
        owner.account, owner.manifest, [owner.next_manifest([owner.device, stolen], signer=owner.device)]
    )
    owner.manifest = verify_chain(
        owner.account, owner.manifest, [owner.next_manifest([stolen], signer=stolen)]
    )
    owner.manifest = verify_chain(owner.account, owner.manifest, [owner.next_manifest([fresh])])
    late = owner.next_manifest([stolen, fresh], signer=stolen)
    with pytest.raises(ManifestRefused):
        verify_chain(owner.account, owner.manifest, [late])
    stranger = verify_chain(owner.account, None, owner.manifest.leading_to(owner.manifest.version))
    assert [entry.device_id for entry in stranger.manifest.devices] == [fresh.device_id]
    assert len(stranger.chain) == 1
