"""Text forms are canonical: one text for one value, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.links import (
    ContactLink,
    GroupLink,
    InviteLink,
    decode_bytes,
    decode_id,
    encode_bytes,
    encode_id,
    parse_contact,
    parse_group,
    parse_invite,
)

INVITE = InviteLink("http://127.0.0.1:8080", b"k" * 32, b"s" * 16)
CONTACT = ContactLink("https://relay.example", b"a" * 32, b"t" * 16)
GROUP = GroupLink("https://relay.example", b"g" * 32, b"a" * 32, b"t" * 16, b"s" * 16)


@given(st.binary(max_size=100))
def test_base64url_reads_back(data: bytes) -> None:
    assert decode_bytes(encode_bytes(data)) == data


@given(st.binary(min_size=1, max_size=40))
def test_ids_read_back(data: bytes) -> None:
    assert decode_id(encode_id(data), len(data)) == data


@pytest.mark.proves("M-TEXT-01")
@pytest.mark.parametrize("text", ["AA==", "A", "AB", "A+", "A/", "AAA\n", " AAA", "é", "AAA="])
def test_base64url_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        decode_bytes(text)


@pytest.mark.proves("M-TEXT-01")
@pytest.mark.parametrize("text", ["", "A" * 26, "a" * 25, "1" * 26, "a" * 25 + "b", "aaaa====", "ä" * 26])
def test_an_id_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        decode_id(text, 16)


def test_links_read_back() -> None:
    assert parse_invite(str(INVITE)) == INVITE
    assert parse_invite(f"  {INVITE}\n") == INVITE
    assert parse_contact(str(CONTACT)) == CONTACT
    assert parse_group(str(GROUP)) == GROUP


@pytest.mark.parametrize(
    "link",
    [
        "",
        "hello",
        "http://127.0.0.1:8080/invite#v1.",
        str(INVITE)[:-3],
        str(INVITE) + "AAA",
        str(CONTACT),
        "ftp://x/invite#v1.AA",
    ],
)
def test_what_is_not_an_invite_says_so(link: str) -> None:
    with pytest.raises(ValueError, match=r"link|base64url"):
        parse_invite(link)


def test_links_keep_their_secrets_out_of_repr() -> None:
    assert "ssss" not in repr(INVITE)
    assert "tttt" not in repr(CONTACT)
    assert "tttt" not in repr(GROUP)
    assert "ssss" not in repr(GROUP)
