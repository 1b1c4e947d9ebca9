"""What comes of a push service is opened by its receiver alone, and by no byte less than was sealed."""

import base64
import os

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import InvalidEncoding, Undecryptable
from crypto.web_push import PushReceiver


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sealed_for(receiver: PushReceiver, plain: bytes, **more: object) -> bytes:
    """By http-ece, which is not ours."""
    return http_ece.encrypt(
        plain,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=receiver.public,
        auth_secret=receiver.auth,
        version="aes128gcm",
        **more,
    )


def test_the_example_of_rfc_8291_section_5_opens():
    receiver = PushReceiver(
        int.from_bytes(decoded("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big"),
        decoded("BTBZMqHH6r4Tts7J_aSIgg"),
    )
    assert receiver.public == decoded(
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    )
    body = decoded(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert receiver.open(body) == b"When I grow up, I want to be a watermelon"


@given(plain=st.binary(min_size=1, max_size=300))
def test_what_http_ece_sealed_opens(plain):
    receiver = PushReceiver.make(os.urandom)
    assert receiver.open(sealed_for(receiver, plain)) == plain


def test_each_bit_of_it_counts():
    receiver = PushReceiver.make(os.urandom)
    sealed = sealed_for(receiver, b"t" * 16)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 0x80
        if 16 <= place < 20:
            continue  # the record size: larger says nothing, smaller is tried below
        with pytest.raises(Undecryptable):
            receiver.open(bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(Undecryptable):
            receiver.open(sealed[:length])
    with pytest.raises(Undecryptable):
        receiver.open(sealed[:16] + (18).to_bytes(4, "big") + sealed[20:])


def test_others_open_nothing_and_make_nothing():
    receiver, other = PushReceiver.make(os.urandom), PushReceiver.make(os.urandom)
    with pytest.raises(Undecryptable):
        other.open(sealed_for(receiver, b"t" * 16))
    half = PushReceiver.make(os.urandom)
    half.public = receiver.public  # who knows the key, but not the secret
    with pytest.raises(Undecryptable):
        receiver.open(sealed_for(half, b"t" * 16))


def test_more_than_one_record_is_no_wakeup():
    receiver = PushReceiver.make(os.urandom)
    with pytest.raises(Undecryptable):
        receiver.open(sealed_for(receiver, b"t" * 64, rs=40))


@pytest.mark.parametrize(("scalar", "length"), [(0, 16), (1, 15), (2**256, 16)])
def test_what_is_no_key_is_refused_and_nothing_of_one_is_shown(scalar, length):
    with pytest.raises(InvalidEncoding):
        PushReceiver(scalar, bytes(length))
    receiver = PushReceiver.make(os.urandom)
    assert repr(receiver) == "PushReceiver(…)"
