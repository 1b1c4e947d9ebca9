"""Writes sealing.json: HPKE with X-Wing step by step, and what must not open.

python -m tests.vectors.generate_sealing

Libraries take no randomness of others and tell no intermediate value: these are the oracle's. The product opens it all.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from crypto.primitives import HpkePrivateKey
from tests.crypto_people import SeededRandom
from tests.oracle import chacha20_poly1305, hpke, ml_kem, x25519

FILE = Path(__file__).with_name("sealing.json")
KEM_BYTES = 1_088
TAG_BYTES = 16


def sealings() -> list[dict[str, Any]]:
    """A text, and nothing at all, sealed to a key."""
    random, made = SeededRandom("sealing vectors"), []
    for plaintext, info in ((b"what only one may read", b"what it is for"), (b"", b"")):
        seed, encapsulation, ephemeral = random(32), random(32), random(32)
        kem_seed, private = hpke.x_wing_expand(seed)
        public = HpkePrivateKey(seed).public_bytes()
        kem_secret, kem_ciphertext = ml_kem.encapsulate(public[: ml_kem.PUBLIC_BYTES], encapsulation)
        sent = x25519.public_of(ephemeral)
        x25519_secret = x25519.agree(private, sent)
        combined = kem_secret + x25519_secret + sent + public[ml_kem.PUBLIC_BYTES :] + hpke.X_WING_LABEL
        shared = hashlib.sha3_256(combined).digest()
        key, nonce = hpke.key_and_nonce(shared, info)
        sealed = kem_ciphertext + sent + chacha20_poly1305.seal(key, nonce, plaintext, b"")
        assert hpke.seal(public, info, plaintext, encapsulation + ephemeral) == sealed
        made.append(
            {
                "seed": seed.hex(),
                "kem_seed": kem_seed.hex(),
                "x25519_private": private.hex(),
                "public": public.hex(),
                "encapsulation": encapsulation.hex(),
                "ephemeral_private": ephemeral.hex(),
                "kem_secret": kem_secret.hex(),
                "x25519_secret": x25519_secret.hex(),
                "combined": combined.hex(),
                "shared_secret": shared.hex(),
                "info": info.hex(),
                "key": key.hex(),
                "nonce": nonce.hex(),
                "plaintext": plaintext.hex(),
                "sealed": sealed.hex(),
            }
        )
    return made


def must_fail(good: dict[str, Any], other: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """What does not open with the first seed and its info; keys that nothing is sealed to."""
    sealed, public = bytes.fromhex(good["sealed"]), bytes.fromhex(good["public"])
    info, plaintext = bytes.fromhex(good["info"]), bytes.fromhex(good["plaintext"])
    draws = bytes.fromhex(good["encapsulation"] + good["ephemeral_private"])
    enc = KEM_BYTES + 32
    opened = {
        "a changed byte of the ML-KEM ciphertext": _flipped(sealed, 0),
        "a changed byte of the X25519 key": _flipped(sealed, KEM_BYTES),
        "a changed byte of what is sealed": _flipped(sealed, enc),
        "a changed tag": _flipped(sealed, len(sealed) - 1),
        "cut short": sealed[:-1],
        "a byte behind the end": sealed + b"\0",
        "no tag": sealed[: enc + TAG_BYTES - 1],
        "nothing but an encapsulation": sealed[:enc],
        "half an encapsulation": sealed[:KEM_BYTES],
        "nothing": b"",
        "an X25519 key that gives zeros": sealed[:KEM_BYTES] + bytes(32) + sealed[enc:],
        "for something else": hpke.seal(public, info + b"?", plaintext, draws),
        "with additional data": hpke.seal(public, info, plaintext, draws, b"more"),
        "to another key": bytes.fromhex(other["sealed"]),
    }
    above = b"\xff" * 32
    keys = {
        "a byte too few": (public[:-1], "InvalidEncoding"),
        "a byte too many": (public + b"\0", "InvalidEncoding"),
        "an ML-KEM half above the modulus": (b"\xff" * 3 + public[3:], "InvalidKey"),
        "the last number above the modulus": (
            public[: 384 * 3 - 3] + b"\xff" * 3 + public[384 * 3 :],
            "InvalidKey",
        ),
        "an X25519 half that is not reduced": (public[:-32] + above, "InvalidKey"),
        "an X25519 half that is the prime": (
            public[:-32] + (2**255 - 19).to_bytes(32, "little"),
            "InvalidKey",
        ),
    }
    return {
        "opening": [
            {"name": name, "sealed": bad.hex(), "error": "Undecryptable"} for name, bad in opened.items()
        ],
        "keys": [{"name": name, "public": bad.hex(), "error": kind} for name, (bad, kind) in keys.items()],
    }


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def document() -> dict[str, Any]:
    """The whole file."""
    made = sealings()
    return {
        "about": "docs/protocol.md, chapter Set-up envelope; bytes in hexadecimal; made by tests/vectors/generate_sealing.py",
        "sealings": made,
        "must_fail": must_fail(*made),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1) + "\n", encoding="utf-8")
