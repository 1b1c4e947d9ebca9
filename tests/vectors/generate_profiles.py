"""Writes profiles.json.

python -m tests.vectors.generate_profiles
"""

import json
from pathlib import Path
from typing import Any

from crypto.errors import CryptoError
from crypto.padding import pad
from crypto.primitives import aes256gcm_seal
from crypto.profile import open_profile, seal_profile
from tests.crypto_people import Person, SeededRandom
from tests.oracle import profiles as oracle

FILE = Path(__file__).parent / "profiles.json"
LENGTHS = (0, 1, 940, 941, 2_000)


def _profiles(anna: Person, key: bytes) -> list[dict[str, Any]]:
    made = []
    for version, length in enumerate(LENGTHS, 1):
        content = SeededRandom(f"content {version}")(length)
        profile = seal_profile(content, key, anna.device, version, SeededRandom(f"profile {version}"))
        statement = open_profile(profile, key, anna.account, version)
        made.append(
            {
                "version": version,
                "salt": profile[1:33].hex(),
                "commitment": profile[33:65].hex(),
                "content": content.hex(),
                "signature": statement.signature.hex(),
                "profile": profile.hex(),
            }
        )
    return made


def _sealed_otherwise(anna: Person, key: bytes, size: int = 1_024, *, commits: bool = True) -> str:
    """Version 2, signed as it must be, and padded to a size which its content does not have, or under a commitment that is not
    the key's: the tag covers that one, so nothing but the comparison refuses it.
    """
    seed = f"padded to {size}" if commits else "another commitment"
    device, salt = anna.device, SeededRandom(seed)(32)
    aes_key, nonce, commitment = oracle.derive(key, salt, anna.account, 2)
    commitment = commitment if commits else bytes(32)
    signature = device.signing.sign(oracle.signed(anna.account, 2, device.device_id, b"x"))
    statement, head = device.device_id + signature + b"x", b"\x01" + salt + commitment
    return (head + aes256gcm_seal(aes_key, nonce, pad(statement, size), head)).hex()


def _failures(anna: Person, key: bytes, profile: bytes) -> list[dict[str, Any]]:
    """Changes to the profile of version 2, and one that a device signed which is not of the account."""
    other = Person("other")
    stranger = type(anna.device)(
        anna.account, other.device.device_id, other.device.signing, other.device.identity
    )
    foreign = seal_profile(b"x", key, stranger, 2, SeededRandom("foreign"))
    posing = type(anna.device)(
        anna.account, anna.device.device_id, other.device.signing, other.device.identity
    )
    forged = seal_profile(b"x", key, posing, 2, SeededRandom("forged"))
    cases: list[dict[str, Any]] = [
        {"name": "changed suite", "at": 0},
        {"name": "changed salt", "at": 1},
        {"name": "changed commitment", "at": 33},
        {"name": "changed ciphertext", "at": 65},
        {"name": "changed tag", "at": len(profile) - 1},
        {"name": "truncated", "keep": len(profile) - 1},
        {"name": "head alone", "keep": 65},
        {"name": "another key", "key": other.random(32).hex()},
        {"name": "another account", "account": other.account.hex()},
        {"name": "another version", "version": 1},
        {"name": "a device of nobody", "profile": foreign.hex()},
        {"name": "a signature of another", "profile": forged.hex()},
        {"name": "padded to the next size", "profile": _sealed_otherwise(anna, key, 1_088)},
        {"name": "padded like a small blob", "profile": _sealed_otherwise(anna, key, 256)},
        {"name": "sealed under another commitment", "profile": _sealed_otherwise(anna, key, commits=False)},
    ]
    for case in cases:
        changed = bytearray(bytes.fromhex(case.get("profile", profile.hex())))[: case.get("keep")]
        if "at" in case:
            changed[case["at"]] ^= 1
        opener = bytes.fromhex(case.get("key", key.hex()))
        of = bytes.fromhex(case.get("account", anna.account.hex()))
        try:
            open_profile(bytes(changed), opener, of, case.get("version", 2)).verify(anna.manifest)
        except CryptoError as error:
            case["error"] = type(error).__name__
        else:
            raise RuntimeError(f"{case['name']} opens")
    return cases


def profiles() -> dict[str, Any]:
    """Versions of one account's profile under one key."""
    anna = Person("anna")
    key = SeededRandom("profile vectors")(32)
    made = _profiles(anna, key)
    return {
        "about": "docs/protocol.md, chapter Profiles; bytes in hexadecimal; made by tests/vectors/generate_profiles.py",
        "account": anna.account.hex(),
        "key": key.hex(),
        "device": anna.device.device_id.hex(),
        "signing_seed": anna.device.signing.seed.hex(),
        "profiles": made,
        "must_fail": _failures(anna, key, bytes.fromhex(made[1]["profile"])),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(profiles(), indent=1) + "\n")
