"""Bodies of the HTTP API about invites that accounts make; docs/protocol.md, "Invites"."""

from typing import Annotated, Literal

from pydantic import Field

from . import limits
from .resources import Answer, Counter, Request


class InviteRequest(Request):
    """POST /v1/invites: for members, or for guests who may write to the account that makes it and to nobody else."""

    role: Literal["member", "guest"] = "member"
    uses: Annotated[int, Field(ge=1, le=limits.MAX_INVITE_USES)] = 1
    ttl_seconds: Annotated[int, Field(ge=1, le=limits.MAX_INVITE_SECONDS)] = 604_800
    stay_seconds: Annotated[int, Field(ge=60, le=limits.MAX_GUEST_SECONDS)] | None = None
    """For guests: how long their accounts live; 30 days if it is not said."""


class InviteObject(Answer):
    """An own invite that can be spent. `name` is the beginning of the hash of its secret, which nobody has any more."""

    name: str
    role: str
    uses_left: int
    created_at_ms: Counter
    expires_at_ms: Counter
    stay_seconds: int | None = None


class InviteAnswer(InviteObject):
    """A new invite, with the link that is told once."""

    link: str


class InvitesAnswer(Answer):
    """GET /v1/invites."""

    invites: list[InviteObject]
