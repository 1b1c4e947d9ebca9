"""What A6 and A7 refuse, and what the primitives promise beside that; known answers are in `test_published_vectors`."""

import hashlib

import nacl.bindings as sodium
import pytest

from crypto import primitives
from crypto.errors import InvalidEncoding, InvalidKey, InvalidSignature, Undecryptable
from crypto.primitives import (
    HpkePrivateKey,
    KemPrivateKey,
    argon2id,
    ed25519_check,
    ed25519_keypair,
    ed25519_sign,
    ed25519_verify,
    hpke_check,
    hpke_open,
    hpke_seal,
    ml_kem_768_check,
    ml_kem_768_encapsulate,
    x25519,
    x25519_keypair,
)
from tests.crypto_people import SeededRandom

FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def test_hpke_opens_what_it_sealed_and_nothing_else() -> None:
    private = HpkePrivateKey(bytes(range(32)))
    sealed = hpke_seal(private.public_bytes(), b"info", b"text")
    assert len(sealed) == 1_120 + 4 + 16
    assert hpke_open(private, b"info", sealed) == b"text"
    broken = bytearray(sealed)
    broken[-1] ^= 1
    for key, info, message in (
        (private, b"other", sealed),
        (HpkePrivateKey(bytes(32)), b"info", sealed),
        (private, b"info", bytes(broken)),
        (private, b"info", sealed[:-1]),
        (private, b"info", b""),
    ):
        with pytest.raises(Undecryptable):
            hpke_open(key, info, message)


# A7


def little_endian(number: int) -> bytes:
    return number.to_bytes(32, "little")


@pytest.mark.proves("M-RATCHET-01")
@pytest.mark.parametrize("value", [FIELD_PRIME, FIELD_PRIME + 1, FIELD_PRIME + 18, 2**255 + 9, 2**256 - 1])
def test_a7_x25519_keys_that_are_not_canonical_are_refused(value: int) -> None:
    with pytest.raises(InvalidKey):
        x25519(bytes(range(32)), little_endian(value))


LOW_ORDER_X25519 = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    FIELD_PRIME - 1,
]


@pytest.mark.proves("M-RATCHET-01", "M-SHAKE-02")
@pytest.mark.parametrize("value", LOW_ORDER_X25519)
def test_a7_an_all_zero_x25519_secret_is_refused(value: int) -> None:
    with pytest.raises(InvalidKey):
        x25519(bytes(range(32)), little_endian(value))


def test_x25519_torsion_is_harmless_and_accepted() -> None:
    private, public = x25519_keypair(bytes(range(32)))
    assert len(x25519(private, public)) == 32


def scalar_of(seed: bytes) -> int:
    """The secret scalar of an Ed25519 seed (RFC 8032, 5.1.5)."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little")


def base_times(number: int) -> bytes:
    return sodium.crypto_scalarmult_ed25519_base_noclamp(little_endian(number % GROUP_ORDER))


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % GROUP_ORDER


def test_a7_a_signature_that_only_a_cofactored_check_takes_is_refused() -> None:
    seed, message = bytes(range(32)), b"message"
    _, public = ed25519_keypair(seed)
    for nonce in range(2, 12):
        honest = base_times(nonce)
        for commitment, is_good in ((honest, True), (sodium.crypto_core_ed25519_add(honest, ORDER_8), False)):
            response = (nonce + challenge(commitment, public, message) * scalar_of(seed)) % GROUP_ORDER
            signature = commitment + little_endian(response)
            if is_good:
                ed25519_verify(public, message, signature)
            else:
                with pytest.raises(InvalidSignature):
                    ed25519_verify(public, message, signature)


@pytest.mark.proves("M-SIGN-01")
def test_a7_an_ed25519_key_outside_the_prime_order_group_is_refused() -> None:
    _, public = ed25519_keypair(bytes(range(32)))
    identity = little_endian(1)
    mixed = sodium.crypto_core_ed25519_add(public, ORDER_8)
    not_canonical = little_endian(FIELD_PRIME + 3)
    for bad in (ORDER_8, identity, bytes(32), mixed, not_canonical, b"\xff" * 32):
        with pytest.raises(InvalidKey):
            ed25519_check(bad)
        with pytest.raises(InvalidKey):
            ed25519_verify(bad, b"message", bytes(64))


@pytest.mark.proves("M-SIGN-02")
def test_a7_a_signature_with_a_response_above_the_order_is_refused() -> None:
    private, public = ed25519_keypair(bytes(range(32)))
    signature = ed25519_sign(private, b"message")
    ed25519_verify(public, b"message", signature)
    raised = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(InvalidSignature):
        ed25519_verify(public, b"message", signature[:32] + little_endian(raised))


def test_a_salt_of_argon2id_has_at_least_16_bytes() -> None:
    with pytest.raises(InvalidEncoding):
        argon2id(b"passphrase", bytes(15), memory_kib=32, passes=1)
    assert len(argon2id(b"passphrase", bytes(16), memory_kib=32, passes=1)) == 32


def test_a7_an_x_wing_key_is_checked_in_both_halves() -> None:
    good = HpkePrivateKey(bytes(range(32))).public_bytes()
    hpke_check(good)
    for bad in (b"\xff" * 1_184 + good[1_184:], good[:1_184] + little_endian(FIELD_PRIME)):
        with pytest.raises(InvalidKey):
            hpke_check(bad)


@pytest.mark.parametrize("change", [-1, 1])
def test_a6_every_key_and_ciphertext_has_one_length(change: int) -> None:
    private, public = x25519_keypair(bytes(range(32)))
    _, signing = ed25519_keypair(bytes(range(32)))
    kem = KemPrivateKey(bytes(64))
    for call in (
        lambda: x25519(private, bytes(32 + change)),
        lambda: x25519_keypair(bytes(32 + change)),
        lambda: ed25519_keypair(bytes(32 + change)),
        lambda: ed25519_check(bytes(32 + change)),
        lambda: ed25519_verify(signing, b"", bytes(64 + change)),
        lambda: KemPrivateKey(bytes(64 + change)),
        lambda: kem.decapsulate(bytes(1_088 + change)),
        lambda: ml_kem_768_check(bytes(1_184 + change)),
        lambda: HpkePrivateKey(bytes(32 + change)),
        lambda: hpke_check(bytes(1_216 + change)),
    ):
        with pytest.raises(InvalidEncoding):
            call()
    assert len(public) == 32


def test_a_wrong_ml_kem_ciphertext_raises_nothing_and_gives_another_secret() -> None:
    key = KemPrivateKey(SeededRandom("kem")(64))
    secret, ciphertext = ml_kem_768_encapsulate(key.public_bytes())
    assert key.decapsulate(ciphertext) == secret
    broken = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert key.decapsulate(broken) != secret
    assert len(key.decapsulate(broken)) == 32


def test_private_keys_have_no_voice() -> None:
    seed = bytes(range(64))
    for text in (repr(KemPrivateKey(seed)), repr(HpkePrivateKey(seed[:32]))):
        assert "0x" not in text
        assert "\\x" not in text


def test_this_build_has_what_the_suite_needs() -> None:
    primitives.require_supported_build()
