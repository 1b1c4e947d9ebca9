"""A profile opens under its key, for its account, as its version, and is signed by a device; the vectors say so byte by byte."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto import errors, limits
from crypto.profile import open_profile, seal_profile
from relay.wire.limits import MAX_PROFILE_BYTES
from tests.crypto_people import Person, SeededRandom

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "profiles.json").read_text())
ANNA = Person("anna")
KEY = bytes.fromhex(VECTORS["key"])
SMALL = VECTORS["profiles"][1]["profile"]


@pytest.mark.parametrize("part", VECTORS["profiles"], ids=lambda part: str(len(part["content"]) // 2))
def test_profile_vectors(part: dict[str, Any]) -> None:
    content, salt, version = bytes.fromhex(part["content"]), bytes.fromhex(part["salt"]), part["version"]
    profile = seal_profile(content, KEY, ANNA.device, version, lambda _: salt)
    assert profile.hex() == part["profile"]
    opened = open_profile(profile, KEY, ANNA.account, version)
    opened.verify(ANNA.manifest)
    assert (opened.content, opened.device, opened.signature.hex()) == (
        content,
        ANNA.device.device_id,
        part["signature"],
    )


@pytest.mark.proves("M-PROF-01", "M-PROF-04")
@pytest.mark.parametrize("case", VECTORS["must_fail"], ids=lambda case: case["name"])
def test_profiles_that_must_fail(case: dict[str, Any]) -> None:
    changed = bytearray(bytes.fromhex(case.get("profile", SMALL)))[: case.get("keep")]
    if "at" in case:
        changed[case["at"]] ^= 1
    key = bytes.fromhex(case.get("key", VECTORS["key"]))
    account = bytes.fromhex(case.get("account", VECTORS["account"]))
    with pytest.raises(errors.CryptoError) as caught:
        open_profile(bytes(changed), key, account, case.get("version", 2)).verify(ANNA.manifest)
    assert type(caught.value).__name__ == case["error"]


@pytest.mark.proves("M-PROF-02")
def test_who_has_the_key_alone_cannot_make_a_profile_of_its_owner() -> None:
    mallory = Person("mallory")
    posing = type(mallory.device)(
        ANNA.account, ANNA.device.device_id, mallory.device.signing, mallory.device.identity
    )
    forged = seal_profile(b"not of anna", KEY, posing, 9, SeededRandom("forged"))
    with pytest.raises(errors.InvalidSignature):
        open_profile(forged, KEY, ANNA.account, 9).verify(ANNA.manifest)
    with pytest.raises(errors.InvalidEncoding):
        replace(open_profile(bytes.fromhex(SMALL), KEY, ANNA.account, 2), account=mallory.account).verify(
            ANNA.manifest
        )


def test_lengths_of_names_do_not_show_and_the_largest_fits_the_relay() -> None:
    random = SeededRandom("sizes")
    assert (
        len({len(seal_profile(bytes(size), KEY, ANNA.device, 1, random)) for size in range(0, 941, 20)}) == 1
    )
    largest = seal_profile(bytes(limits.MAX_PROFILE_CONTENT_BYTES), KEY, ANNA.device, 1, random)
    assert len(largest) <= MAX_PROFILE_BYTES
    with pytest.raises(errors.TooLarge):
        seal_profile(bytes(limits.MAX_PROFILE_CONTENT_BYTES + 1), KEY, ANNA.device, 1, random)
