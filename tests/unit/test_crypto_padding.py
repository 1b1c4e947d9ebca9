"""Padding: few sizes, proved zeros."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import InvalidEncoding, TooLarge
from crypto.limits import MAX_ENVELOPE_BYTES
from crypto.padding import BUCKETS, bucket_for, is_bucket, pad, padded_blob_length, padme, unpad
from crypto.root_chain import KemSchedule
from tests.ratchet_pair import start_pair


def test_the_bucket_table_is_the_documented_one() -> None:
    assert BUCKETS[:6] == (256, 512, 1_024, 1_088, 1_152, 1_216)
    assert BUCKETS[-1] == MAX_ENVELOPE_BYTES == 262_144
    assert len(BUCKETS) == 163
    assert list(BUCKETS) == sorted(set(BUCKETS))


@pytest.mark.parametrize(
    ("length", "padded"),
    [(1_025, 1_088), (2_048, 2_048), (2_049, 2_176), (65_537, 67_584), (1_000_000, 1_015_808)],
)
def test_padme_known_answers(length: int, padded: int) -> None:
    assert padme(length) == padded


@settings(max_examples=200, derandomize=True)
@given(st.integers(min_value=2, max_value=2**40))
def test_padme_wastes_at_most_twelve_percent_and_is_stable(length: int) -> None:
    padded = padme(length)
    assert length <= padded <= length * 1.12
    assert padme(padded) == padded
    assert (
        padded_blob_length(length) == padded
        if length > 1_024
        else padded_blob_length(length) in (256, 512, 1_024)
    )


@pytest.mark.parametrize("minimum", [0, 1, 255, 256, 257, 1_024, 1_025, 262_143, 262_144])
def test_bucket_for_gives_the_smallest_that_fits(minimum: int) -> None:
    bucket = bucket_for(minimum)
    assert is_bucket(bucket)
    assert bucket >= minimum
    assert all(smaller < minimum for smaller in BUCKETS if smaller < bucket)


def test_nothing_is_larger_than_an_envelope() -> None:
    with pytest.raises(TooLarge):
        bucket_for(MAX_ENVELOPE_BYTES + 1)


@settings(max_examples=100, derandomize=True)
@given(content=st.binary(max_size=300), more=st.integers(min_value=0, max_value=300))
def test_unpad_undoes_pad(content: bytes, more: int) -> None:
    padded = pad(content, len(content) + 4 + more)
    assert len(padded) == len(content) + 4 + more
    assert unpad(padded) == content


def test_content_that_does_not_fit_is_refused() -> None:
    with pytest.raises(TooLarge):
        pad(b"12345", 8)


@pytest.mark.proves("M-ENV-02")
@pytest.mark.parametrize("changed", range(9, 20))
def test_each_byte_of_the_padding_must_be_zero(changed: int) -> None:
    padded = bytearray(pad(b"12345", 20))
    padded[changed] = 1
    with pytest.raises(InvalidEncoding):
        unpad(bytes(padded))


@pytest.mark.proves("M-ENV-02")
@pytest.mark.parametrize("damaged", [b"", b"\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff" + bytes(12)])
def test_impossible_lengths_are_refused(damaged: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        unpad(damaged)


def test_c3_ratchet_envelopes_of_every_content_length_have_bucket_sizes_only() -> None:
    """With and without KEM blocks, ephemeral or not; b11: one table for both."""
    alice, _ = start_pair("sizes")
    stepping, _ = start_pair("sizes with a step", KemSchedule(root_steps=0))
    lengths = sorted(
        {0, 1, *range(100, 1_300, 7), *(bucket - 98 for bucket in BUCKETS), *(b - 97 for b in BUCKETS[:-1])}
    )
    sizes, stepping_sizes = set(), set()
    for length in lengths:
        sizes.add(len(alice.seal(bytes(length))))
        sizes.add(len(alice.seal(bytes(length), ephemeral=True)))
        if length + 98 + 1_200 <= MAX_ENVELOPE_BYTES:
            stepping_sizes.add(len(stepping.seal(bytes(length))))
    assert sizes == set(BUCKETS)
    assert stepping_sizes <= set(BUCKETS)
    with pytest.raises(TooLarge):
        alice.seal(bytes(MAX_ENVELOPE_BYTES - 97))
