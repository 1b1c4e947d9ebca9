"""Ed25519 after RFC 8032, section 5.1, with Python's integers: slow, not constant in time, and for tests alone."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]  # affine x, y


def add(one: Point, other: Point) -> Point:
    """The complete addition law of the twisted Edwards curve -x² + y² = 1 + dx²y²."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(factor: int, point: Point) -> Point:
    result = (0, 1)
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def recover_x(y: int, sign: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("no such point")
    return x if x & 1 == sign else P - x


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point:
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        raise ValueError("not canonical")
    return recover_x(y, sign), y


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    number = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return number, digest[32:]


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def public_of(seed: bytes) -> bytes:
    return encode(multiply(_secret(seed)[0], BASE))


def sign(seed: bytes, message: bytes) -> bytes:
    number, prefix = _secret(seed)
    public = public_of(seed)
    nonce = _hash(prefix, message)
    commitment = encode(multiply(nonce, BASE))
    return commitment + ((nonce + _hash(commitment, public, message) * number) % L).to_bytes(32, "little")


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """The strict check: S below L, R as encoded, no cofactor, the key in the prime-order group."""
    response = int.from_bytes(signature[32:], "little")
    try:
        key = decode(public)
        decode(signature[:32])
    except ValueError:
        return False
    if response >= L or multiply(L, key) != (0, 1) or key == (0, 1):
        return False
    challenge = _hash(signature[:32], public, message)
    return encode(add(multiply(response, BASE), multiply(-challenge % L, key))) == signature[:32]
