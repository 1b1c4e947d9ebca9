"""Chapter Conventions: Ed25519 keys that are none, with signatures that a verification without strictness takes."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from client.conformance.device import MANAGER, Answer, Device, now_ms
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.wire import from_base64, sha256, to_base64, transcript, u64

from .suite import SUITE

_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_PRIME: Final = 2**255 - 19
_OF_ORDER_2: Final = (_PRIME - 1).to_bytes(32, "little")
"""The point (0, -1)."""
_SMALL: Final = {
    "the neutral point": (1).to_bytes(32, "little"),
    "a point of order 2": _OF_ORDER_2,
    "a point of order 4": bytes(32),
    "another encoding of the neutral point": (_PRIME + 1).to_bytes(32, "little"),
}


@dataclass(frozen=True)
class _Key:
    """A public key, and what makes signatures that fit it by the equation S·B = R + h·A."""

    public: bytes
    sign: Callable[[bytes], bytes]


def _number(digest: bytes) -> int:
    return int.from_bytes(crypto_core_ed25519_scalar_reduce(digest), "little")


def _signed(public: bytes, message: bytes, secret: int, fits: Callable[[int], bool]) -> bytes:
    """A signature by this secret, with such an R that h `fits`."""
    while True:
        random = _number(os.urandom(64))
        point = crypto_scalarmult_ed25519_base_noclamp(random.to_bytes(32, "little"))
        h = _number(hashlib.sha512(point + public + message).digest())
        if fits(h):
            return point + ((random + h * secret) % _ORDER).to_bytes(32, "little")


def _good() -> _Key:
    secret = _number(os.urandom(64))
    public = crypto_scalarmult_ed25519_base_noclamp(secret.to_bytes(32, "little"))
    return _Key(public, lambda message: _signed(public, message, secret, lambda _h: True))


def _mixed() -> _Key:
    """A good key and the point of order 2 in one: with an even h, that point is not in the equation."""
    secret = _number(os.urandom(64))
    public = crypto_core_ed25519_add(
        crypto_scalarmult_ed25519_base_noclamp(secret.to_bytes(32, "little")), _OF_ORDER_2
    )
    return _Key(public, lambda message: _signed(public, message, secret, lambda h: h % 2 == 0))


def _small(public: bytes) -> _Key:
    """With h a multiple of 4, no key of small order is in the equation: anybody signs."""
    return _Key(public, lambda message: _signed(public, message, 0, lambda h: h % 4 == 0))


def _manifest(device: Device, root: _Key, signing: _Key) -> dict[str, str]:
    """Manifest 1 of an account with this root key, and one device with this signing key."""
    identity = bytes(device.identity.public_key)
    account_id = sha256(b"\x01" + root.public)
    signed = transcript("tokenim/v1 device", account_id, device.device_id, signing.public, identity)
    entry = device.device_id + signing.public + identity + bytes((MANAGER,)) + u64(now_ms())
    body = transcript("tokenim/v1 manifest", root.public, u64(1), None, entry + signing.sign(signed))
    return {"body": to_base64(body), "signer": "", "signature": to_base64(root.sign(body))}


@SUITE.case("registration-ed25519-keys", proves=("M-SIGN-01", "M-SIGN-02"))
async def ed25519_keys(relay: Relay) -> None:
    """A root or signing key that is no canonical point of the prime-order group is refused; so is a signature with another S."""
    odd = {"a point outside the prime-order group": _mixed()}
    odd |= {name: _small(public) for name, public in _SMALL.items()}
    for name, key in odd.items():
        for place, root, signing in (("root key", key, _good()), ("signing key", _good(), key)):
            device = relay.stranger()
            answer = await relay.register(device, manifest=_manifest(device, root, signing))
            if answer.status not in (400, 422):
                raise Failed(
                    f"{name} as {place}: expected 422 manifest_invalid, got {answer.status} {answer.code}"
                )
    device = relay.stranger()
    good = _manifest(device, _good(), _good())
    signature = from_base64(good["signature"])
    above = int.from_bytes(signature[32:], "little") + _ORDER
    malleable = {**good, "signature": to_base64(signature[:32] + above.to_bytes(32, "little"))}
    answer = await relay.register(device, manifest=malleable)
    answer.must_refuse("a signature whose S is not below the group order")
    (await relay.register(device, manifest=good)).must(201)


@SUITE.case("group-log-ed25519-keys", level="groups", proves=("M-SIGN-01",))
async def write_keys(relay: Relay) -> None:
    """The write key of a group log is a canonical point of the prime-order group, or there is no log."""
    device = await relay.member()

    async def make(public: bytes) -> Answer:
        body = {
            "log_id": to_base64(os.urandom(32)),
            "write_key": to_base64(public),
            "read_token_hash": to_base64(os.urandom(32)),
            "entry": to_base64(b"zero"),
        }
        return await device.ask("POST", "/v1/group-logs", body)

    for name, public in {"a point outside the prime-order group": _mixed().public, **_SMALL}.items():
        (await make(public)).must_refuse(f"a log with {name} as write key")
    (await make(_good().public)).must(201)
