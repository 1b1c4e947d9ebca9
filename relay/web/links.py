"""Link mailboxes over HTTP: four slots behind a random id, written once, read by long poll. Unsigned: nobody is known yet."""

from aiohttp import web

from relay.wire import limits
from relay.wire.errors import UnsupportedMedia

from .call import OCTETS, Call, nothing
from .forwarded import client_address


async def put(call: Call) -> web.StreamResponse:
    """PUT /v1/links/{link_id}/{slot}."""
    if call.request.content_type != OCTETS:
        raise UnsupportedMedia(f"a slot is {OCTETS}")
    services = call.services
    services.rates.take_link(client_address(call.request, services.settings.proxy.trusted))
    link_id = call.path_id("link_id", limits.LINK_ID_BYTES)
    services.links.put(link_id, call.request.match_info["slot"], call.body)
    return nothing()


async def get(call: Call) -> web.StreamResponse:
    """GET /v1/links/{link_id}/{slot}?wait_seconds=: 200 with what is there, or 204."""
    data = await call.services.links.get(
        call.path_id("link_id", limits.LINK_ID_BYTES),
        call.request.match_info["slot"],
        wait_seconds=call.query_int("wait_seconds", 0, most=limits.MAX_LONG_POLL_SECONDS),
    )
    return nothing() if data is None else web.Response(body=data, content_type=OCTETS)
