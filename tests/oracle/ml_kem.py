"""ML-KEM-768 after FIPS 203, algorithm by algorithm: slow, not constant in time, and for tests alone.

A private key is its 64 B seed d ‖ z. Encapsulation is given its 32 B of randomness, so that vectors can be checked.
"""

import hashlib
from functools import lru_cache

from tests.oracle.refusals import require

Q, N, K = 3_329, 256, 3
ETA, DU, DV = 2, 10, 4
PUBLIC_BYTES, CIPHERTEXT_BYTES = 1_184, 1_088

Poly = list[int]


def _reversed7(number: int) -> int:
    return int(f"{number:07b}"[::-1], 2)


ZETAS = [pow(17, _reversed7(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _reversed7(i) + 1, Q) for i in range(128)]


# Bits and bytes: section 4.2.1


def encode(poly: Poly, bits: int) -> bytes:
    """ByteEncode, algorithm 5."""
    number = sum(value << bits * i for i, value in enumerate(poly))
    return number.to_bytes(32 * bits, "little")


def decode(data: bytes, bits: int) -> Poly:
    """ByteDecode, algorithm 6."""
    number, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    values = [number >> bits * i & mask for i in range(N)]
    return [value % Q for value in values] if bits == 12 else values


def compress(poly: Poly, bits: int) -> Poly:
    """Round(2^bits / q · x) mod 2^bits, halves upwards."""
    return [(2 * (value << bits) + Q) // (2 * Q) % (1 << bits) for value in poly]


def decompress(poly: Poly, bits: int) -> Poly:
    return [(2 * Q * value + (1 << bits)) // (2 << bits) for value in poly]


# Sampling: section 4.2.2


def sample_uniform(seed: bytes, column: int, row: int) -> Poly:
    """SampleNTT, algorithm 7."""
    stream = hashlib.shake_128(seed + bytes((column, row))).digest(1_344)
    found: Poly = []
    for at in range(0, len(stream), 3):
        one, two, three = stream[at : at + 3]
        found += [value for value in (one + 256 * (two % 16), two // 16 + 16 * three) if value < Q]
    require(len(found) >= N, "the stream was too short: this happens less than once in 2^100")
    return found[:N]


def sample_small(seed: bytes, counter: int) -> Poly:
    """SamplePolyCBD of PRF, algorithm 8."""
    number = int.from_bytes(hashlib.shake_256(seed + bytes((counter,))).digest(64 * ETA), "little")
    poly = []
    for i in range(N):
        nibble = number >> 4 * i & 15
        poly.append(((nibble & 1) + (nibble >> 1 & 1) - (nibble >> 2 & 1) - (nibble >> 3)) % Q)
    return poly


# Polynomials: section 4.3


def ntt(poly: Poly) -> Poly:
    """Algorithm 9."""
    f, at, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, at = ZETAS[at], at + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def inverse_ntt(poly: Poly) -> Poly:
    """Algorithm 10."""
    f, at, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, at = ZETAS[at], at - 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [value * 3_303 % Q for value in f]


def times(a: Poly, b: Poly) -> Poly:
    """MultiplyNTTs, algorithms 11 and 12."""
    product: Poly = []
    for i in range(128):
        a0, a1, b0, b1 = a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]
        product += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return product


def plus(*polys: Poly) -> Poly:
    return [sum(values) % Q for values in zip(*polys, strict=True)]


def minus(a: Poly, b: Poly) -> Poly:
    return [(x - y) % Q for x, y in zip(a, b, strict=True)]


def dot(row: list[Poly], column: list[Poly]) -> Poly:
    return plus(*(times(a, b) for a, b in zip(row, column, strict=True)))


# K-PKE: section 5


@lru_cache(maxsize=256)
def _matrix(rho: bytes) -> list[list[Poly]]:
    return [[sample_uniform(rho, column, row) for column in range(K)] for row in range(K)]


@lru_cache(maxsize=256)
def _pke_keys(d: bytes) -> tuple[bytes, list[Poly]]:
    """Algorithm 13: (encryption key, secret vector)."""
    both = hashlib.sha3_512(d + bytes((K,))).digest()
    rho, sigma = both[:32], both[32:]
    secret = [ntt(sample_small(sigma, i)) for i in range(K)]
    error = [ntt(sample_small(sigma, K + i)) for i in range(K)]
    rows = [plus(dot(row, secret), noise) for row, noise in zip(_matrix(rho), error, strict=True)]
    return b"".join(encode(row, 12) for row in rows) + rho, secret


def _pke_encrypt(public: bytes, message: bytes, coins: bytes) -> bytes:
    """Algorithm 14."""
    rows = [decode(public[384 * i : 384 * i + 384], 12) for i in range(K)]
    matrix = _matrix(public[384 * K :])
    y = [ntt(sample_small(coins, i)) for i in range(K)]
    u = [
        plus(inverse_ntt(dot([matrix[row][column] for row in range(K)], y)), sample_small(coins, K + column))
        for column in range(K)
    ]
    v = plus(inverse_ntt(dot(rows, y)), sample_small(coins, 2 * K), decompress(decode(message, 1), 1))
    return b"".join(encode(compress(each, DU), DU) for each in u) + encode(compress(v, DV), DV)


def _pke_decrypt(secret: list[Poly], ciphertext: bytes) -> bytes:
    """Algorithm 15."""
    size = 32 * DU
    u = [decompress(decode(ciphertext[size * i : size * i + size], DU), DU) for i in range(K)]
    v = decompress(decode(ciphertext[size * K :], DV), DV)
    return encode(compress(minus(v, inverse_ntt(dot(secret, [ntt(each) for each in u]))), 1), 1)


# ML-KEM: sections 6 and 7


def public_of(seed: bytes) -> bytes:
    """The 1,184 B encapsulation key of a seed d ‖ z."""
    require(len(seed) == 64, "seed")
    return _pke_keys(seed[:32])[0]


def check(public: bytes) -> None:
    """Length and modulus check of section 7.2."""
    require(len(public) == PUBLIC_BYTES, "length")
    for i in range(K):
        part = public[384 * i : 384 * i + 384]
        require(encode(decode(part, 12), 12) == part, "modulus", "InvalidKey")


def encapsulate(public: bytes, randomness: bytes) -> tuple[bytes, bytes]:
    """(32 B shared secret, 1,088 B ciphertext): algorithms 17 and 20."""
    check(public)
    both = hashlib.sha3_512(randomness + hashlib.sha3_256(public).digest()).digest()
    return both[:32], _pke_encrypt(public, randomness, both[32:])


def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """Algorithms 18 and 21; a wrong ciphertext gives a secret of its own."""
    require(len(seed) == 64 and len(ciphertext) == CIPHERTEXT_BYTES, "length")
    public, secret = _pke_keys(seed[:32])
    message = _pke_decrypt(secret, ciphertext)
    both = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    if _pke_encrypt(public, message, both[32:]) == ciphertext:
        return both[:32]
    return hashlib.shake_256(seed[32:] + ciphertext).digest(32)
