"""account_derivations.json is what the code derives, and each output follows from the bytes that stand beside it."""

import hashlib
import json
from typing import Any

import pytest

from crypto.keys import SigningKeyPair
from crypto.primitives import ed25519_verify, hkdf_sha256
from crypto.transcript import transcript
from tests.vectors import generate_account_derivations

VECTORS: dict[str, Any] = json.loads(generate_account_derivations.FILE.read_text(encoding="utf-8"))
DERIVATIONS = {name: value for name, value in VECTORS.items() if name != "about"}


def test_the_file_is_what_its_generator_writes() -> None:
    text = generate_account_derivations.FILE.read_text(encoding="utf-8")
    assert generate_account_derivations.document() == text


@pytest.mark.parametrize("name", DERIVATIONS)
def test_each_output_follows_from_the_bytes_beside_it(name: str) -> None:
    given = DERIVATIONS[name]
    label, whole = bytes.fromhex(given["label"]), bytes.fromhex(given.get("transcript", given["label"]))
    if "fields" in given:
        assert transcript(label, *map(bytes.fromhex, given["fields"])) == whole
    for algorithm in ("sha256", "sha512"):
        if algorithm in given:
            assert hashlib.new(algorithm, whole).hexdigest() == given[algorithm]
    if "signature" in given:
        signer = SigningKeyPair.from_seed(bytes.fromhex(given["signing_seed"]))
        ed25519_verify(signer.public, whole, bytes.fromhex(given["signature"]))
    if "key" in given:
        outputs = [
            given[part] for part in ("seed", "key_id", "aes_key", "nonce", "commitment") if part in given
        ]
        salt, expected = bytes.fromhex(given.get("salt", "")), bytes.fromhex("".join(outputs))
        assert hkdf_sha256(salt, bytes.fromhex(given["key"]), whole, len(expected)) == expected
