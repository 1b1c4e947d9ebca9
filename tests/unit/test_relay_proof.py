"""Proofs: the Authorization header, strict Ed25519, and the dummy verification."""

import pytest
from nacl.signing import SigningKey

from relay.session import proof
from relay.session.proof import (
    NOBODY,
    RequestProof,
    check_time,
    is_ed25519_key,
    is_x25519_key,
    parse_authorization,
    verify_as,
    verify_signature,
)
from relay.wire.errors import Unauthenticated

GOOD = (
    f'TokenIM-Ed25519 device="{"a" * 25}a", time="1700000000000", nonce="{"A" * 22}", signature="{"A" * 86}"'
)
ORDER = 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def test_a_header_is_read():
    assert parse_authorization(GOOD) == RequestProof(bytes(16), 1_700_000_000_000, bytes(16), bytes(64))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer abc",
        GOOD + " ",
        GOOD.replace('", time', '",time'),
        GOOD.replace("TokenIM-Ed25519", "tokenim-ed25519"),
        GOOD.replace('device="a', 'device="A'),
        GOOD.replace('device="' + "a" * 26, 'device="' + "a" * 25 + "b"),
        GOOD.replace("1700000000000", "-1"),
        GOOD.replace("1700000000000", "1" * 17),
        GOOD.replace("1700000000000", "\u0661"),
        GOOD.replace('nonce="' + "A" * 22, 'nonce="' + "A" * 21 + "B"),
        GOOD.replace("signature", "sig"),
        GOOD + ', extra="1"',
    ],
)
def test_a_header_of_any_other_form_is_refused(header: str):
    with pytest.raises(Unauthenticated):
        parse_authorization(header)


def test_the_time_may_be_90_seconds_away():
    check_time(100_000, 190_000)
    check_time(190_000, 100_000)
    for now_ms in (190_001, 9_999):
        with pytest.raises(Unauthenticated):
            check_time(100_000, now_ms)


def test_a_signature_covers_its_message_only():
    key = SigningKey(b"\x07" * 32)
    signature = key.sign(b"message").signature
    verify_signature(bytes(key.verify_key), b"message", signature)
    for wrong in (b"messagf", b"", b"message\x00"):
        with pytest.raises(Unauthenticated):
            verify_signature(bytes(key.verify_key), wrong, signature)
    for position in range(64):
        flipped = bytearray(signature)
        flipped[position] ^= 1
        with pytest.raises(Unauthenticated):
            verify_signature(bytes(key.verify_key), b"message", bytes(flipped))


def test_a7_a_signature_with_s_above_the_order_is_refused():
    key = SigningKey(b"\x07" * 32)
    signature = key.sign(b"message").signature
    larger = int.from_bytes(signature[32:], "little") + ORDER
    with pytest.raises(Unauthenticated):
        verify_signature(bytes(key.verify_key), b"message", signature[:32] + larger.to_bytes(32, "little"))


@pytest.mark.parametrize("key", SMALL_ORDER, ids=lambda key: key.hex()[:8])
def test_a7_ed25519_keys_outside_the_prime_order_group_are_no_keys(key: bytes):
    assert not is_ed25519_key(key)
    with pytest.raises(Unauthenticated):
        verify_signature(key, b"message", b"\x01" + bytes(63))


def test_a7_x25519_keys_are_canonical_and_not_zero():
    prime = 2**255 - 19
    good = [9, 1, prime - 1]
    bad = [0, prime, prime + 1, 2**255, 2**255 + 9, 2**256 - 1]
    assert [is_x25519_key(number.to_bytes(32, "little")) for number in good] == [True] * 3
    assert [is_x25519_key(number.to_bytes(32, "little")) for number in bad] == [False] * 6
    assert not is_x25519_key(bytes(31))


def test_c5_an_unknown_device_costs_one_verification_like_a_known_one(monkeypatch: pytest.MonkeyPatch):
    keys: list[bytes] = []
    verify = verify_signature
    monkeypatch.setattr(
        proof, "verify_signature", lambda key, *rest: (keys.append(key), verify(key, *rest))[1]
    )
    known = bytes(SigningKey(b"\x07" * 32).verify_key)
    for key in (known, None):
        with pytest.raises(Unauthenticated):
            verify_as(key, b"message", bytes(64))
    assert keys == [known, NOBODY]


def test_the_stand_in_key_opens_nothing_though_its_private_key_is_known():
    signature = SigningKey(bytes(32)).sign(b"message").signature
    verify_signature(NOBODY, b"message", signature)
    with pytest.raises(Unauthenticated):
        verify_as(None, b"message", signature)
