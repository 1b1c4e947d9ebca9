"""A device made of the wire's vocabulary and PyNaCl alone: signs requests, manifests and prekeys for tests of the relay."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from relay.wire import limits
from relay.wire.links import encode_bytes, encode_id, parse_invite
from relay.wire.manifests import FLAG_MANAGER, ManifestDevice, SignedManifest, account_id_of
from relay.wire.prekeys import KEY_BYTES, PrekeyClass, PrekeyKind, SignedPrekey
from relay.wire.transcripts import (
    DEVICE_LABEL,
    MANIFEST_LABEL,
    http_request_transcript,
    transcript,
    websocket_transcript,
)

JSON = {"Content-Type": "application/json"}


@dataclass
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem document."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.body
        return str(self.json["code"])


async def send(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    data: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answered:
    """One request, nothing added."""
    async with session.request(
        method, url, data=data, headers=headers, skip_auto_headers=("Content-Type",), allow_redirects=False
    ) as response:
        return Answered(response.status, response.headers, await response.read())


@dataclass
class RawDevice:
    """One device with its account's root key, so that it can also write manifests."""

    origin: str
    session: aiohttp.ClientSession
    root: SigningKey = field(default_factory=SigningKey.generate)
    key: SigningKey = field(default_factory=SigningKey.generate)
    identity: PrivateKey = field(default_factory=PrivateKey.generate)
    device_id: bytes = field(default_factory=lambda: os.urandom(16))
    clock: Callable[[], int] = lambda: 0
    base: str | None = None  # where requests go, if not to the origin
    prekey_ids: dict[PrekeyKind, int] = field(default_factory=dict)
    made: list[SignedManifest] = field(default_factory=list)

    @property
    def clock_ms(self) -> int:
        return self.clock()

    @property
    def account_id(self) -> bytes:
        return account_id_of(bytes(self.root.verify_key))

    @property
    def account(self) -> str:
        """The account id as it stands in paths."""
        return encode_id(self.account_id)

    def listed(self, flags: int = FLAG_MANAGER, *, account_id: bytes | None = None) -> bytes:
        """The field of this device in a manifest."""
        keys = (bytes(self.key.verify_key), bytes(self.identity.public_key))
        signed = transcript(DEVICE_LABEL, account_id or self.account_id, self.device_id, *keys)
        device = ManifestDevice(self.device_id, *keys, flags, 0, self.key.sign(signed).signature)
        return b"".join(
            (
                device.device_id,
                *keys,
                bytes((flags,)),
                device.added_at_ms.to_bytes(8, "big"),
                device.signature,
            )
        )

    def manifest(
        self,
        version: int = 1,
        previous: bytes | None = None,
        devices: list[bytes] | None = None,
        signer: "RawDevice | None" = None,
    ) -> SignedManifest:
        """A manifest; `previous` is the body before it, `signer` None: the root key."""
        body = transcript(
            MANIFEST_LABEL,
            bytes(self.root.verify_key),
            version.to_bytes(8, "big"),
            hashlib.sha256(previous).digest() if previous else None,
            *sorted(devices or [self.listed()]),
        )
        key = signer.key if signer else self.root
        return SignedManifest(body, signer.device_id if signer else b"", key.sign(body).signature)

    def authorization(
        self,
        method: str,
        target: str,
        body_hash: bytes,
        *,
        origin: str | None = None,
        time_ms: int | None = None,
        nonce: bytes | None = None,
        upload_offset: int | None = None,
    ) -> str:
        """The Authorization header of a request."""
        nonce = os.urandom(limits.NONCE_BYTES) if nonce is None else nonce
        time_ms = self.clock_ms if time_ms is None else time_ms
        signed = http_request_transcript(
            method=method,
            target=target,
            body_hash=body_hash,
            origin=origin or self.origin,
            device_id=self.device_id,
            time_ms=time_ms,
            nonce=nonce,
            upload_offset=upload_offset,
        )
        return (
            f'TokenIM-Ed25519 device="{encode_id(self.device_id)}", time="{time_ms}", '
            f'nonce="{encode_bytes(nonce)}", signature="{encode_bytes(self.key.sign(signed).signature)}"'
        )

    def url(self, target: str) -> str:
        return (self.base or self.origin) + target

    async def call(
        self, method: str, target: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """A signed request; `body` is bytes or becomes JSON."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Authorization": self.authorization(method, target, hashlib.sha256(data).digest()),
            **(JSON if data else {}),
            **(headers or {}),
        }
        return await send(self.session, method, self.url(target), data=data or None, headers=sent)

    async def register_without_invite(self) -> Answered:
        """Register with manifest 1 alone: no invite, no work."""
        if not self.made:
            self.made.append(self.manifest())
        body = json.dumps({"manifest": told(self.made[0])}).encode()
        return await send(self.session, "POST", self.url("/v1/accounts"), data=body, headers=JSON)

    async def register(
        self, link: str, *, handle: str | None = None, public_token: bytes | None = None
    ) -> Answered:
        """Register with an invite link by manifest 1."""
        if not self.made:
            self.made.append(self.manifest())
        signed = self.made[0]
        body: dict[str, Any] = {"invite": encode_bytes(parse_invite(link).secret), "manifest": told(signed)}
        if handle is not None:
            body["handle"] = handle
        if public_token is not None:
            body["public_token"] = encode_bytes(public_token)
        return await send(
            self.session, "POST", self.url("/v1/accounts"), data=json.dumps(body).encode(), headers=JSON
        )

    async def add_token(
        self, token: bytes, token_class: str = "contact", expires_at_ms: int | None = None
    ) -> Answered:
        """Let whoever shows this token write."""
        return await self.call(
            "POST",
            "/v1/delivery-tokens",
            {
                "token_hash": encode_bytes(hashlib.sha256(token).digest()),
                "token_class": token_class,
                "expires_at_ms": expires_at_ms,
            },
        )

    def prekey(self, kind: PrekeyKind, key_class: PrekeyClass, *, key_id: int | None = None) -> bytes:
        """A signed key of the kind, of the next id."""
        key_id = self.prekey_ids.get(kind, 0) + 1 if key_id is None else key_id
        self.prekey_ids[kind] = max(key_id, self.prekey_ids.get(kind, 0))
        x25519 = kind in (PrekeyKind.SIGNED, PrekeyKind.ONE_TIME)
        public = bytes(PrivateKey.generate().public_key) if x25519 else os.urandom(KEY_BYTES[kind])
        made_at_ms = self.clock_ms
        unsigned = SignedPrekey(kind, key_class, key_id, made_at_ms, b"", public, b"")
        signature = self.key.sign(unsigned.signed_transcript(self.account_id, self.device_id)).signature
        return (
            bytes((kind, key_class))
            + key_id.to_bytes(4, "big")
            + made_at_ms.to_bytes(8, "big")
            + signature
            + public
        )

    def stock(self, one_time: int) -> list[str]:
        """A rotating, a sealing and a last-resort key, and so many one-time ones of each kind; encoded."""
        keys = [
            self.prekey(PrekeyKind.SIGNED, PrekeyClass.ROTATING),
            self.prekey(PrekeyKind.SEALING, PrekeyClass.ROTATING),
            self.prekey(PrekeyKind.KEM, PrekeyClass.LAST_RESORT),
        ]
        for _ in range(one_time):
            keys.append(self.prekey(PrekeyKind.KEM, PrekeyClass.ONE_TIME))
            keys.append(self.prekey(PrekeyKind.ONE_TIME, PrekeyClass.ONE_TIME))
        return [encode_bytes(key) for key in keys]

    def socket_signature(self, challenge: bytes) -> bytes:
        """The proof for a WebSocket's challenge."""
        signed = websocket_transcript(origin=self.origin, device_id=self.device_id, challenge=challenge)
        return self.key.sign(signed).signature


def told(signed: SignedManifest) -> dict[str, str]:
    """A signed manifest as JSON carries it."""
    return {
        "body": encode_bytes(signed.body),
        "signer": encode_bytes(signed.signer),
        "signature": encode_bytes(signed.signature),
    }
