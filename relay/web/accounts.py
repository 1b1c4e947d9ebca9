"""Accounts over HTTP: registering, manifests, handle, delivery tokens. Thin: models in, one service, models out."""

from typing import Final, cast

from aiohttp import web

from relay.ports.accounts import Account
from relay.ports.delivery_tokens import DeliveryToken, TokenClass
from relay.services.identity import Chain
from relay.services.load import Shed
from relay.services.roles import Operation, Role
from relay.wire import limits
from relay.wire import resources as models
from relay.wire.resources import (
    AccountAnswer,
    DeliveryTokenRequest,
    DeliveryTokensAnswer,
    GuestObject,
    HandleAnswer,
    HandleRequest,
    ManifestObject,
    ManifestRequest,
    ManifestsAnswer,
    OwnDevice,
    OwnDevicesAnswer,
    RegisterRequest,
)

from .call import Call, answer, nothing
from .forwarded import client_address
from .transparency import told_inclusion

_CREATED: Final = 201
_ACCEPTED: Final = 202


async def told_account(call: Call, account: Account) -> AccountAnswer:
    """The account as its own devices see it."""
    told = None
    if account.role == Role.GUEST and (guest := await call.services.store.guests.find(account.account_id)):
        told = GuestObject(expires_at_ms=guest.expires_at_ms, hosts=sorted(guest.hosts))
    return AccountAnswer(
        account_id=account.account_id,
        role=account.role,
        handle=account.handle,
        manifest_version=account.manifest_version,
        guest=told,
    )


async def told_chain(call: Call, account_id: bytes, chain: Chain) -> ManifestsAnswer:
    """A part of a chain, with the proof that its newest manifest is logged."""
    inclusion = await call.services.transparency.manifest(account_id, chain.latest)
    return ManifestsAnswer(
        manifests=[ManifestObject.of(signed) for signed in chain.manifests],
        latest=chain.latest,
        inclusion=told_inclusion(inclusion),
    )


async def register(call: Call) -> web.StreamResponse:
    """POST /v1/accounts."""
    services = call.services
    address = client_address(call.request, services.settings.proxy.trusted)
    services.rates.take_registration(address)
    services.load.admit(Shed.ACCOUNTS)
    account = await services.identity.register(call.read(RegisterRequest))
    services.figures.add("registered_total")
    return answer(await told_account(call, account), status=_CREATED)


async def own_account(call: Call) -> web.StreamResponse:
    """GET /v1/accounts/self."""
    return answer(await told_account(call, await call.services.identity.account(call.signer.account_id)))


async def delete_own_account(call: Call) -> web.StreamResponse:
    """DELETE /v1/accounts/self."""
    call.require(Operation.DELETE_ACCOUNT)
    is_gone = await call.services.deletion.delete_own(call.signer)
    return nothing() if is_gone else web.Response(status=_ACCEPTED)


async def own_devices(call: Call) -> web.StreamResponse:
    """GET /v1/accounts/self/devices."""
    seen = await call.services.identity.seen_devices(call.signer.account_id)
    return answer(
        OwnDevicesAnswer(
            devices=[
                OwnDevice(device_id=one.device_id, added_at_ms=one.added_at_ms, seen_day=one.seen_day)
                for one in seen
            ]
        )
    )


async def advance_manifest(call: Call) -> web.StreamResponse:
    """POST /v1/accounts/self/manifests."""
    call.require(Operation.CHANGE_MANIFEST)
    signed = call.read(ManifestRequest).manifest.signed_manifest()
    return answer(
        await told_account(call, await call.services.identity.advance(call.signer.account_id, signed))
    )


async def manifests(call: Call) -> web.StreamResponse:
    """GET /v1/accounts/{account_id}/manifests?from=N: by a delivery token, or signed by a device of the account."""
    account_id = call.path_id("account_id", limits.ACCOUNT_ID_BYTES)
    from_version = call.query_int("from", 1, least=1)
    if call.device is None or call.device.account_id != account_id:
        # An own device may always read its chain, a suspended account's too.
        await call.services.reach.require(account_id, call.delivery_token(), None)
    chain = await call.services.identity.chain(account_id, from_version)
    return answer(await told_chain(call, account_id, chain))


async def set_handle(call: Call) -> web.StreamResponse:
    """PUT /v1/handle."""
    call.require(Operation.SET_HANDLE)
    request = call.read(HandleRequest)
    await call.services.identity.set_handle(call.signer, request.handle, request.public_token)
    return nothing()


async def release_handle(call: Call) -> web.StreamResponse:
    """DELETE /v1/handle."""
    call.require(Operation.SET_HANDLE)
    await call.services.identity.release_handle(call.signer)
    return nothing()


async def find_handle(call: Call) -> web.StreamResponse:
    """GET /v1/handles/{handle}."""
    call.require(Operation.LOOK_UP_HANDLE)
    call.services.rates.take_lookup(call.signer.device_id)
    handle = call.request.match_info["handle"]
    account_id, public_token = await call.services.identity.find(handle, call.signer)
    logged = await call.services.transparency.handle(handle, account_id)
    return answer(
        HandleAnswer(
            account_id=account_id,
            public_token=public_token,
            version=logged.version,
            salt=logged.salt,
            inclusion=told_inclusion(logged.inclusion),
        )
    )


async def add_delivery_token(call: Call) -> web.StreamResponse:
    """POST /v1/delivery-tokens."""
    call.require(Operation.MANAGE_TOKENS)
    request = call.read(DeliveryTokenRequest)
    token = DeliveryToken(request.token_hash, TokenClass[request.token_class.upper()], request.expires_at_ms)
    await call.services.reach.add_token(call.signer, token)
    return nothing()


async def list_delivery_tokens(call: Call) -> web.StreamResponse:
    """GET /v1/delivery-tokens."""
    call.require(Operation.MANAGE_TOKENS)
    tokens = await call.services.reach.list_tokens(call.signer.account_id)
    return answer(
        DeliveryTokensAnswer(
            tokens=[
                models.DeliveryToken(
                    token_hash=token.token_hash,
                    token_class=cast(models.TokenClass, token.token_class.name.lower()),
                    expires_at_ms=token.expires_at_ms,
                )
                for token in tokens
            ]
        )
    )


async def remove_delivery_token(call: Call) -> web.StreamResponse:
    """DELETE /v1/delivery-tokens/{token_hash}."""
    call.require(Operation.MANAGE_TOKENS)
    await call.services.reach.remove_token(call.signer, call.path_bytes("token_hash", limits.HASH_BYTES))
    return nothing()
