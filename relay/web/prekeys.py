"""Prekeys over HTTP: append, stock, and the bundles of another account."""

from aiohttp import web

from relay.ports.prekeys import ClaimedPrekeys
from relay.ports.prekeys import PrekeyStock as Stock
from relay.services.roles import Operation
from relay.wire import limits
from relay.wire.prekeys import PrekeyKind
from relay.wire.resources import (
    Bundle,
    BundlesAnswer,
    ClaimRequest,
    PrekeysRequest,
    PrekeyStock,
    PrekeyStockAnswer,
)

from .call import Call, answer


def _told(stock: Stock) -> PrekeyStockAnswer:
    return PrekeyStockAnswer(
        stock=[
            PrekeyStock(
                kind=kind, one_time_left=stock.one_time.get(kind, 0), highest_id=stock.highest.get(kind, 0)
            )
            for kind in PrekeyKind
        ],
        digest=stock.digest,
    )


def _bundle(claimed: ClaimedPrekeys) -> Bundle:
    return Bundle(
        device_id=claimed.device_id,
        signed_prekey=claimed.signed,
        kem_prekey=claimed.kem,
        one_time_prekey=claimed.one_time,
        sealing_key=claimed.sealing,
    )


async def append(call: Call) -> web.StreamResponse:
    """POST /v1/prekeys."""
    call.require(Operation.PUBLISH_PREKEYS)
    return answer(_told(await call.services.prekeys.append(call.signer, call.read(PrekeysRequest).keys)))


async def stock(call: Call) -> web.StreamResponse:
    """GET /v1/prekeys."""
    call.require(Operation.PUBLISH_PREKEYS)
    return answer(_told(await call.services.prekeys.stock(call.signer)))


async def claim(call: Call) -> web.StreamResponse:
    """POST /v1/accounts/{account_id}/bundles: signed, and with a delivery token unless the account is the own one."""
    call.require(Operation.FETCH_BUNDLES)
    request = call.read(ClaimRequest)
    account_id = call.path_id("account_id", limits.ACCOUNT_ID_BYTES)
    account = await call.services.reach.require(account_id, request.token, call.signer)
    claimed = await call.services.prekeys.claim(call.signer, account, request.devices)
    for each in claimed:
        call.services.figures.add("bundles_total", label=each.kem_class.name.lower())
    return answer(
        BundlesAnswer(manifest_version=account.manifest_version, bundles=[_bundle(each) for each in claimed])
    )
