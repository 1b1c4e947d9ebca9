"""What the command line can ask of a relay: names, arguments, answers. The same whether over the socket or in process."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.ports.invites import Invite
from relay.services.invites import Invites, invite_name
from relay.services.transparency import Head, Transparency
from relay.wire.errors import MalformedRequest, NotFound
from relay.wire.links import encode_bytes


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class InviteCreate(_Arguments):
    """Arguments of `invite.create`."""

    role: str = "member"
    uses: int = 1
    ttl_seconds: int | None = None


class InviteRevoke(_Arguments):
    """Arguments of `invite.revoke`."""

    name: Annotated[str, Field(min_length=1, max_length=64)]


class Commands:
    """Runs a command by its name."""

    def __init__(self, invites: Invites, transparency: Transparency) -> None:
        self._invites = invites
        self._transparency = transparency

    async def run(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The answer, fit for JSON; raises RelayError."""
        try:
            match name:
                case "invite.create":
                    create = InviteCreate.model_validate(arguments)
                    link = await self._invites.create(
                        role=create.role, uses=create.uses, ttl_seconds=create.ttl_seconds
                    )
                    return {"link": str(link), "role": create.role, "uses": create.uses}
                case "invite.list":
                    return {"invites": [self._told(invite) for invite in await self._invites.list()]}
                case "invite.revoke":
                    revoke = InviteRevoke.model_validate(arguments)
                    return self._told(await self._invites.revoke(revoke.name))
                case "transparency.head":
                    _Arguments.model_validate(arguments)
                    return self._told_head(await self._transparency.head())
        except ValidationError as error:
            raise MalformedRequest(f"{name}: {error.errors(include_input=False)[0]['msg']}") from error
        raise NotFound("this relay does not know the command: it may be of another version")

    @staticmethod
    def _told(invite: Invite) -> dict[str, Any]:
        return {
            "name": invite_name(invite),
            "role": invite.role,
            "uses_left": invite.uses_left,
            "created_at_ms": invite.created_at_ms,
            "expires_at_ms": invite.expires_at_ms,
        }

    @staticmethod
    def _told_head(head: Head) -> dict[str, Any]:
        return {
            "log_id": encode_bytes(head.log_id),
            "size": head.size,
            "root": encode_bytes(head.root),
            "time_ms": head.time_ms,
            "head": encode_bytes(head.signed),
        }
