"""The relay that is tested, as a case sees it."""

from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from .device import Answer, Device, ask
from .report import Failed, NotClaimed, NotReady
from .wire import from_base64, sha256, to_base64, transcript

_PREFIX = "/invite#v1."


@dataclass(frozen=True)
class Invite:
    """What an invite link says: the origin, the relay's Ed25519 key (32 B), the secret (16 B)."""

    origin: str
    relay_key: bytes
    secret: bytes


def parse_invite(link: str) -> Invite:
    """Raises ValueError for what is no invite link."""
    origin, found, fragment = link.strip().partition(_PREFIX)
    if not found or not origin.startswith(("http://", "https://")):
        raise ValueError("an invite link is ORIGIN/invite#v1.…")
    packed = from_base64(fragment)
    if len(packed) != 48:
        raise ValueError("an invite link holds 48 B behind #v1.")
    return Invite(origin, packed[16:], packed[:16])


@dataclass(frozen=True)
class Relay:
    """`told`: the relay's document, as it came at the begin of the run; `admin`: where its operators' listener is, or empty.

    `web_origin`: of web pages that its operator lets in, or empty.
    """

    session: aiohttp.ClientSession
    invite: Invite
    told: Answer
    admin: str = ""
    admin_invite: Invite | None = None
    web_origin: str = ""

    @property
    def origin(self) -> str:
        """As in its links."""
        return self.invite.origin

    @property
    def document(self) -> dict[str, Any]:
        """What the relay says of itself; raises Failed if that is no JSON object, as then every case does that asks for it."""
        document = self.told.json
        if not isinstance(document, dict):
            raise Failed(f"{self.told.asked}: expected a JSON object, got {type(document).__name__}")
        return document

    def stranger(self) -> Device:
        """A device that no relay knows."""
        return Device(self.session, self.origin)

    async def register(self, device: Device, *entries: bytes, **fields: Any) -> Answer:
        """The answer to a registration of the device's account with these devices, itself alone if none is given."""
        chosen = "manifest" in fields
        manifest = fields.pop("manifest", None) or device.manifest(*(entries or (device.entry(),)))
        body = {"invite": to_base64(self.invite.secret), "manifest": manifest, **fields}
        answer = await device.say("POST", "/v1/accounts", body)
        if answer.status == 201:
            device.took(manifest)
        elif answer.code == "invite_invalid" and not chosen:
            raise NotReady(f"{answer.asked}: {answer.code}: give an invite with uses to spare, a few hundred")
        return answer

    async def member(self, **fields: Any) -> Device:
        """A new account's device, with its contact token registered."""
        device = self.stranger()
        (await self.register(device, **fields)).must(201)
        device.token = await device.add_token()
        return device

    async def admin_account(self) -> Device:
        """A new account that may do what the role of --admin-invite may; raises NotClaimed without one."""
        if self.admin_invite is None:
            raise NotClaimed("it needs --admin-invite: an invite with the role admin")
        return await replace(self, invite=self.admin_invite).member()

    async def get(self, path: str, **headers: str) -> Answer:
        """A request of nobody."""
        return await ask(self.session, "GET", self.origin + path, headers=headers)

    def signed_head(self, packed: bytes) -> tuple[bytes, int, bytes]:
        """Log id, size and root of a head; raises Failed unless the pinned key signed it."""
        signature, body = packed[:64], packed[64:]
        try:
            VerifyKey(self.invite.relay_key).verify(body, signature)
        except (BadSignatureError, ValueError) as error:
            raise Failed("a head of the log is not signed by the key of the invite") from error
        label = transcript("tokenim/v1 log head")
        if not body.startswith(label):
            raise Failed("a head of the log is no transcript of that label")
        fields, rest = [], body[len(label) :]
        while rest:
            size = int.from_bytes(rest[:4], "big")
            fields.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        if [len(field) for field in fields] != [32, 8, 32, 8]:
            raise Failed("a head of the log has the fields log id, size, root and time")
        return fields[0], int.from_bytes(fields[1], "big"), fields[2]


async def open_relay(
    session: aiohttp.ClientSession, invite: Invite, admin: str, admin_invite: Invite | None
) -> Relay:
    """The relay with its document, whose signature is checked; raises Failed."""
    answer = (await ask(session, "GET", f"{invite.origin}/.well-known/tokenim")).must(200)
    signed = transcript("tokenim/v1 relay-document", sha256(answer.body))
    try:
        signature = from_base64(answer.headers.get("TokenIM-Signature", ""))
        VerifyKey(invite.relay_key).verify(signed, signature)
    except (BadSignatureError, ValueError) as error:
        raise Failed(f"{answer.asked}: TokenIM-Signature is not by the key that the invite pins") from error
    return Relay(session, invite, answer, admin, admin_invite)
