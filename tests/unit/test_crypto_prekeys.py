"""Prekeys: exact bytes, bundles that must not be used, rotation, stock and lifetimes."""

from dataclasses import replace
from itertools import permutations

import pytest

from crypto import limits
from crypto.errors import CryptoError, InvalidEncoding, InvalidKey, InvalidSignature, StaleKey, Undecryptable
from crypto.limits import DAY_MS
from crypto.local_prekeys import LocalPrekeys
from crypto.manifest import device_entry
from crypto.prekeys import (
    CLASSES,
    KEY_BYTES,
    Bundle,
    KeyClass,
    KeyKind,
    SignedKey,
    prekey_transcript,
    verify_bundle,
)
from relay.wire import prekeys as wire
from tests.crypto_people import NOW_MS, Person, SeededRandom


@pytest.fixture(scope="module")
def bob() -> Person:
    return Person("bob")


@pytest.fixture(scope="module")
def bundle(bob: Person) -> Bundle:
    return bob.relay.claim()


def check(bob: Person, bundle: Bundle, *, now_ms: int = NOW_MS, **others: object) -> object:
    entry = device_entry(bob.device, added_at_ms=NOW_MS)
    return verify_bundle(bundle, bob.account, entry, now_ms=now_ms, seen=others.get("seen", {}))  # type: ignore[arg-type]


def signed_by(bob: Person, original: SignedKey, **changes: object) -> SignedKey:
    """The key with other fields, and a good signature over them."""
    changed = replace(original, **changes)  # type: ignore[arg-type]
    fields = changed.kind, changed.key_class, changed.key_id, changed.made_at_ms, changed.key
    signature = bob.device.signing.sign(prekey_transcript(bob.account, bob.device.device_id, *fields))
    return replace(changed, signature=signature)


def test_the_relay_reads_the_same_keys(bob: Person, bundle: Bundle) -> None:
    for key in bundle.all_keys():
        theirs = wire.parse_prekey(key.encode())
        assert (theirs.kind, theirs.key_class, theirs.key_id) == (key.kind, key.key_class, key.key_id)
        assert (theirs.made_at_ms, theirs.signature, theirs.key) == (key.made_at_ms, key.signature, key.key)
        bob.device.signing.sign(theirs.signed_transcript(bob.account, bob.device.device_id))
        assert SignedKey.parse(key.encode()) == key


def test_a_good_bundle_passes_and_is_remembered(bob: Person, bundle: Bundle) -> None:
    assert set(check(bob, bundle)) == {(key.kind, key.key_class) for key in bundle.all_keys()}  # type: ignore[call-overload]
    assert check(bob, replace(bundle, one_time=None))


@pytest.mark.parametrize("data", [b"", b"\x01", bytes(77), bytes(200), b"\x05\x01" + bytes(108)])
def test_bytes_that_are_no_signed_key_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        SignedKey.parse(data)


@pytest.mark.parametrize("kind", list(KeyKind))
@pytest.mark.parametrize("key_class", list(KeyClass))
def test_a6_a_kind_has_its_classes_and_its_length_only(kind: KeyKind, key_class: KeyClass) -> None:
    head = bytes((kind, key_class)) + bytes(76)
    good = head + bytes(KEY_BYTES[kind])
    if key_class in CLASSES[kind]:
        assert SignedKey.parse(good).kind is kind
    else:
        with pytest.raises(InvalidEncoding):
            SignedKey.parse(good)
    for length in {*KEY_BYTES.values(), KEY_BYTES[kind] + 1} - {KEY_BYTES[kind]}:
        with pytest.raises(InvalidEncoding):
            SignedKey.parse(head + bytes(length))


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a6_a_key_that_was_made_up_here_is_checked_as_one_that_was_read(bob: Person, kind: KeyKind) -> None:
    """A bundle's keys are judged where they are used, however they came to be."""
    length, listed = KEY_BYTES[kind], bob.manifest.device(bob.device.device_id)
    for key_class, size in [(one, length) for one in set(KeyClass) - set(CLASSES[kind])] + [
        (next(iter(CLASSES[kind])), length + 1)
    ]:
        made_up = SignedKey(kind, key_class, 1, NOW_MS, bytes(64), bytes(size))
        with pytest.raises(InvalidEncoding, match="class or length"):
            made_up.verify(bob.account, listed)


PLACES = ["signed", "kem", "sealing", "one_time"]


@pytest.mark.parametrize(("place", "other"), list(permutations(PLACES, 2)))
def test_a6_no_key_passes_in_the_place_of_another(
    bob: Person, bundle: Bundle, place: str, other: str
) -> None:
    with pytest.raises(InvalidKey):
        check(bob, replace(bundle, **{place: getattr(bundle, other)}))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("field", ["kind", "key_class", "key_id", "made_at_ms", "signature", "key"])
def test_a5_each_field_of_each_key_is_signed(bob: Person, bundle: Bundle, place: str, field: str) -> None:
    key: SignedKey = getattr(bundle, place)
    others = {
        "kind": KeyKind(key.kind % 4 + 1),
        "key_class": KeyClass(key.key_class % 3 + 1),
        "key_id": key.key_id + 1,
        "made_at_ms": key.made_at_ms - 1,
        "signature": bytes([key.signature[0] ^ 1]) + key.signature[1:],
        "key": bytes([key.key[0] ^ 1]) + key.key[1:],
    }
    with pytest.raises(CryptoError):
        check(bob, replace(bundle, **{place: replace(key, **{field: others[field]})}))


@pytest.mark.proves("M-SHAKE-01")
def test_a5_a_bundle_without_its_ml_kem_key_is_an_error(bundle: Bundle) -> None:
    keys = bundle.all_keys()
    assert Bundle.of(reversed(keys)) == bundle
    for kind in (KeyKind.KEM, KeyKind.SIGNED, KeyKind.SEALING):
        with pytest.raises(InvalidKey):
            Bundle.of(key for key in keys if key.kind is not kind)
    with pytest.raises(InvalidKey):
        Bundle.of([*keys, bundle.kem])


def test_a5_an_ml_kem_key_of_another_device_is_an_error(bob: Person, bundle: Bundle) -> None:
    stranger = Person("mallory").relay.claim()
    for place in PLACES:
        with pytest.raises(InvalidSignature):
            check(bob, replace(bundle, **{place: getattr(stranger, place)}))


@pytest.mark.proves("M-SHAKE-01")
def test_a7_a_signed_key_that_must_not_be_used_is_refused(bob: Person, bundle: Bundle) -> None:
    for place, key in (("signed", b"\xff" * 32), ("kem", b"\xff" * 1_184), ("sealing", b"\xff" * 1_216)):
        bad = signed_by(bob, getattr(bundle, place), key=key)
        with pytest.raises(InvalidKey):
            check(bob, replace(bundle, **{place: bad}))


@pytest.mark.proves("M-SHAKE-01")
@pytest.mark.parametrize("place", ["signed", "kem", "sealing"])
def test_a11_a_key_of_45_days_is_refused(bob: Person, bundle: Bundle, place: str) -> None:
    last_resort = bob.relay.claim(one_time=False)
    made_at_ms = NOW_MS - 45 * DAY_MS
    for age_ms, is_good in ((0, True), (1, False)):
        aged = signed_by(bob, getattr(last_resort, place), made_at_ms=made_at_ms - age_ms)
        if is_good:
            check(bob, replace(last_resort, **{place: aged}))
        else:
            with pytest.raises(StaleKey):
                check(bob, replace(last_resort, **{place: aged}))


def test_one_time_keys_may_have_waited_for_long(bob: Person, bundle: Bundle) -> None:
    old = NOW_MS - 400 * DAY_MS
    kem = signed_by(bob, bundle.kem, made_at_ms=old)
    one_time = signed_by(bob, bundle.one_time, made_at_ms=old)  # type: ignore[arg-type]
    assert kem.key_class is KeyClass.ONE_TIME
    check(bob, replace(bundle, kem=kem, one_time=one_time))


@pytest.mark.parametrize("place", PLACES)
def test_a11_a_key_older_than_one_seen_is_refused(bob: Person, bundle: Bundle, place: str) -> None:
    key: SignedKey = getattr(bundle, place)
    check(bob, bundle, seen={(key.kind, key.key_class): key.made_at_ms})
    with pytest.raises(StaleKey):
        check(bob, bundle, seen={(key.kind, key.key_class): key.made_at_ms + 1})


def test_a_key_from_the_future_is_refused(bob: Person, bundle: Bundle) -> None:
    early = NOW_MS - limits.MAX_CLOCK_SKEW_MS
    check(bob, bundle, now_ms=early)
    with pytest.raises(StaleKey):
        check(bob, bundle, now_ms=early - 1)


# The own stock


def refreshed(prekeys: LocalPrekeys, now_ms: int, *, at_relay: tuple[int, int] = (0, 0)) -> LocalPrekeys:
    one_time, kem = at_relay
    random = SeededRandom(f"stock {now_ms}")
    return prekeys.refresh(one_time_at_relay=one_time, kem_at_relay=kem, now_ms=now_ms, random=random)


def count(prekeys: LocalPrekeys, kind: KeyKind, key_class: KeyClass) -> int:
    return sum(key.kind is kind and key.key_class is key_class for key in prekeys.keys)


def test_the_first_stock_is_a_hundred_of_each_and_one_of_the_rest(bob: Person) -> None:
    full = refreshed(LocalPrekeys(), NOW_MS)
    assert count(full, KeyKind.ONE_TIME, KeyClass.ONE_TIME) == 100
    assert count(full, KeyKind.KEM, KeyClass.ONE_TIME) == 100
    for kind, key_class in ((KeyKind.SIGNED, KeyClass.ROTATING), (KeyKind.SEALING, KeyClass.ROTATING)):
        assert count(full, kind, key_class) == 1
    assert count(full, KeyKind.KEM, KeyClass.LAST_RESORT) == 1
    assert refreshed(full, NOW_MS).keys == full.keys
    uploads = full.to_upload(bob.device)
    assert full.to_upload(bob.device) == uploads
    for kind in KeyKind:
        ids = [key.key_id for key in uploads if key.kind is kind]
        assert ids == sorted(set(ids))


def test_a_stock_is_filled_up_with_ids_that_only_grow(bob: Person) -> None:
    full = refreshed(LocalPrekeys(), NOW_MS)
    full = full.uploaded(full.to_upload(bob.device), now_ms=NOW_MS)
    assert full.to_upload(bob.device) == ()
    more = refreshed(full, NOW_MS + 1, at_relay=(25, 100))
    fresh = more.to_upload(bob.device)
    assert [(key.kind, key.key_id) for key in fresh] == [
        (KeyKind.ONE_TIME, number) for number in range(101, 176)
    ]


def test_a3_rotating_and_last_resort_keys_are_replaced_within_seven_days() -> None:
    prekeys = LocalPrekeys()
    newest: dict[tuple[KeyKind, KeyClass], int] = {}
    for day in range(60):
        now_ms = NOW_MS + day * DAY_MS
        prekeys = refreshed(prekeys, now_ms, at_relay=(100, 100))
        for key in prekeys.keys:
            newest[key.kind, key.key_class] = key.made_at_ms
        assert all(now_ms - made_at_ms < 7 * DAY_MS for made_at_ms in newest.values())
    assert len(newest) == 3


def test_a_predecessor_retires_when_the_relay_takes_its_successor(bob: Person) -> None:
    old = refreshed(LocalPrekeys(), NOW_MS, at_relay=(100, 100))
    old = old.uploaded(old.to_upload(bob.device), now_ms=NOW_MS)
    both = refreshed(old, NOW_MS + 7 * DAY_MS, at_relay=(100, 100))
    assert len(both.keys) == 6
    assert all(key.retired_at_ms is None for key in both.keys)
    taken_at_ms = NOW_MS + 10 * DAY_MS
    both = both.uploaded(both.to_upload(bob.device), now_ms=taken_at_ms)
    assert [key.retired_at_ms for key in both.keys] == [taken_at_ms] * 3 + [None] * 3
    last_day = taken_at_ms + 45 * DAY_MS
    assert len(both.forget_expired(caught_up_at_ms=last_day - 1).keys) == 6
    assert len(both.forget_expired(caught_up_at_ms=last_day).keys) == 3


def test_a2_after_a_restore_of_the_relay_standing_keys_go_up_again_and_one_time_keys_never(
    bob: Person,
) -> None:
    first = refreshed(LocalPrekeys(), NOW_MS)
    first = first.uploaded(first.to_upload(bob.device), now_ms=NOW_MS)
    at_backup = {kind: first.next_ids[kind - 1] - 1 for kind in KeyKind}
    later_ms = NOW_MS + 8 * DAY_MS
    second = refreshed(first, later_ms)
    second = second.uploaded(second.to_upload(bob.device), now_ms=later_ms)
    assert (
        second.lacking({kind: second.next_ids[kind - 1] - 1 for kind in KeyKind}).to_upload(bob.device) == ()
    )
    again = second.lacking(at_backup).to_upload(bob.device)
    assert {(key.kind, key.key_class) for key in again} == {
        (KeyKind.SIGNED, KeyClass.ROTATING),
        (KeyKind.KEM, KeyClass.LAST_RESORT),
        (KeyKind.SEALING, KeyClass.ROTATING),
    }
    assert len(again) == 3
    assert all(key.key_id > at_backup[key.kind] and key.made_at_ms == later_ms for key in again)


def test_a_second_successor_does_not_keep_the_first_key_longer(bob: Person) -> None:
    prekeys = LocalPrekeys()
    for week in range(3):
        now_ms = NOW_MS + week * 7 * DAY_MS
        prekeys = refreshed(prekeys, now_ms, at_relay=(100, 100))
        prekeys = prekeys.uploaded(prekeys.to_upload(bob.device), now_ms=now_ms)
    retired = [prekeys.find(KeyKind.SIGNED, key_id).retired_at_ms for key_id in (1, 2, 3)]
    assert retired == [NOW_MS + 7 * DAY_MS, NOW_MS + 14 * DAY_MS, None]


def test_a_one_time_key_lives_until_used_or_45_days_after_it_left_the_stock(bob: Person) -> None:
    stock = refreshed(LocalPrekeys(), NOW_MS, at_relay=(97, 98))
    waiting = stock.stock_seen(KeyKind.ONE_TIME, (), now_ms=NOW_MS)
    assert all(key.retired_at_ms is None for key in waiting.keys), "what was never uploaded cannot leave"
    stock = stock.uploaded(stock.to_upload(bob.device), now_ms=NOW_MS)
    stock = stock.stock_seen(KeyKind.ONE_TIME, {2, 3}, now_ms=NOW_MS + DAY_MS)
    stock = stock.stock_seen(KeyKind.ONE_TIME, {3}, now_ms=NOW_MS + 2 * DAY_MS)
    assert stock.find(KeyKind.ONE_TIME, 1).retired_at_ms == NOW_MS + DAY_MS
    assert stock.find(KeyKind.ONE_TIME, 2).retired_at_ms == NOW_MS + 2 * DAY_MS
    assert stock.find(KeyKind.ONE_TIME, 3).retired_at_ms is None
    later = stock.forget_expired(caught_up_at_ms=NOW_MS + 46 * DAY_MS)
    with pytest.raises(Undecryptable):
        later.find(KeyKind.ONE_TIME, 1)
    later.find(KeyKind.ONE_TIME, 2)
    assert later.without([(KeyKind.ONE_TIME, 2), (KeyKind.SIGNED, 1)]).find(KeyKind.SIGNED, 1)
    with pytest.raises(Undecryptable):
        later.without([(KeyKind.ONE_TIME, 2)]).find(KeyKind.ONE_TIME, 2)
    with pytest.raises(InvalidEncoding):
        stock.stock_seen(KeyKind.SEALING, (), now_ms=NOW_MS)


def test_a_clock_set_back_a_little_makes_no_older_key(bob: Person) -> None:
    prekeys = refreshed(LocalPrekeys(), NOW_MS, at_relay=(100, 99))
    earlier = refreshed(prekeys, NOW_MS - 3_600_000, at_relay=(100, 98))
    assert {key.made_at_ms for key in earlier.keys} == {NOW_MS}
    much_earlier = refreshed(prekeys, NOW_MS - 3 * DAY_MS, at_relay=(100, 98))
    assert min(key.made_at_ms for key in much_earlier.keys) == NOW_MS - 3 * DAY_MS


def test_a_device_that_was_away_for_months_keeps_its_keys_until_it_caught_up(bob: Person) -> None:
    prekeys = refreshed(LocalPrekeys(), NOW_MS, at_relay=(100, 100))
    prekeys = prekeys.uploaded(prekeys.to_upload(bob.device), now_ms=NOW_MS)
    back = NOW_MS + 200 * DAY_MS
    prekeys = refreshed(prekeys, back, at_relay=(100, 100))
    prekeys = prekeys.uploaded(prekeys.to_upload(bob.device), now_ms=back)
    prekeys = prekeys.forget_expired(caught_up_at_ms=back)
    assert prekeys.find(KeyKind.SIGNED, 1).retired_at_ms == back


def test_private_prekeys_have_no_voice() -> None:
    prekeys = refreshed(LocalPrekeys(), NOW_MS, at_relay=(99, 99))
    for key in prekeys.keys:
        assert "secret" not in repr(key)
        assert repr(key.secret.seed) not in repr(key)
