"""A device of the kit: it makes its keys, signs requests and manifests, and says what came back in its own words."""

import json
import os
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from .report import Failed, NotReady, told_rated
from .wire import from_base64, sha256, to_base32, to_base64, transcript, u64

MANAGER: Final = 1
_TOLD_BYTES: Final = 300
_RATED: Final = 429

SIGNED, KEM, ONE_TIME, SEALING = 1, 2, 3, 4
ROTATING, ONCE, LAST_RESORT = 1, 2, 3


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP, and what it answers."""

    asked: str
    status: int
    headers: Mapping[str, str]
    """By names in whatever case: many servers send them in small letters."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body; raises Failed if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:  # the latter of what is nested thousands deep
            raise Failed(f"{self.asked}: expected JSON, got {self._told()}") from error

    @property
    def code(self) -> str:
        """Of a problem document (RFC 9457), else empty."""
        if not self.headers.get("Content-Type", "").startswith("application/problem+json"):
            return ""
        told = self.json
        return str(told.get("code", "")) if isinstance(told, dict) else ""

    def must(self, status: int, code: str = "") -> "Answer":
        """This answer; raises Failed unless it has this status and, if given, this code."""
        if self.status != status or (code and self.code != code):
            wanted = f"{status} {code}".rstrip()
            raise Failed(f"{self.asked}: expected {wanted}, got {self.status} {self._told()}")
        return self

    def must_refuse(self, what: str) -> None:
        """Raises Failed unless this answer refuses the request (4xx), whatever its reason."""
        if not 400 <= self.status < 500:
            raise Failed(f"{what}: expected a refusal (4xx), got {self.status} {self._told()}")

    def _told(self) -> str:
        return self.body[:_TOLD_BYTES].decode("utf-8", "replace")


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request as it is; nothing is added, no redirect followed.

    Raises NotReady where the relay takes no more for now: no case wants that answer, and each would take it for another refusal.
    """
    async with session.request(
        method, url, data=data, headers=headers, skip_auto_headers=("Content-Type",), allow_redirects=False
    ) as response:
        body = await response.read()
        answer = Answer(f"{method} {response.url.path_qs}", response.status, response.headers, body)
    if answer.status == _RATED and answer.code == "rate_limited":
        raise NotReady(told_rated(answer.asked))
    return answer


@dataclass
class Device:
    """One device, and the root key of its account. `token`: the account's contact token, once it is registered."""

    session: aiohttp.ClientSession
    origin: str
    root: SigningKey = field(default_factory=SigningKey.generate)
    signing: SigningKey = field(default_factory=SigningKey.generate)
    identity: PrivateKey = field(default_factory=PrivateKey.generate)
    device_id: bytes = field(default_factory=lambda: os.urandom(16))
    token: bytes = b""
    body: bytes = b""
    """Of the newest manifest."""
    version: int = 0
    shift_ms: int = 0
    """What its clock is off by."""
    _prekey_ids: dict[int, int] = field(default_factory=dict)

    def beside(self) -> "Device":
        """Another device of the same account, which no manifest lists yet."""
        return Device(
            self.session, self.origin, root=self.root, token=self.token, body=self.body, version=self.version
        )

    @property
    def account_id(self) -> bytes:
        """32 B."""
        return sha256(b"\x01" + bytes(self.root.verify_key))

    @property
    def account(self) -> str:
        """The id as it stands in paths."""
        return to_base32(self.account_id)

    # Manifests.

    def entry(self, *, flags: int = MANAGER, broken: bool = False, added_at_ms: int | None = None) -> bytes:
        """153 B: this device in a manifest, added now unless told otherwise; `broken`: with a signature that is none."""
        keys = bytes(self.signing.verify_key) + bytes(self.identity.public_key)
        signed = transcript("tokenim/v1 device", self.account_id, self.device_id, keys[:32], keys[32:])
        signature = self.signing.sign(signed).signature
        if broken:
            signature = signature[:-1] + bytes((signature[-1] ^ 1,))
        return (
            self.device_id
            + keys
            + bytes((flags,))
            + u64(now_ms() if added_at_ms is None else added_at_ms)
            + signature
        )

    def manifest(
        self,
        *entries: bytes,
        version: int | None = None,
        previous: bytes | None = None,
        signer: "Device | None" = None,
    ) -> dict[str, str]:
        """The manifest object of the next version with these devices, signed by the root key or by `signer`."""
        version = self.version + 1 if version is None else version
        previous = self.body if previous is None else previous
        body = transcript(
            "tokenim/v1 manifest",
            bytes(self.root.verify_key),
            u64(version),
            sha256(previous) if previous else None,
            *sorted(entries),
        )
        key = self.root if signer is None else signer.signing
        return {
            "body": to_base64(body),
            "signer": to_base64(b"" if signer is None else signer.device_id),
            "signature": to_base64(key.sign(body).signature),
        }

    def took(self, manifest: Mapping[str, str]) -> None:
        """The relay has it: it is the newest one."""
        self.body, self.version = from_base64(manifest["body"]), self.version + 1

    async def advance(self, *entries: bytes) -> None:
        """The next manifest, signed by the root key, with these devices is the account's; raises Failed."""
        manifest = self.manifest(*entries)
        (await self.ask("POST", "/v1/accounts/self/manifests", {"manifest": manifest})).must(200)
        self.took(manifest)

    # Requests.

    def authorization(
        self,
        method: str,
        target: str,
        body_hash: bytes,
        *,
        offset: int | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        nonce: bytes | None = None,
    ) -> str:
        """The header; `change` alters what is signed, by the names of the fields, and not what is sent."""
        time_ms, nonce = now_ms() + self.shift_ms, nonce or os.urandom(16)
        signed: dict[str, Any] = {
            "method": method.encode(),
            "target": target.encode(),
            "body": body_hash,
            "origin": self.origin.encode(),
            "device": self.device_id,
            "time": u64(time_ms),
            "nonce": nonce,
            "offset": None if offset is None else u64(offset),
        }
        if change is not None:
            change(signed)
        signature = self.signing.sign(transcript("tokenim/v1 http-request", *signed.values())).signature
        return (
            f'TokenIM-Ed25519 device="{to_base32(self.device_id)}", time="{time_ms}", '
            f'nonce="{to_base64(nonce)}", signature="{to_base64(signature)}"'
        )

    async def ask(
        self,
        method: str,
        target: str,
        json_body: Any = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **signing: Any,
    ) -> Answer:
        """A request that this device signs; `signing` as of `authorization`."""
        sent = dict(headers or {})
        if json_body is not None:
            data = json.dumps(json_body).encode()
            sent["Content-Type"] = "application/json"
        streamed = signing.pop("streamed", False)
        body_hash = b"streamed" if streamed else sha256(data or b"")
        sent["Authorization"] = self.authorization(method, target, body_hash, **signing)
        return await ask(self.session, method, self.origin + target, data=data, headers=sent)

    async def say(
        self, method: str, target: str, json_body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A request that nobody signs."""
        sent = dict(headers or {})
        data = None
        if json_body is not None:
            data = json.dumps(json_body).encode()
            sent["Content-Type"] = "application/json"
        return await ask(self.session, method, self.origin + target, data=data, headers=sent)

    async def add_token(self, kind: str = "contact", token: bytes | None = None) -> bytes:
        """A delivery token of this class is good from here on; the token."""
        token = os.urandom(16) if token is None else token
        body = {"token_hash": to_base64(sha256(token)), "token_class": kind}
        (await self.ask("POST", "/v1/delivery-tokens", body)).must(204)
        return token

    # Prekeys.

    def prekey(
        self, kind: int, key_class: int, *, key_id: int | None = None, signer: SigningKey | None = None
    ) -> bytes:
        """A fresh signed key as it travels; its id counts up unless it is given."""
        if key_id is None:
            key_id = self._prekey_ids[kind] = self._prekey_ids.get(kind, 0) + 1
        public = b""
        if kind in (KEM, SEALING):
            kem = MLKEM768PrivateKey.generate().public_key()
            public += kem.public_bytes(Encoding.Raw, PublicFormat.Raw)
        if kind != KEM:
            public += bytes(PrivateKey.generate().public_key)
        made = now_ms()
        head = struct.pack(">BBIQ", kind, key_class, key_id, made)
        signed = transcript(
            "tokenim/v1 prekey",
            self.account_id,
            self.device_id,
            bytes((kind,)),
            bytes((key_class,)),
            struct.pack(">I", key_id),
            u64(made),
            public,
        )
        return head + (signer or self.signing).sign(signed).signature + public

    async def stock(self, once: int) -> None:
        """One key of each rotating or last-resort kind, and so many of each one-time kind, are at the relay."""
        keys = [self.prekey(SIGNED, ROTATING), self.prekey(SEALING, ROTATING), self.prekey(KEM, LAST_RESORT)]
        keys += [self.prekey(KEM, ONCE) for _ in range(once)] + [
            self.prekey(ONE_TIME, ONCE) for _ in range(once)
        ]
        (await self.ask("POST", "/v1/prekeys", {"keys": [to_base64(key) for key in keys]})).must(200)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
