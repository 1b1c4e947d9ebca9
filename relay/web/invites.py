"""Invites that accounts make, over HTTP; docs/protocol.md, "Invites"."""

from typing import Final

from aiohttp import web

from relay.ports.invites import Invite
from relay.services.invites import invite_name
from relay.services.roles import Operation
from relay.wire.invite_resources import InviteAnswer, InviteObject, InviteRequest, InvitesAnswer

from .call import Call, Route, Signing, answer, nothing

_CREATED: Final = 201


def _told(invite: Invite) -> InviteObject:
    return InviteObject(
        name=invite_name(invite),
        role=invite.role,
        uses_left=invite.uses_left,
        created_at_ms=invite.created_at_ms,
        expires_at_ms=invite.expires_at_ms or 0,
        stay_seconds=invite.stay_seconds,
    )


async def create(call: Call) -> web.StreamResponse:
    """POST /v1/invites."""
    call.require(Operation.INVITE)
    request = call.read(InviteRequest)
    link, invite = await call.services.invites.create_own(
        call.signer,
        role=request.role,
        uses=request.uses,
        ttl_seconds=request.ttl_seconds,
        stay_seconds=request.stay_seconds,
    )
    return answer(InviteAnswer(**_told(invite).model_dump(), link=str(link)), status=_CREATED)


async def own(call: Call) -> web.StreamResponse:
    """GET /v1/invites."""
    call.require(Operation.INVITE)
    kept = await call.services.invites.list_own(call.signer.account_id)
    return answer(InvitesAnswer(invites=[_told(invite) for invite in kept]))


async def revoke(call: Call) -> web.StreamResponse:
    """DELETE /v1/invites/{name}."""
    call.require(Operation.INVITE)
    await call.services.invites.revoke_own(call.signer, call.request.match_info["name"])
    return nothing()


INVITE_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "POST",
        "/v1/invites",
        create,
        Signing.REQUIRED,
        "make an invite: for members, or for guests of the own account",
        request=InviteRequest,
        answer=InviteAnswer,
        status=201,
    ),
    Route(
        "GET",
        "/v1/invites",
        own,
        Signing.REQUIRED,
        "the own invites that can be spent",
        answer=InvitesAnswer,
    ),
    Route(
        "DELETE",
        "/v1/invites/{name}",
        revoke,
        Signing.REQUIRED,
        "an own invite is good for nothing any more",
        status=204,
    ),
)
