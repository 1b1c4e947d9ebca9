"""PQXDH: both sides agree, every swapped field gives another session, and set-up values are strict."""

from dataclasses import replace

import pytest

from crypto.errors import CryptoError, InvalidEncoding, InvalidKey
from crypto.keys import LocalDevice
from crypto.local_prekeys import LocalPrekey
from crypto.pqxdh import (
    SETUP_VALUES_BYTES,
    ManifestRef,
    Party,
    SetupValues,
    initiate,
    respond,
)
from crypto.prekeys import Bundle, KeyClass, KeyKind
from crypto.primitives import KemPrivateKey
from crypto.sealed_first_message import MINIMUM_SETUP_BYTES, SetupContent
from tests.crypto_people import Person


class SetUp:
    """One set-up of alice to bob, and bob's side of it with anything swapped."""

    def __init__(self, *, one_time: bool = True) -> None:
        self.alice, self.bob = Person("alice"), Person("bob")
        self.bundle: Bundle = self.bob.relay.claim(one_time=one_time)
        self.alice_manifest = ManifestRef(1, self.alice.manifest.hash)
        self.bob_manifest = ManifestRef(1, self.bob.manifest.hash)
        self.party_a = Party.local(self.alice.device, self.alice_manifest)
        self.party_b = Party.local(self.bob.device, self.bob_manifest)
        self.values, self.secrets = initiate(
            self.alice.device,
            self.alice_manifest,
            self.party_b,
            self.bundle,
            setup_number=1,
            random=self.alice.random,
        )
        prekeys = self.bob.prekeys
        self.keys: dict[str, LocalPrekey | None] = {
            "signed": prekeys.find(KeyKind.SIGNED, self.values.signed_id),
            "kem": prekeys.find(KeyKind.KEM, self.values.kem_id),
            "one_time": None
            if self.values.one_time_id is None
            else prekeys.find(KeyKind.ONE_TIME, self.values.one_time_id),
        }

    def respond(
        self,
        values: SetupValues | None = None,
        peer: Party | None = None,
        local: LocalDevice | None = None,
        **keys: LocalPrekey | None,
    ) -> tuple[bytes, bytes, bytes, bytes]:
        used = {**self.keys, **keys}
        secrets = respond(
            local or self.bob.device,
            peer or self.party_a,
            values or self.values,
            signed=used["signed"],  # type: ignore[arg-type]
            one_time=used["one_time"],
            kem=used["kem"],  # type: ignore[arg-type]
        )
        return secrets.session_id, secrets.root_key, secrets.header_key_a, secrets.next_header_key_b

    def expected(self) -> tuple[bytes, bytes, bytes, bytes]:
        secrets = self.secrets
        return secrets.session_id, secrets.root_key, secrets.header_key_a, secrets.next_header_key_b


@pytest.fixture(scope="module")
def setup() -> SetUp:
    return SetUp()


@pytest.mark.parametrize("one_time", [True, False])
def test_both_sides_agree(one_time: bool) -> None:
    setup = SetUp(one_time=one_time)
    assert setup.respond() == setup.expected()
    assert len({*setup.expected()}) == 4
    assert setup.values.kem_class is (KeyClass.ONE_TIME if one_time else KeyClass.LAST_RESORT)


@pytest.mark.parametrize("one_time", [True, False])
def test_set_up_values_come_back_from_1266_bytes(one_time: bool) -> None:
    values = SetUp(one_time=one_time).values
    assert len(values.encode()) == SETUP_VALUES_BYTES == 1_266
    assert SetupValues.parse(values.encode()) == values


@pytest.mark.proves("M-SHAKE-03")
def test_set_up_values_are_strict(setup: SetUp) -> None:
    good = setup.values.encode()
    flag_at, class_at = 32 + 16 + 8 + 32 + 8 + 32 + 4 + 4, 32 + 16 + 8 + 32 + 8 + 32 + 4 + 4 + 5
    assert (good[flag_at], good[class_at]) == (1, KeyClass.ONE_TIME)

    def with_byte(at: int, value: int) -> bytes:
        return good[:at] + bytes([value]) + good[at + 1 :]

    for bad in (
        b"",
        good[:-1],
        good + b"\x00",
        with_byte(flag_at, 2),
        with_byte(flag_at, 0),  # an id without its flag
        with_byte(class_at, KeyClass.ROTATING),
        with_byte(class_at, 0),
    ):
        with pytest.raises(InvalidEncoding):
            SetupValues.parse(bad)


SWAPS = {
    "account_id": bytes(32),
    "device_id": bytes(16),
    "manifest": ManifestRef(1, bytes(32)),
    "peer_manifest": ManifestRef(1, bytes(32)),
    "setup_number": 2,
    "signed_id": 77,
    "one_time_id": 77,
    "kem_class": KeyClass.LAST_RESORT,
    "kem_id": 77,
    "ephemeral_public": (9).to_bytes(32, "little"),
    "kem_ciphertext": bytes(1_088),
}


@pytest.mark.parametrize("field", sorted(SWAPS))
def test_a8_each_swapped_value_fails_or_gives_another_session(setup: SetUp, field: str) -> None:
    swapped = replace(setup.values, **{field: SWAPS[field]})
    try:
        result = setup.respond(swapped)
    except CryptoError:
        return
    assert not set(result) & set(setup.expected())


def test_a8_values_that_are_swapped_on_both_ends_of_the_check_still_differ(setup: SetUp) -> None:
    """The responder believes the swapped account, device, hash or version: the session id tells."""
    for party, values in (
        (replace(setup.party_a, account_id=bytes(32)), replace(setup.values, account_id=bytes(32))),
        (replace(setup.party_a, device_id=bytes(16)), replace(setup.values, device_id=bytes(16))),
        *(
            (replace(setup.party_a, manifest=other), replace(setup.values, manifest=other))
            for other in (ManifestRef(2, setup.alice_manifest.hash), ManifestRef(1, bytes(32)))
        ),
        (setup.party_a, replace(setup.values, peer_manifest=ManifestRef(2, setup.bob_manifest.hash))),
    ):
        assert not set(setup.respond(values, party)) & set(setup.expected())


def test_a8_the_identity_keys_are_in_the_session_id(setup: SetUp) -> None:
    mallory = Person("mallory").device
    other_a = replace(setup.party_a, identity_public=mallory.identity.public)
    assert setup.respond(peer=other_a)[0] != setup.secrets.session_id
    bob = setup.bob.device
    other_b = LocalDevice(bob.account_id, bob.device_id, bob.signing, mallory.identity)
    assert setup.respond(local=other_b)[0] != setup.secrets.session_id
    for local in (
        LocalDevice(bytes(32), bob.device_id, bob.signing, bob.identity),
        LocalDevice(bob.account_id, bytes(16), bob.signing, bob.identity),
    ):
        assert setup.respond(local=local)[0] != setup.secrets.session_id


def test_a5_without_the_right_ml_kem_key_there_is_no_common_session(setup: SetUp) -> None:
    kem = setup.keys["kem"]
    assert kem is not None
    other = LocalPrekey(kem.kind, kem.key_class, kem.key_id, kem.made_at_ms, KemPrivateKey(bytes(64)))
    assert not set(setup.respond(kem=other)) & set(setup.expected())


@pytest.mark.parametrize("place", ["signed", "kem", "one_time"])
def test_a6_a_key_in_the_wrong_place_is_an_error(setup: SetUp, place: str) -> None:
    for other in ("signed", "kem", "one_time"):
        if other != place:
            with pytest.raises(InvalidKey):
                setup.respond(**{place: setup.keys[other]})


@pytest.mark.proves("M-SHAKE-08")
def test_a3_a_one_time_key_does_not_pass_for_a_last_resort_key(setup: SetUp) -> None:
    last_resort = next(key for key in setup.bob.prekeys.keys if key.key_class is KeyClass.LAST_RESORT)
    with pytest.raises(InvalidKey):
        setup.respond(kem=last_resort)
    claimed = replace(setup.values, kem_class=KeyClass.LAST_RESORT)
    with pytest.raises(InvalidKey):
        setup.respond(claimed)


def test_a_stripped_one_time_key_is_an_error(setup: SetUp) -> None:
    with pytest.raises(InvalidKey):
        setup.respond(one_time=None)
    stripped = replace(setup.values, one_time_id=None)
    with pytest.raises(InvalidKey):
        setup.respond(stripped)
    assert not set(setup.respond(stripped, one_time=None)) & set(setup.expected())


@pytest.mark.parametrize("public", [bytes(32), b"\xff" * 32, (1).to_bytes(32, "little")])
def test_a7_an_ephemeral_key_that_must_not_be_used_is_refused(setup: SetUp, public: bytes) -> None:
    with pytest.raises(InvalidKey):
        setup.respond(replace(setup.values, ephemeral_public=public))


def test_the_ephemeral_key_is_fresh(setup: SetUp) -> None:
    again, _ = initiate(
        setup.alice.device,
        setup.alice_manifest,
        setup.party_b,
        setup.bundle,
        setup_number=1,
        random=setup.alice.random,
    )
    assert again.ephemeral_public != setup.values.ephemeral_public
    assert again.kem_ciphertext != setup.values.kem_ciphertext


@pytest.mark.proves("M-SHAKE-04")
def test_set_up_content_comes_back_and_is_strict(setup: SetUp) -> None:
    manifest = setup.alice.manifest.newest
    for content in (
        SetupContent(setup.values, b"message"),
        SetupContent(setup.values, b"message", (manifest, manifest), b"proof"),
        SetupContent(setup.values, b"", (manifest,)),
    ):
        assert SetupContent.parse(content.encode()) == content
    encoded = SetupContent(setup.values, b"", (manifest,)).encode()
    for bad in (b"", encoded[:1_266], encoded[:-1], encoded[:1_266] + b"\x41" + encoded[1_267:]):
        with pytest.raises(InvalidEncoding):
            SetupContent.parse(bad)
    with pytest.raises(InvalidEncoding):
        SetupContent(setup.values, b"", (manifest,) * 65).encode()
    assert MINIMUM_SETUP_BYTES > 1_024
