"""HMAC and HKDF are written out here for speed: they must be what the standards and two libraries say."""

import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.primitives import hkdf_sha256, hmac_sha256, hmac_sha256_twice


def test_hmac_rfc_4231_cases_1_and_6() -> None:
    assert hmac_sha256(b"\x0b" * 20, b"Hi There").hex() == (
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    )
    assert hmac_sha256(b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First").hex() == (
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )


def test_hkdf_rfc_5869_cases_1_and_3() -> None:
    assert hkdf_sha256(bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)), 42).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hkdf_sha256(b"", b"\x0b" * 22, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@settings(max_examples=50, derandomize=True)
@given(key=st.binary(max_size=140), data=st.binary(max_size=300))
def test_hmac_agrees_with_the_standard_library(key: bytes, data: bytes) -> None:
    expected = hmac.digest(key, data, "sha256")
    assert hmac_sha256(key, data) == expected
    assert hmac_sha256_twice(key, data, b"\x02") == (expected, hmac.digest(key, b"\x02", "sha256"))


@settings(max_examples=50, derandomize=True)
@given(
    salt=st.binary(max_size=80),
    ikm=st.binary(max_size=100),
    info=st.binary(max_size=60),
    length=st.integers(min_value=1, max_value=300),
)
def test_hkdf_agrees_with_cryptography(salt: bytes, ikm: bytes, info: bytes, length: int) -> None:
    assert hkdf_sha256(salt, ikm, info, length) == HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


@pytest.mark.parametrize("length", [0, -1, 8_161])
def test_hkdf_refuses_lengths_outside_the_standard(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        hkdf_sha256(b"", b"ikm", b"", length)
