"""The chain of manifests over HTTP for whoever has the root key, and the next one from whoever has it. No device's request."""

from aiohttp import web

from relay.wire import limits
from relay.wire.resources import ManifestRequest, RecoveryRequest

from .accounts import told_account, told_chain
from .call import Call, answer
from .forwarded import client_address


def _count(call: Call) -> None:
    services = call.services
    services.rates.take_recovery(client_address(call.request, services.settings.proxy.trusted))


async def recover(call: Call) -> web.StreamResponse:
    """POST /v1/recovery?from=."""
    _count(call)
    asked = call.read(RecoveryRequest)
    from_version = call.query_int("from", 0) or None
    chain = await call.services.recovery.chain(asked, from_version)
    return answer(await told_chain(call, asked.account_id, chain))


async def advance(call: Call) -> web.StreamResponse:
    """POST /v1/accounts/{account_id}/manifests."""
    _count(call)
    signed = call.read(ManifestRequest).manifest.signed_manifest()
    account_id = call.path_id("account_id", limits.ACCOUNT_ID_BYTES)
    return answer(await told_account(call, await call.services.identity.advance_unasked(account_id, signed)))
