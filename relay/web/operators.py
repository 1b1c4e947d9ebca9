"""The commands of `tokenim-relay` over HTTP, on the second listener: POST /admin/v1/NAME with the arguments as JSON.

Who asks is an account that signs, as on the public listener, or a browser that logged in (dashboard); what each may do says
the one table of roles. A command that belongs to the machine alone has no path here.
"""

import json
from typing import Final

from aiohttp import web

from relay.commands.operators import TABLE, Commands
from relay.commands.table import Command
from relay.services.roles import Authority, Operation
from relay.wire.errors import MalformedRequest, UnsupportedMedia

from .call import Call, Handler, Route, Signing
from .login import session_of

COMMANDS: Final = web.AppKey("commands", Commands)
PREFIX: Final = "/admin/v1/"


async def authority_of(call: Call) -> Authority:
    """Who asks, and what it may do; raises Unauthenticated, NotAllowed."""
    if (device := call.device) is not None:
        return call.services.roles.authority(device.account_id, device.role, suspended=device.suspended)
    logins = call.services.logins
    return await logins.authority(session_of(call.request, logins))


def _handler(name: str) -> Handler:
    async def run(call: Call) -> web.StreamResponse:
        authority = await authority_of(call)
        if call.request.content_type != "application/json":
            raise UnsupportedMedia("the body is application/json")
        try:
            arguments = json.loads(call.body)
        except ValueError as error:
            raise MalformedRequest("the body is not JSON") from error
        if not isinstance(arguments, dict):
            raise MalformedRequest("the arguments of a command are one JSON object")
        answer = await call.request.app[COMMANDS].run(name, arguments, by=authority)
        return web.json_response(answer)

    run.__name__ = name.replace(".", "_")
    return run


def _route(command: Command[Commands]) -> Route:
    return Route(
        "POST",
        PREFIX + command.name,
        _handler(command.name),
        Signing.OPTIONAL,
        f"`{command.name}`, which takes the right `{command.operation}`",
        request=command.arguments,
        answer_media="application/json",
    )


OPERATOR_ROUTES: Final[tuple[Route, ...]] = tuple(
    _route(command) for command in TABLE.commands if command.operation is not Operation.RUN_THE_MACHINE
)
