"""Blobs are the bytes of tests/vectors/blobs.json; damaged ones fail there for the reason named."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from crypto import errors, labels
from crypto.blob_cipher import ciphertext_length, open_blob, seal_blob
from crypto.primitives import hkdf_sha256

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "blobs.json").read_text())
BLOBS = VECTORS["blobs"]


@pytest.mark.parametrize("blob", BLOBS, ids=[str(blob["true_length"]) for blob in BLOBS])
def test_blob_vectors(blob: dict[str, Any]) -> None:
    length, key, salt = blob["true_length"], bytes.fromhex(blob["key"]), bytes.fromhex(blob["salt"])
    content = hashlib.shake_256(b"content %d" % length).digest(length)
    assert hashlib.sha256(content).hexdigest() == blob["content_sha256"]
    derived = hkdf_sha256(salt, key, bytes.fromhex(VECTORS["label"]), 71).hex()
    assert derived == blob["aes_key"] + blob["nonce_prefix"] + blob["commitment"]
    header, *segments = seal_blob(key, salt, length, [content])
    sealed = header + b"".join(segments)
    assert sealed[:49].hex() == "01" + blob["salt"] + blob["commitment"]
    assert [hashlib.sha256(each).hexdigest() for each in segments] == blob["segment_sha256"]
    assert hashlib.sha256(sealed).hexdigest() == blob["ciphertext_sha256"]
    assert len(sealed) == ciphertext_length(length) == blob["ciphertext_bytes"]
    if blob["ciphertext"] is not None:
        assert sealed.hex() == blob["ciphertext"]
    assert b"".join(open_blob(key, length, [sealed])) == content


@pytest.mark.parametrize("case", VECTORS["must_fail"], ids=lambda case: case["name"])
def test_blobs_that_must_fail(case: dict[str, Any]) -> None:
    small = next(blob for blob in BLOBS if blob["true_length"] == 5)
    sealed = bytearray.fromhex(small["ciphertext"])[: case.get("keep")]
    sealed += bytes.fromhex(case.get("append", ""))
    if "at" in case:
        sealed[case["at"]] ^= case["xor"]
    key = bytes.fromhex(case.get("key", small["key"]))
    with pytest.raises(errors.CryptoError) as caught:
        list(open_blob(key, case.get("true_length", 5), [bytes(sealed)]))
    assert type(caught.value).__name__ == case["error"]


def test_the_label_is_the_documented_one() -> None:
    assert bytes.fromhex(VECTORS["label"]) == labels.BLOB == b"tokenim/v1 blob\x00"
