"""The safety number: sixty digits, the same from both sides, another one for any other account."""

import hashlib

import pytest

from crypto.errors import InvalidEncoding
from crypto.safety_number import matches_safety_number, safety_number, spaced
from tests.crypto_people import Person


def by_hand(low: bytes, high: bytes) -> str:
    """From the protocol document, without the code under test."""
    field = (32).to_bytes(4, "big")
    digest = hashlib.sha512(b"tokenim/v1 safety number\x00\x01" + field + low + field + high).digest()
    return "".join(f"{int.from_bytes(digest[at : at + 5], 'big') % 100_000:05}" for at in range(0, 60, 5))


def test_both_sides_show_the_same_sixty_digits() -> None:
    alice, bob = Person("alice").account, Person("bob").account
    number = safety_number(alice, bob)
    assert number == safety_number(bob, alice) == by_hand(*sorted((alice, bob)))
    assert len(number) == 60
    assert number.isdigit()
    shown = spaced(number)
    assert shown.split() == [number[at : at + 5] for at in range(0, 60, 5)]
    assert matches_safety_number(alice, bob, shown + "\n")


def test_another_account_or_a_wrong_digit_does_not_match() -> None:
    alice, bob, mallory = (Person(name).account for name in ("alice", "bob", "mallory"))
    number = safety_number(alice, bob)
    assert not matches_safety_number(alice, mallory, number)
    other_digit = number[:-1] + str((int(number[-1]) + 1) % 10)
    for bad in (other_digit, number[:-1], number + "0", "", "é" * 60):
        assert not matches_safety_number(alice, bob, bad)


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33)])
def test_an_id_of_another_length_is_an_error(bad: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        safety_number(bad, bytes(32))
