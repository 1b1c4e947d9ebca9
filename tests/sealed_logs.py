"""A group log as its writers and readers see it, made of the wire's vocabulary alone, for tests of the relay."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from nacl.signing import SigningKey

from relay.web.call import LOG_TOKEN_HEADER
from relay.wire.links import encode_bytes, encode_id
from relay.wire.transcripts import log_append_transcript
from tests.raw_device import JSON, Answered, RawDevice, send
from tests.running_relay import World


@dataclass
class RawGroupLog:
    """The id and the keys that its members hold; `change` makes new ones."""

    world: World | None = None
    log_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: SigningKey = field(default_factory=SigningKey.generate)
    token: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def path(self) -> str:
        return f"/v1/group-logs/{encode_id(self.log_id)}"

    def creation(self, entry: bytes = b"zero") -> dict[str, Any]:
        """The body that makes it."""
        return {
            "log_id": encode_bytes(self.log_id),
            "write_key": encode_bytes(bytes(self.key.verify_key)),
            "read_token_hash": encode_bytes(hashlib.sha256(self.token).digest()),
            "entry": encode_bytes(entry),
        }

    async def create(self, device: RawDevice, entry: bytes = b"zero") -> Answered:
        return await device.call("POST", "/v1/group-logs", self.creation(entry))

    def with_keys(self, key: SigningKey | None = None, token: bytes | None = None) -> "RawGroupLog":
        """The same log as somebody sees it who holds other keys."""
        return RawGroupLog(self.world, self.log_id, key or self.key, token or self.token)

    def signed(self, index: int, entry: bytes, following: "RawGroupLog | None" = None) -> dict[str, Any]:
        """The body of an append; `following` has the keys that are good from then on."""
        key = bytes(following.key.verify_key) if following else None
        token_hash = hashlib.sha256(following.token).digest() if following else None
        transcript = log_append_transcript(
            log_id=self.log_id,
            index=index,
            entry=entry,
            next_write_key=key,
            next_read_token_hash=token_hash,
        )
        body: dict[str, Any] = {
            "index": index,
            "entry": encode_bytes(entry),
            "signature": encode_bytes(self.key.sign(transcript).signature),
        }
        if key and token_hash:
            body |= {"next_write_key": encode_bytes(key), "next_read_token_hash": encode_bytes(token_hash)}
        return body

    async def post(self, body: dict[str, Any]) -> Answered:
        """An append by nobody in particular."""
        return await self._ask("POST", "/entries", data=json.dumps(body).encode(), headers=JSON)

    async def _ask(self, method: str, rest: str, **more: Any) -> Answered:
        assert self.world is not None
        return await send(self.world.session, method, self.world.relay.url + self.path + rest, **more)

    async def append(self, index: int, entry: bytes, *, following: "RawGroupLog | None" = None) -> Answered:
        return await self.post(self.signed(index, entry, following))

    async def read(self, from_index: int = 0) -> Answered:
        """Read by nobody in particular."""
        return await self._ask(
            "GET", f"?from={from_index}", headers={LOG_TOKEN_HEADER: encode_bytes(self.token)}
        )


def outcome(answered: Answered) -> tuple[int, str]:
    """Status and, if it is a refusal, its code."""
    return answered.status, answered.code if answered.status >= 400 else ""
