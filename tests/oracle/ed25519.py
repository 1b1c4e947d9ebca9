"""Ed25519 after RFC 8032, section 5.1, with Python's integers: slow, not constant in time, and for tests alone."""

import hashlib
from functools import lru_cache

from tests.oracle.refusals import require

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z
IDENTITY: Point = (0, 1, 1, 0)


def add(one: Point, other: Point) -> Point:
    """The complete addition of RFC 8032, section 5.1.4: it doubles, too."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


@lru_cache(maxsize=256)
def doubled(point: Point) -> list[Point]:
    """The point times 1, 2, 4, … 2²⁵⁵."""
    found = [point]
    while len(found) < 256:
        found.append(add(found[-1], found[-1]))
    return found


def multiply(factor: int, point: Point) -> Point:
    result = IDENTITY
    for at, power in enumerate(doubled(point)):
        if factor >> at & 1:
            result = add(result, power)
    return result


def same(one: Point, other: Point) -> bool:
    return not ((one[0] * other[2] - other[0] * one[2]) % P or (one[1] * other[2] - other[1] * one[2]) % P)


def recover_x(y: int, sign: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    require((x * x - square) % P == 0 and (x or not sign), "no such point", "InvalidKey")
    return x if x & 1 == sign else P - x


def encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point:
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    require(len(data) == 32, "length")
    require(y < P, "not canonical", "InvalidKey")
    x = recover_x(y, sign)
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    number = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return number, digest[32:]


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


@lru_cache(maxsize=256)
def public_of(seed: bytes) -> bytes:
    return encode(multiply(_secret(seed)[0], BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    number, prefix = _secret(seed)
    public = public_of(seed)
    nonce = _hash(prefix, message)
    commitment = encode(multiply(nonce, BASE))
    return commitment + ((nonce + _hash(commitment, public, message) * number) % L).to_bytes(32, "little")


@lru_cache(maxsize=256)
def check(public: bytes) -> Point:
    """The key's point: canonical, of the prime-order group, and not the identity."""
    key = decode(public)
    require(not same(key, IDENTITY) and same(multiply(L, key), IDENTITY), "Ed25519 key", "InvalidKey")
    return key


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """The strict check: S below L, R as encoded, no cofactor, the key in the prime-order group."""
    require(len(signature) == 64, "length")
    key = check(public)
    response = int.from_bytes(signature[32:], "little")
    require(response < L, "signature", "InvalidSignature")
    challenge = _hash(signature[:32], public, message)
    point = add(multiply(response, BASE), multiply(-challenge % L, key))
    require(encode(point) == signature[:32], "signature", "InvalidSignature")
