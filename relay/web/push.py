"""Where a device is woken, over HTTP; docs/protocol.md, "Push wakeups"."""

from typing import Final

from aiohttp import web

from relay.ports.pusher import PushAddress
from relay.services.roles import Operation
from relay.wire.push_resources import PushRegistered, PushRequest

from .call import Call, Route, Signing, answer, nothing


async def register(call: Call) -> web.StreamResponse:
    """PUT /v1/push."""
    call.require(Operation.READ_MAILBOX)
    asked = call.read(PushRequest)
    call.services.rates.take_push(call.signer.device_id)
    address = PushAddress(asked.kind, asked.target, asked.p256dh, asked.auth)
    token = await call.services.push.register(call.signer.device_id, address)
    return answer(PushRegistered(token=token))


async def unregister(call: Call) -> web.StreamResponse:
    """DELETE /v1/push: whoever may do nothing else may still have it forgotten."""
    await call.services.push.unregister(call.signer.device_id)
    return nothing()


PUSH_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "PUT",
        "/v1/push",
        register,
        Signing.REQUIRED,
        "wake the device that signs there while it is not connected; in place of what it registered before",
        request=PushRequest,
        answer=PushRegistered,
    ),
    Route("DELETE", "/v1/push", unregister, Signing.REQUIRED, "wake the device no more", status=204),
)
