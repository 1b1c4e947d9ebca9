"""Manifests: exact bytes, who may sign what, rollback, fork, gaps, and keys that another device has."""

from dataclasses import replace

import pytest

from crypto.errors import (
    CryptoError,
    InvalidEncoding,
    InvalidKey,
    InvalidSignature,
    ManifestFork,
    ManifestGap,
    ManifestRefused,
    ManifestRollback,
    UnknownDevice,
)
from crypto.keys import (
    IdentityKeyPair,
    LocalDevice,
    RootKeyPair,
    account_id,
    id_text,
    parse_id_text,
)
from crypto.manifest import (
    DEVICE_ENTRY_BYTES,
    DeviceEntry,
    SignedManifest,
    build_manifest,
    device_entry,
    parse_manifest,
    sign_manifest,
)
from crypto.manifest_chain import VerifiedManifest, verify_chain
from relay.wire import manifests as wire
from tests.crypto_people import NOW_MS, SeededRandom


class House:
    """An account with a root key and three devices; `manifest` lists some of them."""

    def __init__(self) -> None:
        self.random = SeededRandom("manifest tests")
        self.root = RootKeyPair.generate(self.random)
        self.account = account_id(self.root.public)
        self.first, self.second, self.third = (
            LocalDevice.generate(self.account, self.random) for _ in range(3)
        )

    def signed(
        self,
        version: int,
        previous: SignedManifest | None,
        devices: list[tuple[LocalDevice, bool]],
        signer: LocalDevice | None = None,
    ) -> SignedManifest:
        """A manifest of (device, is manager); signed by the root key without a signer."""
        entries = [device_entry(device, added_at_ms=NOW_MS, manager=manager) for device, manager in devices]
        body = build_manifest(self.root.public, version, None if previous is None else previous.hash, entries)
        if signer is None:
            return sign_manifest(body, self.root)
        return sign_manifest(body, signer.signing, signer.device_id)

    def verify(self, known: VerifiedManifest | None, *chain: SignedManifest) -> VerifiedManifest:
        return verify_chain(self.account, known, chain)


@pytest.fixture
def house() -> House:
    return House()


def test_the_relay_reads_the_same_manifest(house: House) -> None:
    signed = house.signed(1, None, [(house.first, True), (house.second, False)])
    ours, theirs = signed.manifest, wire.parse_manifest(signed.body)
    assert (theirs.account_id, theirs.version, theirs.hash) == (ours.account_id, ours.version, signed.hash)
    for mine, other in zip(ours.devices, theirs.devices, strict=True):
        assert (mine.device_id, mine.signing_public, mine.identity_public) == (
            other.device_id,
            other.signing_key,
            other.identity_key,
        )
        assert (mine.manager, mine.signature) == (other.is_manager, other.signature)


def test_an_entry_has_153_bytes_and_comes_back(house: House) -> None:
    entry = device_entry(house.first, added_at_ms=NOW_MS, manager=True, archive=True)
    assert len(entry.encode()) == DEVICE_ENTRY_BYTES == 153
    assert DeviceEntry.parse(entry.encode()) == entry
    assert entry.encode()[80] == 5


def test_ids_have_one_text_form(house: House) -> None:
    text = id_text(house.account)
    assert len(text) == 52
    assert parse_id_text(text, 32) == house.account
    for bad in (text.upper(), text[:-1], text + "a", text + "=", "0" * 52, "b" * 51 + "b", ""):
        with pytest.raises(InvalidEncoding):
            parse_id_text(bad, 32)


def test_a_signed_manifest_comes_back_and_nothing_else_parses(house: House) -> None:
    by_root = house.signed(1, None, [(house.first, True)])
    by_device = house.signed(2, by_root, [(house.first, True)], house.first)
    for signed in (by_root, by_device):
        assert SignedManifest.parse(signed.encode()) == signed
    encoded = by_device.encode()
    for bad in (b"", b"\x02" + encoded[1:], encoded[:-1], encoded + b"\x00", b"\x00" + encoded[1:]):
        with pytest.raises(InvalidEncoding):
            SignedManifest.parse(bad)


def fields(house: House, count: int = 1) -> list[bytes]:
    devices = [LocalDevice.generate(house.account, house.random) for _ in range(count)]
    return sorted(device_entry(device, added_at_ms=0).encode() for device in devices)


def body_of(house: House, *parts: bytes) -> bytes:
    start = b"tokenim/v1 manifest\x00\x01"
    return start + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@pytest.mark.proves("M-IDENT-07")
def test_a_manifest_body_is_strict(house: House) -> None:
    root, one, zero = house.root.public, (1).to_bytes(8, "big"), bytes(8)
    two, previous = (2).to_bytes(8, "big"), bytes(32)
    entries = fields(house, 17)
    good = body_of(house, root, one, b"", entries[0])
    assert parse_manifest(good).version == 1
    assert parse_manifest(body_of(house, root, two, previous, *entries[:16])).version == 2
    unknown_flag = entries[0][:80] + b"\x08" + entries[0][81:]
    late, latest = (entries[0][:81] + ms.to_bytes(8, "big") + entries[0][89:] for ms in (2**53, 2**53 - 1))
    assert parse_manifest(body_of(house, root, one, b"", latest)).devices[0].added_at_ms == 2**53 - 1
    for bad in (
        b"",
        good[:-1],
        good + b"\x00",
        good.replace(b"manifest", b"manifesu"),
        good.replace(b"\x00\x01", b"\x00\x02", 1),
        body_of(house, root, one, b""),
        body_of(house, root[:-1], one, b"", entries[0]),
        body_of(house, root, zero, b"", entries[0]),
        body_of(house, root, one[:-1], b"", entries[0]),
        body_of(house, root, (2**53).to_bytes(8, "big"), previous, entries[0]),
        body_of(house, root, one, previous, entries[0]),
        body_of(house, root, two, b"", entries[0]),
        body_of(house, root, two, previous[:-1], entries[0]),
        body_of(house, root, one, b"", entries[0][:-1]),
        body_of(house, root, one, b"", unknown_flag),
        body_of(house, root, one, b"", late),
        body_of(house, root, one, b"", entries[1], entries[0]),
        body_of(house, root, one, b"", entries[0], entries[0]),
        body_of(house, root, one, b"", *entries),
    ):
        with pytest.raises(InvalidEncoding):
            parse_manifest(bad)


def test_a_chain_is_walked_from_the_root_and_on(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    two = house.signed(2, one, [(house.first, True), (house.second, False)], house.first)
    known = house.verify(None, one)
    assert house.verify(known, two).manifest.version == 2
    assert house.verify(None, one, two).hash == two.hash
    assert house.verify(known, one, two).device(house.second.device_id).manager is False
    with pytest.raises(UnknownDevice):
        house.verify(None, one, two).device(house.third.device_id)


@pytest.mark.proves("M-IDENT-04")
def test_only_the_root_key_of_the_account_counts(house: House) -> None:
    other = RootKeyPair.generate(house.random)
    entry = device_entry(house.first, added_at_ms=NOW_MS)
    foreign = sign_manifest(build_manifest(house.root.public, 1, None, [entry]), other)
    with pytest.raises(InvalidSignature):
        house.verify(None, foreign)
    body = build_manifest(
        other.public, 1, None, [device_entry(replace_account(house.first, other), added_at_ms=0)]
    )
    with pytest.raises(ManifestRefused):
        house.verify(None, sign_manifest(body, other))


def replace_account(device: LocalDevice, root: RootKeyPair) -> LocalDevice:
    return LocalDevice(account_id(root.public), device.device_id, device.signing, device.identity)


def test_first_contact_starts_at_a_root_signed_manifest(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    recovery = house.signed(3, two, [(house.third, True)])
    with pytest.raises(ManifestRefused):
        house.verify(None, two)
    assert house.verify(None, recovery).version == 3
    assert house.verify(None, one, two, recovery).leading_to(2) == (one, two, recovery)
    assert house.verify(None, one, two, recovery).leading_to(3) == (recovery,)
    assert house.verify(None, one, two, recovery).since(2) == (recovery,)


@pytest.mark.proves("M-IDENT-04")
def test_a13_a_manager_removed_in_version_n_cannot_sign_n_plus_1(house: House) -> None:
    one = house.signed(1, None, [(house.first, True), (house.second, True)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    three = house.signed(3, two, [(house.first, True), (house.second, True)], house.second)
    known = house.verify(None, one, two)
    with pytest.raises(ManifestRefused):
        house.verify(known, three)


def test_a13_a_removed_manager_who_forks_version_n_is_shown_with_both(house: House) -> None:
    one = house.signed(1, None, [(house.first, True), (house.second, True)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    forked = house.signed(2, one, [(house.second, True)], house.second)
    known = house.verify(None, one, two)
    with pytest.raises(ManifestFork) as caught:
        house.verify(known, forked)
    assert (caught.value.known, caught.value.other) == (two, forked)


def test_a_forged_fork_raises_no_alarm(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    known = house.verify(None, one, two)
    forged = house.signed(2, one, [(house.third, True)], house.third)
    broken = replace(house.signed(2, one, [(house.third, True)], house.first), signature=bytes(64))
    for bad in (forged, broken):
        with pytest.raises(CryptoError) as caught:
            house.verify(known, bad)
        assert not isinstance(caught.value, ManifestFork)


def test_a13_two_managers_at_once_the_other_lands_on_top(house: House) -> None:
    one = house.signed(1, None, [(house.first, True), (house.second, True)])
    winner = house.signed(
        2, one, [(house.first, True), (house.second, True), (house.third, False)], house.first
    )
    on_top = house.signed(3, winner, [(house.first, True), (house.second, True)], house.second)
    assert house.verify(None, one, winner, on_top).version == 3


def test_a13_the_root_key_ousts_a_stolen_manager(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    stolen = house.signed(2, one, [(house.second, True)], house.first)
    ousted = house.signed(3, stolen, [(house.third, True)])
    known = house.verify(None, one, stolen, ousted)
    assert [entry.device_id for entry in known.manifest.devices] == [house.third.device_id]


def test_a_device_that_is_no_manager_cannot_sign(house: House) -> None:
    one = house.signed(1, None, [(house.first, True), (house.second, False)])
    two = house.signed(2, one, [(house.second, True)], house.second)
    with pytest.raises(ManifestRefused):
        house.verify(None, one, two)


def test_a_new_manager_cannot_sign_the_manifest_that_adds_it(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    two = house.signed(2, one, [(house.first, True), (house.second, True)], house.second)
    with pytest.raises(ManifestRefused):
        house.verify(None, one, two)


def test_a_rollback_is_an_error_of_its_own(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    known = house.verify(None, one, two)
    with pytest.raises(ManifestRollback):
        house.verify(known, one)
    assert house.verify(known, two) == known


def test_missing_versions_are_asked_for(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    three = house.signed(3, two, [(house.first, True)], house.first)
    with pytest.raises(ManifestGap) as caught:
        house.verify(house.verify(None, one), three)
    assert caught.value.known_version == 1
    with pytest.raises(ManifestRefused):
        house.verify(None)


def test_a_manifest_that_follows_another_one_is_refused(house: House) -> None:
    one = house.signed(1, None, [(house.first, True)])
    stranger = house.signed(1, None, [(house.first, True), (house.second, False)])
    two = house.signed(2, stranger, [(house.first, True)], house.first)
    with pytest.raises(ManifestRefused):
        house.verify(None, one, two)


@pytest.mark.proves("M-IDENT-02")
def test_a9_no_key_stands_twice_in_a_manifest(house: House) -> None:
    borrowed_signing = LocalDevice(
        house.account, bytes(16), house.first.signing, IdentityKeyPair.generate(house.random)
    )
    borrowed_identity = LocalDevice(house.account, bytes(16), house.third.signing, house.first.identity)
    root_as_device = LocalDevice(house.account, bytes(16), house.root, house.third.identity)  # type: ignore[arg-type]
    for device in (borrowed_signing, borrowed_identity, root_as_device):
        with pytest.raises(ManifestRefused):
            house.signed(1, None, [(house.first, True), (device, False)])


@pytest.mark.proves("M-IDENT-03")
def test_a9_a_key_of_another_or_removed_device_is_refused_along_the_chain(house: House) -> None:
    one = house.signed(1, None, [(house.first, True), (house.second, False)])
    two = house.signed(2, one, [(house.first, True)], house.first)
    borrowed = LocalDevice(house.account, bytes(16), house.second.signing, house.third.identity)
    changed = LocalDevice(house.account, house.first.device_id, house.third.signing, house.third.identity)
    for bad in ([(house.first, True), (borrowed, False)], [(changed, True)]):
        with pytest.raises(ManifestRefused):
            house.verify(None, one, two, house.signed(3, two, bad, house.first))


def test_a7_a_device_with_a_bad_key_is_refused(house: House) -> None:
    entry = device_entry(house.first, added_at_ms=NOW_MS)
    for bad in (replace(entry, identity_public=b"\xff" * 32), replace(entry, signing_public=bytes(32))):
        with pytest.raises(InvalidKey):
            build_manifest(house.root.public, 1, None, [bad])


@pytest.mark.parametrize("version", [1, 2])
def test_a9_a_device_that_did_not_sign_its_keys_for_this_account_is_in_no_manifest(
    house: House, version: int
) -> None:
    """Who lists keys of somebody else's device does not have its signature over this account."""
    one = house.signed(1, None, [(house.first, True)])
    before, signer = (None, None) if version == 1 else (one, house.first)
    theirs = LocalDevice(house.account, house.second.device_id, house.second.signing, house.second.identity)
    honest = house.signed(version, before, [(house.first, True), (theirs, False)], signer)
    by_them = device_entry(theirs, added_at_ms=NOW_MS).signature
    elsewhere = replace(theirs, account_id=bytes(32))
    body = honest.body.replace(by_them, device_entry(elsewhere, added_at_ms=NOW_MS).signature)
    assert body != honest.body
    key = house.root if signer is None else house.first.signing
    listed = sign_manifest(body, key, b"" if signer is None else signer.device_id)
    known = None if version == 1 else house.verify(None, one)
    house.verify(known, honest)
    with pytest.raises(InvalidSignature):
        house.verify(known, listed)


def test_every_field_of_an_entry_that_it_signed_is_covered(house: House) -> None:
    entry = device_entry(house.first, added_at_ms=NOW_MS)
    entry.verify(house.account)
    others = replace(entry, device_id=bytes(16)), replace(entry, identity_public=house.second.identity.public)
    for changed in (*others, replace(entry, signing_public=house.second.signing.public)):
        with pytest.raises(InvalidSignature):
            changed.verify(house.account)
    with pytest.raises(InvalidSignature):
        entry.verify(bytes(32))


def test_no_flipped_byte_of_a_manifest_verifies(house: House) -> None:
    signed = house.signed(1, None, [(house.first, True)])
    known = house.verify(None, signed)
    encoded = signed.encode()
    for at in range(len(encoded)):
        broken = bytearray(encoded)
        broken[at] ^= 1
        with pytest.raises(CryptoError):
            house.verify(None, SignedManifest.parse(bytes(broken)))
    assert known.manifest.version == 1


def test_signing_as_nobody_is_an_error(house: House) -> None:
    body = house.signed(1, None, [(house.first, True)]).body
    for key, signer in (
        (house.root, house.first.device_id),
        (house.first.signing, b""),
        (house.first.signing, b"short"),
    ):
        with pytest.raises(InvalidEncoding):
            sign_manifest(body, key, signer)
