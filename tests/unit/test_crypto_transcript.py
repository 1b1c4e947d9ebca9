"""Labels and the transcript encoding: no two field lists, and no two sub-protocols, share bytes."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import labels
from crypto.errors import InvalidEncoding
from crypto.transcript import parse_transcript, transcript

CRYPTO = Path(labels.__file__).parent
LABELS = {name: value for name, value in vars(labels).items() if name.isupper()}


def test_b7_no_label_is_a_prefix_of_another() -> None:
    pairs = itertools.permutations(sorted(LABELS), 2)
    assert [(first, second) for first, second in pairs if LABELS[second].startswith(LABELS[first])] == []


@pytest.mark.parametrize("name", sorted(LABELS))
def test_b7_every_label_has_the_one_form(name: str) -> None:
    assert re.fullmatch(rb"tokenim/v1 [a-z0-9 -]+\x00", LABELS[name])


@pytest.mark.parametrize("name", sorted(LABELS))
def test_b7_every_label_is_used_and_none_is_written_elsewhere(name: str) -> None:
    sources = {path.name: path.read_text() for path in CRYPTO.glob("*.py") if path.name != "labels.py"}
    assert any(re.search(rf"\b(labels\.)?{name}\b", text) for text in sources.values())
    assert not [file for file, text in sources.items() if 'b"tokenim/v1' in text]


def test_the_layout_is_label_suite_then_length_and_bytes() -> None:
    label = labels.PREKEY
    assert transcript(label, b"ab", None, b"") == label + b"\x01" + b"\x00\x00\x00\x02ab" + bytes(8)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_fields_come_back_as_they_were(fields: list[bytes]) -> None:
    encoded = transcript(labels.DEVICE, *fields)
    assert parse_transcript(labels.DEVICE, encoded, len(fields)) == tuple(fields)
    assert parse_transcript(labels.DEVICE, encoded) == tuple(fields)


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_two_field_lists_never_share_an_encoding(left: list[bytes], right: list[bytes]) -> None:
    same = transcript(labels.DEVICE, *left) == transcript(labels.DEVICE, *right)
    assert same == (left == right)


GOOD = transcript(labels.DEVICE, b"one", b"two")


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (labels.DEVICE, 0),
        (labels.DEVICE + b"\x02", 0),
        (transcript(labels.PREKEY, b"one", b"two"), 2),
        (GOOD, 1),
        (GOOD, 3),
        (GOOD[:-1], 2),
        (GOOD[:-5], 2),
        (GOOD + b"\x00", 2),
        (GOOD + b"\x00\x00\x00\x00", 2),
        (GOOD.replace(b"\x00\x00\x00\x03two", b"\xff\xff\xff\xfftwo"), 2),
    ],
    ids=[
        "empty",
        "no suite",
        "other suite",
        "other label",
        "too many",
        "too few",
        "cut field",
        "cut length",
        "trailing byte",
        "trailing field",
        "huge length",
    ],
)
def test_a_transcript_that_is_not_exact_is_refused(data: bytes, count: int) -> None:
    with pytest.raises(InvalidEncoding):
        parse_transcript(labels.DEVICE, data, count)
