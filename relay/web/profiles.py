"""Profiles over HTTP: put by a signed request, fetched by who may reach the account; docs/protocol.md, "Profiles"."""

from typing import Final

from aiohttp import web

from relay.ports.profiles import Profile
from relay.services.roles import Operation
from relay.wire import limits
from relay.wire.errors import NotFound
from relay.wire.profile_resources import ProfileAnswer, ProfileRequest

from .call import TOKEN_HEADER, Call, Route, Signing, answer, nothing


async def put_profile(call: Call) -> web.StreamResponse:
    """PUT /v1/profile."""
    call.require(Operation.SET_PROFILE)
    request = call.read(ProfileRequest)
    await call.services.store.profiles.put(call.signer.account_id, Profile(request.version, request.profile))
    return nothing()


async def profile(call: Call) -> web.StreamResponse:
    """GET /v1/accounts/{account_id}/profile: by a delivery token, or signed by a device of the account."""
    account_id = call.path_id("account_id", limits.ACCOUNT_ID_BYTES)
    if call.device is None or call.device.account_id != account_id:
        await call.services.reach.require(account_id, call.delivery_token(), None)
    found = await call.services.store.profiles.get(account_id)
    if found is None:
        raise NotFound("this account has no profile")
    return answer(ProfileAnswer(version=found.version, profile=found.sealed))


PROFILE_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "PUT",
        "/v1/profile",
        put_profile,
        Signing.REQUIRED,
        "put the next version of the own profile in place",
        request=ProfileRequest,
        status=204,
    ),
    Route(
        "GET",
        "/v1/accounts/{account_id}/profile",
        profile,
        Signing.OPTIONAL,
        "the newest profile: with a delivery token, or signed by an own device",
        answer=ProfileAnswer,
        request_headers=(TOKEN_HEADER,),
    ),
)
