"""Blobs: key-committing, no segment out of place, no compression, streams of any shape (D1, D2, D4)."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import blob_cipher
from crypto.blob_cipher import (
    BLOB_HEADER_BYTES,
    SEALED_SEGMENT_BYTES,
    BlobOpener,
    ciphertext_length,
    open_blob,
    seal_blob,
    segment_count,
)
from crypto.errors import InvalidEncoding, Undecryptable
from crypto.limits import BLOB_SEGMENT_BYTES
from tests.ratchet_pair import SeededBytes

KEY, SALT = bytes(range(32)), bytes(range(16))
LENGTHS = [0, 1, 255, 256, 257, 1_024, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000]


def content_of(length: int) -> bytes:
    return SeededBytes("blob")(length)


def sealed(content: bytes, key: bytes = KEY, salt: bytes = SALT) -> bytes:
    return b"".join(seal_blob(key, salt, len(content), [content]))


def parts(blob: bytes) -> tuple[bytes, list[bytes]]:
    """(Header, sealed segments)."""
    starts = range(BLOB_HEADER_BYTES, len(blob), SEALED_SEGMENT_BYTES)
    return blob[:BLOB_HEADER_BYTES], [blob[at : at + SEALED_SEGMENT_BYTES] for at in starts]


def opened(blob: bytes, length: int, key: bytes = KEY) -> bytes:
    return b"".join(open_blob(key, length, [blob]))


@pytest.mark.parametrize("length", LENGTHS)
def test_what_was_sealed_opens_and_has_the_length_announced(length: int) -> None:
    content = content_of(length)
    blob = sealed(content)
    assert len(blob) == ciphertext_length(length)
    assert len(parts(blob)[1]) == segment_count(length)
    assert opened(blob, length) == content


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    cuts=st.lists(st.integers(min_value=0, max_value=150_000), max_size=8),
    sealed_cuts=st.lists(st.integers(min_value=0, max_value=160_000), max_size=8),
)
def test_chunks_of_any_shape_give_the_same_blob(cuts: list[int], sealed_cuts: list[int]) -> None:
    content = content_of(150_000)
    blob = b"".join(seal_blob(KEY, SALT, len(content), cut_at(content, cuts)))
    assert blob == sealed(content)
    assert b"".join(open_blob(KEY, len(content), cut_at(blob, sealed_cuts))) == content


def cut_at(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


def test_sealing_holds_one_segment_at_a_time() -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(32):
            taken += 1
            yield bytes(BLOB_SEGMENT_BYTES)

    stream = seal_blob(KEY, SALT, 32 * BLOB_SEGMENT_BYTES, source())
    next(stream)
    for index in range(16):
        next(stream)
        assert taken <= index + 2


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_segment_opens_alone(index: int) -> None:
    content = content_of(200_000)
    blob = sealed(content)
    opener = BlobOpener(KEY, len(content), blob[:BLOB_HEADER_BYTES])
    start, end = opener.sealed_range(index)
    first = index * BLOB_SEGMENT_BYTES
    assert opener.open_segment(index, blob[start:end]) == content[first : first + BLOB_SEGMENT_BYTES]


def test_d1_a_blob_opens_under_its_own_key_only() -> None:
    blob = sealed(b"picture")
    with pytest.raises(Undecryptable, match="not sealed with this key"):
        opened(blob, 7, bytes(32))
    with pytest.raises(Undecryptable):
        opened(bytes((1,)) + bytes(16) + blob[17:], 7)  # another salt


@pytest.mark.proves("M-BLOB-02")
def test_d1_the_commitment_is_checked_before_any_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob made to open under two keys (a known weakness of AES-GCM) fails at the header under one of them."""

    def never(*_: object) -> bytes:
        raise AssertionError("opened a segment")

    monkeypatch.setattr(blob_cipher, "aes256gcm_open", never)
    header, segments = parts(sealed(b"picture"))
    other, _ = parts(sealed(b"picture", key=bytes(32)))
    for damaged in (other, header[:17] + bytes(32), header[:-1] + bytes((header[-1] ^ 1,))):
        with pytest.raises(Undecryptable):
            list(open_blob(KEY, 7, [damaged, *segments]))


@pytest.mark.proves("M-BLOB-03")
def test_d2_truncated_extended_reordered_repeated_and_dropped_segments_are_refused() -> None:
    content = content_of(4 * BLOB_SEGMENT_BYTES)
    blob = sealed(content)
    header, segments = parts(blob)
    assert len(segments) == 4
    wrong = {
        "cut by a byte": blob[:-1],
        "cut by a segment": header + b"".join(segments[:-1]),
        "cut to the header": header,
        "extended by a byte": blob + b"\0",
        "extended by a segment": blob + segments[-1],
        "swapped": header + segments[1] + segments[0] + segments[2] + segments[3],
        "repeated": header + segments[0] + segments[0] + segments[2] + segments[3],
        "last one in the middle": header + segments[0] + segments[3] + segments[2] + segments[3],
        "middle one at the end": header + segments[0] + segments[1] + segments[2] + segments[2],
        "empty": b"",
    }
    for name, damaged in wrong.items():
        with pytest.raises(Undecryptable):
            pytest.fail(f"{name}: {len(opened(damaged, len(content)))} bytes came out")
    assert opened(blob, len(content)) == content


def test_d2_a_shorter_true_length_does_not_make_an_inner_segment_the_last() -> None:
    content = content_of(4 * BLOB_SEGMENT_BYTES)
    header, segments = parts(sealed(content))
    for kept in (1, 2, 3):
        with pytest.raises(Undecryptable):
            list(open_blob(KEY, kept * BLOB_SEGMENT_BYTES, [header, *segments[:kept]]))


def test_d2_segments_of_another_blob_are_refused() -> None:
    first, second = content_of(3 * BLOB_SEGMENT_BYTES), bytes(3 * BLOB_SEGMENT_BYTES)
    header, segments = parts(sealed(first))
    _, same_key_other_salt = parts(sealed(second, salt=bytes(16)))
    _, other_key = parts(sealed(second, key=bytes(32)))
    for foreign in (same_key_other_salt, other_key):
        with pytest.raises(Undecryptable):
            list(open_blob(KEY, len(first), [header, segments[0], foreign[1], segments[2]]))


def test_every_changed_byte_of_a_small_blob_is_noticed() -> None:
    blob = sealed(b"x" * 100)
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 1
        with pytest.raises((Undecryptable, InvalidEncoding)):
            opened(bytes(damaged), 100)


@pytest.mark.proves("M-BLOB-03")
def test_the_padding_must_be_zeros_and_the_true_length_must_fit() -> None:
    blob = sealed(b"a" * 256)
    with pytest.raises(Undecryptable, match="padding"):
        opened(blob, 200)
    with pytest.raises(Undecryptable):
        opened(blob, 257)
    with pytest.raises(InvalidEncoding):
        BlobOpener(KEY, -1, blob[:BLOB_HEADER_BYTES])


@pytest.mark.proves("M-ENV-03")
def test_d4_equal_and_repetitive_contents_are_neither_compressed_nor_recognisable() -> None:
    noise, zeros = content_of(100_000), bytes(100_000)
    assert len(sealed(noise)) == len(sealed(zeros))
    assert sealed(noise)[BLOB_HEADER_BYTES:] != sealed(noise, salt=bytes(16))[BLOB_HEADER_BYTES:]
    assert not set(parts(sealed(zeros))[1]) & set(parts(sealed(zeros, key=bytes(32)))[1])


@pytest.mark.parametrize(("announced", "given"), [(10, 9), (10, 11), (0, 1), (70_000, 65_536)])
def test_content_of_another_length_than_announced_is_refused(announced: int, given: int) -> None:
    with pytest.raises(InvalidEncoding):
        list(seal_blob(KEY, SALT, announced, [bytes(given)]))


@pytest.mark.parametrize(("key", "salt"), [(bytes(31), SALT), (KEY, bytes(15)), (b"", b"")])
def test_keys_and_salts_of_another_size_are_refused(key: bytes, salt: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        list(seal_blob(key, salt, 1, [b"x"]))


def test_segments_that_do_not_exist_are_refused() -> None:
    blob = sealed(b"x")
    opener = BlobOpener(KEY, 1, blob[:BLOB_HEADER_BYTES])
    for index in (-1, 1, 2**32):
        with pytest.raises(Undecryptable):
            opener.open_segment(index, blob[BLOB_HEADER_BYTES:])


def test_blob_sizes_follow_the_bucket_rule() -> None:
    assert ciphertext_length(0) == ciphertext_length(256) == BLOB_HEADER_BYTES + 256 + 16
    assert ciphertext_length(1_000_000) == BLOB_HEADER_BYTES + 1_015_808 + 16 * 16
    with pytest.raises(InvalidEncoding):
        ciphertext_length(2**49)
