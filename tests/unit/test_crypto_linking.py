"""Linking: the digits agree if and only if both see one request and one answer; late, second and swapped are refused."""

from dataclasses import replace

import pytest

from crypto.errors import InvalidEncoding, InvalidKey, InvalidSignature, LinkRefused, Undecryptable
from crypto.keys import LocalDevice
from crypto.linking import (
    Answered,
    LinkAnswer,
    LinkDesk,
    LinkOffer,
    LinkRequest,
    ScannedLink,
    begin_link,
    confirm_link,
    short_code,
)
from crypto.manifest import build_manifest, sign_manifest
from crypto.manifest_chain import verify_chain
from crypto.primitives import HpkePrivateKey, sha256
from tests.crypto_people import NOW_MS, Person, SeededRandom

LATE_MS = NOW_MS + 60_001


def offered(name: str = "new laptop") -> LinkOffer:
    return begin_link(name, SeededRandom(f"link {name}"), NOW_MS)


def answered(person: Person, offer: LinkOffer) -> tuple[LinkDesk, Answered, bytes]:
    scanned = ScannedLink.parse(offer.scanned.encode())
    return LinkDesk().answer(scanned, offer.request.encode(), person.device, person.random, NOW_MS, NOW_MS)


def test_d5_a_device_is_linked_with_equal_digits_and_a_manifest_that_holds() -> None:
    person, offer = Person("owner", stock=0), offered()
    _, shown, sealed = answered(person, offer)
    used, answer, code = offer.open_answer(sealed, NOW_MS + 1)
    assert code == shown.code
    assert len(code) == 8
    assert code.isdigit()
    entry = shown.entry(confirm_link(used, answer), NOW_MS + 2)
    entries = [*person.manifest.manifest.devices, entry]
    body = build_manifest(person.root.public, 2, person.manifest.hash, entries)
    signed = sign_manifest(body, person.device.signing, person.device.device_id)
    newest = verify_chain(person.account, person.manifest, [signed])
    device = offer.device(answer.account)
    assert newest.device(device.device_id).signing_public == device.signing.public
    assert (shown.request.name, answer.device_id) == ("new laptop", person.device.device_id)


def test_d5_a_link_is_good_for_sixty_seconds_on_both_sides() -> None:
    person, offer = Person("owner", stock=0), offered()
    _, shown, sealed = answered(person, offer)
    offer.open_answer(sealed, LATE_MS - 1)
    for now_ms in (LATE_MS, NOW_MS - 1):
        with pytest.raises(LinkRefused, match="60 seconds"):
            offer.open_answer(sealed, now_ms)
        with pytest.raises(LinkRefused, match="60 seconds"):
            LinkDesk().answer(
                offer.scanned, offer.request.encode(), person.device, person.random, NOW_MS, now_ms
            )
        with pytest.raises(LinkRefused, match="60 seconds"):
            shown.entry(bytes(64), now_ms)


def test_d5_a_link_is_good_once_on_both_sides() -> None:
    person, offer = Person("owner", stock=0), offered()
    desk, _, sealed = answered(person, offer)
    used, _, _ = offer.open_answer(sealed, NOW_MS)
    with pytest.raises(LinkRefused, match="answered before"):
        used.open_answer(sealed, NOW_MS)
    again = offer.scanned, offer.request.encode(), person.device, person.random
    with pytest.raises(LinkRefused, match="answered before"):
        desk.answer(*again, NOW_MS, NOW_MS)
    other = offered("other")
    later, _, _ = desk.answer(
        other.scanned, other.request.encode(), person.device, person.random, LATE_MS, LATE_MS
    )
    assert [each[0] for each in later.answered] == [other.scanned.request_hash]


def test_d5_a_relay_that_swaps_the_request_is_refused() -> None:
    person, offer, of_relay = Person("owner", stock=0), offered(), offered("of the relay")
    with pytest.raises(LinkRefused, match="another request"):
        LinkDesk().answer(
            offer.scanned, of_relay.request.encode(), person.device, person.random, NOW_MS, NOW_MS
        )


def test_d5_a_relay_that_answers_itself_shows_other_digits() -> None:
    person, of_relay, offer = Person("owner", stock=0), Person("relay", stock=0), offered()
    _, shown, _ = answered(person, offer)
    _, _, forged = answered(of_relay, offer)
    _, answer, code = offer.open_answer(forged, NOW_MS)
    assert answer.account == of_relay.account
    assert code != shown.code
    with pytest.raises(InvalidSignature):
        shown.entry(confirm_link(offer, answer), NOW_MS)


def test_an_answer_that_does_not_open_uses_nothing_up() -> None:
    person, offer = Person("owner", stock=0), offered()
    _, _, sealed = answered(person, offer)
    for at in (0, 500, 1_119, 1_120, len(sealed) - 1):
        with pytest.raises(Undecryptable):
            offer.open_answer(sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :], NOW_MS)
    other = replace(offer, scanned=replace(offer.scanned, mailbox_id=bytes(16)))
    with pytest.raises(Undecryptable):
        other.open_answer(sealed, NOW_MS)
    assert offer.open_answer(sealed, NOW_MS)[2]


def test_the_digits_depend_on_request_account_manager_and_nonce() -> None:
    answer = LinkAnswer(b"a" * 32, b"d" * 16, b"n" * 32)
    codes = {
        short_code(bytes(32), answer),
        short_code(bytes(31) + b"\1", answer),
        short_code(bytes(32), replace(answer, account=bytes(32))),
        short_code(bytes(32), replace(answer, device_id=bytes(16))),
        short_code(bytes(32), replace(answer, nonce=bytes(32))),
    }
    assert len(codes) == 5
    assert LinkAnswer.parse(answer.encode()) == answer
    with pytest.raises(InvalidEncoding):
        LinkAnswer.parse(answer.encode() + b"\0")


def test_each_flipped_byte_of_a_request_is_refused() -> None:
    encoded = offered().request.encode()
    for at in range(0, len(encoded), 7):
        altered = encoded[:at] + bytes((encoded[at] ^ 1,)) + encoded[at + 1 :]
        with pytest.raises((InvalidEncoding, InvalidKey, InvalidSignature)):
            LinkRequest.parse(altered)
    assert LinkRequest.parse(encoded).encode() == encoded


@pytest.mark.parametrize("name", ["", "x" * 65, "ü" * 33])
def test_a_device_name_is_bounded(name: str) -> None:
    with pytest.raises(InvalidEncoding):
        begin_link(name, SeededRandom("name"), NOW_MS)


def test_a_name_that_is_no_utf8_is_refused() -> None:
    offer = offered("abcd")
    signed = offer.request.signed_part()[:-4] + b"\xff\xfe\xfd\xfc"
    with pytest.raises(InvalidEncoding):
        LinkRequest.parse(offer.signing.sign(signed) + signed)


def test_the_code_in_the_qr_has_48_bytes() -> None:
    offer = offered()
    assert len(offer.scanned.encode()) == 48
    assert offer.scanned.request_hash == sha256(offer.request.encode())
    for wrong in (b"", bytes(47), bytes(49)):
        with pytest.raises(InvalidEncoding):
            ScannedLink.parse(wrong)


def test_the_secrets_of_a_link_are_not_shown() -> None:
    offer = offered()
    assert isinstance(offer.sealing, HpkePrivateKey)
    assert "private" not in repr(offer)
    assert "nonce" not in repr(LinkAnswer(bytes(32), bytes(16), bytes(32)))


def test_a7_a_request_with_a_key_that_must_not_be_used_is_refused() -> None:
    request, device = offered().request, SeededRandom("another device")
    signing = LocalDevice.generate(bytes(32), device).signing
    for bad in ({"identity_public": b"\xff" * 32}, {"sealing_public": b"\xff" * 1_216}):
        changed = replace(request, signing_public=signing.public, **bad)
        signed = replace(changed, signature=signing.sign(changed.signed_part()))
        with pytest.raises(InvalidKey):
            LinkRequest.parse(signed.encode())
