"""Invites that this account makes: for members, or for guests who may write to it and to nobody else."""

from dataclasses import asdict, dataclass, field
from typing import Any

from relay.wire.invite_resources import InviteAnswer, InviteObject, InviteRequest, InvitesAnswer

from .transport import Transport

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class OwnInvite:
    """An invite that can be spent; its link is told once, when it is made."""

    name: str
    role: str
    uses_left: int
    created_at_ms: int
    expires_at_ms: int
    stay_seconds: int | None = None
    """For guests: how long their accounts live."""
    link: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        told = {"type": "invite", **asdict(self)}
        return told if self.link else {name: value for name, value in told.items() if name != "link"}


def _shown(told: InviteObject, link: str | None = None) -> OwnInvite:
    return OwnInvite(
        told.name,
        told.role,
        told.uses_left,
        told.created_at_ms,
        told.expires_at_ms,
        told.stay_seconds,
        link,
    )


class OwnInvites:
    """Those of one account. All raise RelayUnreachable, and Refused: `not_allowed` where operators alone invite."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self, *, guests: bool = False, uses: int = 1, days: int = 7, stay_days: int | None = None
    ) -> OwnInvite:
        """A new one, with its link. `stay_days`: how long guests stay. Refused is `quota_exceeded` for too many at once."""
        request = InviteRequest(
            role="guest" if guests else "member",
            uses=uses,
            ttl_seconds=days * DAY_SECONDS,
            stay_seconds=None if stay_days is None else stay_days * DAY_SECONDS,
        )
        answered = await self._transport.ask("POST", "/v1/invites", body=request, signed=True)
        told = answered.read(InviteAnswer)
        return _shown(told, told.link)

    async def list(self) -> list[OwnInvite]:
        """Those that can be spent, oldest first."""
        answered = await self._transport.ask("GET", "/v1/invites", signed=True)
        return [_shown(told) for told in answered.read(InvitesAnswer).invites]

    async def revoke(self, name: str) -> None:
        """The invite of this name, or the beginning of it, is good for nothing any more. Refused is `not_found`."""
        await self._transport.ask("DELETE", f"/v1/invites/{name}", signed=True)
