"""X25519 after RFC 7748, section 5, with Python's integers: slow, not constant in time, and for tests alone."""

from functools import lru_cache

from tests.oracle.refusals import require

P = 2**255 - 19
BASE = (9).to_bytes(32, "little")


@lru_cache(maxsize=256)
def ladder(private: bytes, public: bytes) -> bytes:
    """The function of RFC 7748, which masks and reduces what it gets."""
    scalar = int.from_bytes(private, "little") & ~7 & ~(128 << 248) | 64 << 248
    x1 = int.from_bytes(public, "little") % 2**255
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for position in reversed(range(255)):
        bit = scalar >> position & 1
        if swap != bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = pow(da + cb, 2, P), x1 * pow(da - cb, 2, P) % P
        e = aa - bb
        x2, z2 = aa * bb % P, e * (aa + 121_665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def check(public: bytes) -> None:
    """The protocol refuses a key that is not canonical."""
    require(len(public) == 32, "length")
    require(int.from_bytes(public, "little") < P, "X25519 key", "InvalidKey")


def agree(private: bytes, public: bytes) -> bytes:
    """The shared secret; the protocol refuses one that is all zero."""
    check(public)
    shared = ladder(private, public)
    require(any(shared), "all zero", "InvalidKey")
    return shared


def public_of(private: bytes) -> bytes:
    return ladder(private, BASE)
