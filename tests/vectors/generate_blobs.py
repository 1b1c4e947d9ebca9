"""Writes blobs.json: sealed blobs with their derived keys, and damaged ones with the kind of failure.

python -m tests.vectors.generate_blobs
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from crypto import labels
from crypto.blob_cipher import BLOB_HEADER_BYTES, SEALED_SEGMENT_BYTES, ciphertext_length, seal_blob
from crypto.primitives import hkdf_sha256

PATH = Path(__file__).with_name("blobs.json")
LENGTHS = (0, 5, 256, 257, 65_536, 65_537, 150_000)


def content(length: int) -> bytes:
    """SHAKE-256 of the word content and the length in decimal."""
    return hashlib.shake_256(b"content %d" % length).digest(length)


def vector(length: int) -> dict[str, Any]:
    """One blob; whole if it is small, else by its hash and that of each segment."""
    key, salt = hashlib.sha256(b"key %d" % length).digest(), hashlib.sha256(b"salt %d" % length).digest()[:16]
    blob = b"".join(seal_blob(key, salt, length, [content(length)]))
    assert len(blob) == ciphertext_length(length)
    derived = hkdf_sha256(salt, key, labels.BLOB, 71)
    segments = [
        blob[at : at + SEALED_SEGMENT_BYTES]
        for at in range(BLOB_HEADER_BYTES, len(blob), SEALED_SEGMENT_BYTES)
    ]
    return {
        "true_length": length,
        "content_sha256": hashlib.sha256(content(length)).hexdigest(),
        "key": key.hex(),
        "salt": salt.hex(),
        "aes_key": derived[:32].hex(),
        "nonce_prefix": derived[32:39].hex(),
        "commitment": derived[39:].hex(),
        "ciphertext_bytes": len(blob),
        "ciphertext_sha256": hashlib.sha256(blob).hexdigest(),
        "segment_sha256": [hashlib.sha256(each).hexdigest() for each in segments],
        "ciphertext": blob.hex() if length < 1_000 else None,
    }


def must_fail() -> list[dict[str, Any]]:
    """Changes of the blob of 5 bytes, as (position, xor), or a cut, or another key or length."""
    return [
        {"name": "another suite", "at": 0, "xor": 3, "error": "InvalidEncoding"},
        {"name": "another salt", "at": 1, "xor": 1, "error": "Undecryptable"},
        {"name": "another commitment", "at": 48, "xor": 128, "error": "Undecryptable"},
        {"name": "first byte of the segment changed", "at": 49, "xor": 1, "error": "Undecryptable"},
        {"name": "tag changed", "at": 320, "xor": 1, "error": "Undecryptable"},
        {"name": "cut by a byte", "keep": 320, "error": "Undecryptable"},
        {"name": "cut to the header", "keep": 49, "error": "Undecryptable"},
        {"name": "one byte too many", "append": "00", "error": "Undecryptable"},
        {"name": "true length too small", "true_length": 4, "error": "Undecryptable"},
        {"name": "true length of another size", "true_length": 257, "error": "Undecryptable"},
        {"name": "another key", "key": bytes(32).hex(), "error": "Undecryptable"},
    ]


def main() -> None:
    """Write the file."""
    vectors = {
        "about": "docs/protocol.md, chapter Blob encryption; content is SHAKE-256 of 'content N', N the true length in"
        " decimal; made by tests/vectors/generate_blobs.py",
        "label": labels.BLOB.hex(),
        "blobs": [vector(length) for length in LENGTHS],
        "must_fail": must_fail(),
    }
    PATH.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
