"""Proofs of work: one hash to check, many to find. docs/protocol.md, "Strangers" and "Registration".

Bound to what they are for: what was found for one envelope, or for one account at one relay, is worth nothing for another.
"""

import hashlib

from .limits import WORK_BYTES
from .transcripts import work_transcript


def is_enough_work(work: bytes, bits: int, *, envelope_id: bytes, account_id: bytes, token: bytes) -> bool:
    """Whether `work` is 8 B and SHA-256 of the transcript with it begins with `bits` zero bits."""
    if len(work) != WORK_BYTES:
        return False
    hashed = work_transcript(envelope_id=envelope_id, account_id=account_id, token=token, work=work)
    return begins_with_zeros(hashlib.sha256(hashed).digest(), bits)


def begins_with_zeros(digest: bytes, bits: int) -> bool:
    """Whether so many of the first bits (at most 32) are zero, the most significant one of a byte first."""
    return int.from_bytes(digest[:4], "big") >> (32 - bits) == 0
