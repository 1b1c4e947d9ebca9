"""Writes ratchet_derivations.json: each derivation of the ratchet alone, from fixed seeds.

python -m tests.vectors.generate_ratchet_derivations
"""

import json
from pathlib import Path
from typing import Any

from crypto import labels
from crypto.chains import body_key, chain_step, derive_ephemeral_key
from crypto.headers import derive_header_key, seal_header
from crypto.padding import BUCKETS
from crypto.primitives import KemPrivateKey
from crypto.ratchet_state import AssociatedData
from crypto.root_chain import root_step
from crypto.transcript import transcript
from tests.vectors.generate_ratchet import RecordedBytes, keys_of

PATH = Path(__file__).with_name("ratchet_derivations.json")


def derivations() -> dict[str, Any]:
    """Each derivation alone."""
    random = RecordedBytes(b"tokenim ratchet vectors: derivations")
    raw, chain_key, root_key, dh, secret, message_key = (random(32) for _ in range(6))
    message, following = chain_step(chain_key)
    aes_key, nonce = body_key(message_key)
    plain, mixed = root_step(root_key, dh, b""), root_step(root_key, dh, secret)
    sealing = derive_header_key(raw)
    header_nonce, ratchet_public = random(12), random(32)
    fields = [random(32), random(32), random(16), random(32), random(16)]
    seed = random(64)
    return {
        "about": "docs/protocol.md, chapters Envelopes and padding, Ratchet, Ephemeral messages; bytes in hexadecimal;"
        " made by tests/vectors/generate_ratchet_derivations.py",
        "labels": {
            name: getattr(labels, name).hex()
            for name in (
                "ROOT_STEP",
                "ROOT_STEP_KEM",
                "HEADER_KEYS",
                "MESSAGE_KEYS",
                "EPHEMERAL_KEY",
                "MESSAGE",
            )
        },
        "header_keys": {"header_key": raw.hex()} | keys_of(sealing),
        "chain_step": {"chain_key": chain_key.hex(), "message_key": message.hex(), "next": following.hex()},
        "body_key": {"message_key": message_key.hex(), "key": aes_key.hex(), "nonce": nonce.hex()},
        "ephemeral_key": {"first_chain_key": chain_key.hex(), "key": derive_ephemeral_key(chain_key).hex()},
        "root_steps": [
            {
                "root_key": root_key.hex(),
                "dh": dh.hex(),
                "shared_secret": shared.hex(),
                "next_root_key": result[0].hex(),
                "chain_key": result[1].hex(),
                "next_header_keys": keys_of(result[2]),
            }
            for shared, result in ((b"", plain), (secret, mixed))
        ],
        "header": {
            "keys": keys_of(sealing),
            "nonce": header_nonce.hex(),
            "ratchet_public": ratchet_public.hex(),
            "previous_length": 7,
            "number": 300,
            "flags": 5,
            "sealed": seal_header(sealing, header_nonce, ratchet_public, 7, 300, 5).hex(),
        },
        "associated_data_start": {
            "fields": [each.hex() for each in fields],
            "start": AssociatedData(*fields).start.hex(),
            "transcript": transcript(labels.MESSAGE, *fields, b"envelope before the body").hex(),
        },
        "kem_seed": {"seed": seed.hex(), "offer": KemPrivateKey(seed).public_bytes().hex()},
        "buckets": list(BUCKETS),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(derivations(), indent=1) + "\n")
