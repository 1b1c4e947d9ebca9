"""GET /v1/accounts/self/export: what the relay holds about the own account, streamed; docs/protocol.md, "Own data"."""

from typing import Final

from aiohttp import web

from relay.wire.errors import RelayError

from .call import REQUEST_ID, Call, Route, Signing


async def own_export(call: Call) -> web.StreamResponse:
    """The document, a page at a time; one that fails on its way ends the connection, so that no part looks whole."""
    call.services.rates.take_export(call.signer.account_id)
    pieces = call.services.exports.document(call.signer.account_id)
    first = await anext(pieces)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(call.request)
    try:
        await response.write(first.encode())
        async for piece in pieces:
            await response.write(piece.encode())
    except RelayError as error:
        call.services.log.failure(
            "export_failed", error, request_id=call.request[REQUEST_ID], code=error.code
        )
        if call.request.transport is not None:
            call.request.transport.abort()
        return response
    await response.write_eof()
    return response


EXPORT_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/accounts/self/export",
        own_export,
        Signing.REQUIRED,
        "all that the relay holds about the own account",
        answer_media="application/json",
    ),
)
