"""Every route of the relay, in one table: the router and the API's description are made from it."""

import json
from typing import Final

from aiohttp import web

from relay.wire import log_resources
from relay.wire import resources as models

from . import (
    accounts,
    blobs,
    envelopes,
    exports,
    health,
    invites,
    links,
    logs,
    mailbox,
    prekeys,
    profiles,
    push,
    recovery,
    transparency,
    websocket,
    wellknown,
)
from .asyncapi import asyncapi
from .call import LOG_TOKEN_HEADER, OCTETS, TOKEN_HEADER, Call, Route, Signing, serve
from .openapi import describe

_TUS: Final = "Tus-Resumable"


async def openapi(_call: Call) -> web.StreamResponse:
    """GET /v1/openapi.json."""
    return web.Response(body=_DESCRIPTION, content_type="application/json")


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/.well-known/tokenim",
        wellknown.relay_document,
        Signing.NONE,
        "what this relay is, signed in the header TokenIM-Signature",
        answer=models.RelayDocument,
    ),
    Route("GET", "/health", health.health, Signing.NONE, "the process lives", answer=models.HealthAnswer),
    Route(
        "GET", "/ready", health.ready, Signing.NONE, "it can take work, or 503", answer=models.HealthAnswer
    ),
    Route(
        "GET", "/v1/openapi.json", openapi, Signing.NONE, "this description", answer_media="application/json"
    ),
    Route(
        "GET", "/v1/asyncapi.json", asyncapi, Signing.NONE, "the WebSocket", answer_media="application/json"
    ),
    Route(
        "POST",
        "/v1/accounts",
        accounts.register,
        Signing.NONE,
        "register with an invite and manifest 1",
        request=models.RegisterRequest,
        answer=models.AccountAnswer,
        status=201,
    ),
    Route(
        "GET",
        "/v1/accounts/self",
        accounts.own_account,
        Signing.REQUIRED,
        "the own account",
        answer=models.AccountAnswer,
    ),
    Route(
        "DELETE",
        "/v1/accounts/self",
        accounts.delete_own_account,
        Signing.REQUIRED,
        "delete the own account for ever; signed by a device that manages it; 202: shut out, and gone when a hold ends",
        status=204,
        also=(202,),
    ),
    *exports.EXPORT_ROUTES,
    Route(
        "GET",
        "/v1/accounts/self/devices",
        accounts.own_devices,
        Signing.REQUIRED,
        "the own devices, and when each was last here",
        answer=models.OwnDevicesAnswer,
    ),
    Route(
        "POST",
        "/v1/accounts/self/manifests",
        accounts.advance_manifest,
        Signing.REQUIRED,
        "put the next manifest in place",
        request=models.ManifestRequest,
        answer=models.AccountAnswer,
    ),
    *profiles.PROFILE_ROUTES,
    *push.PUSH_ROUTES,
    *invites.INVITE_ROUTES,
    Route(
        "GET",
        "/v1/accounts/{account_id}/manifests",
        accounts.manifests,
        Signing.OPTIONAL,
        "manifests from a version on: with a delivery token, or signed by an own device",
        answer=models.ManifestsAnswer,
        query=("from",),
        request_headers=(TOKEN_HEADER,),
    ),
    Route(
        "POST",
        "/v1/accounts/{account_id}/manifests",
        recovery.advance,
        Signing.NONE,
        "put the next manifest in place by the signature of root key or manager alone",
        request=models.ManifestRequest,
        answer=models.AccountAnswer,
    ),
    Route(
        "POST",
        "/v1/recovery",
        recovery.recover,
        Signing.NONE,
        "the manifests of the account whose root key signs, from its last one on or from `from`",
        request=models.RecoveryRequest,
        answer=models.ManifestsAnswer,
        query=("from",),
    ),
    Route(
        "POST",
        "/v1/accounts/{account_id}/bundles",
        prekeys.claim,
        Signing.REQUIRED,
        "one set of prekeys for each device",
        request=models.ClaimRequest,
        answer=models.BundlesAnswer,
    ),
    Route(
        "PUT",
        "/v1/handle",
        accounts.set_handle,
        Signing.REQUIRED,
        "take a handle, and say whether it finds the account",
        request=models.HandleRequest,
        status=204,
    ),
    Route(
        "DELETE", "/v1/handle", accounts.release_handle, Signing.REQUIRED, "give the handle back", status=204
    ),
    Route(
        "GET",
        "/v1/handles/{handle}",
        accounts.find_handle,
        Signing.REQUIRED,
        "whom a handle names, if they want to be found",
        answer=models.HandleAnswer,
    ),
    Route(
        "POST",
        "/v1/delivery-tokens",
        accounts.add_delivery_token,
        Signing.REQUIRED,
        "add a delivery token, as its hash",
        request=models.DeliveryTokenRequest,
        status=204,
    ),
    Route(
        "GET",
        "/v1/delivery-tokens",
        accounts.list_delivery_tokens,
        Signing.REQUIRED,
        "the own delivery tokens, as hashes",
        answer=models.DeliveryTokensAnswer,
    ),
    Route(
        "DELETE",
        "/v1/delivery-tokens/{token_hash}",
        accounts.remove_delivery_token,
        Signing.REQUIRED,
        "remove a delivery token",
        status=204,
    ),
    Route(
        "POST",
        "/v1/prekeys",
        prekeys.append,
        Signing.REQUIRED,
        "append signed prekeys",
        request=models.PrekeysRequest,
        answer=models.PrekeyStockAnswer,
    ),
    Route(
        "GET",
        "/v1/prekeys",
        prekeys.stock,
        Signing.REQUIRED,
        "what is in stock",
        answer=models.PrekeyStockAnswer,
    ),
    Route(
        "GET",
        "/v1/connect",
        websocket.connect,
        Signing.NONE,
        "the WebSocket, subprotocol tokenim.v1",
        status=101,
    ),
    Route(
        "POST",
        "/v1/envelopes",
        envelopes.submit,
        Signing.OPTIONAL,
        "submit: with delivery tokens, or signed for own devices",
        request=models.SubmitRequest,
        answer=models.SubmitAnswer,
    ),
    Route(
        "GET",
        "/v1/mailbox",
        mailbox.poll,
        Signing.REQUIRED,
        "take the mailbox: what waits above `after`, or nothing after `wait_seconds`",
        answer=models.MailboxAnswer,
        query=("after", "wait_seconds"),
    ),
    Route(
        "POST",
        "/v1/mailbox/ack",
        mailbox.acknowledge,
        Signing.REQUIRED,
        "acknowledge, which deletes",
        request=models.AckRequest,
        status=204,
    ),
    Route(
        "GET",
        "/v1/mailbox/quarantine",
        mailbox.quarantine,
        Signing.REQUIRED,
        "envelopes that were delivered too often without an acknowledgement",
        answer=models.QuarantineAnswer,
        query=("after",),
    ),
    Route(
        "GET",
        "/v1/transparency/head",
        transparency.head,
        Signing.NONE,
        "the newest signed head of the transparency log",
        answer=models.HeadAnswer,
    ),
    Route(
        "GET",
        "/v1/transparency/consistency",
        transparency.consistency,
        Signing.NONE,
        "that the log of one size begins with the log of a smaller one",
        answer=models.ConsistencyAnswer,
        query=("from", "to"),
    ),
    Route("OPTIONS", "/v1/blobs", blobs.options, Signing.NONE, "what of tus is spoken here", status=204),
    Route(
        "POST",
        "/v1/blobs",
        blobs.create,
        Signing.REQUIRED,
        "begin an upload",
        request_headers=(_TUS, "Upload-Length", "Upload-Metadata"),
        status=201,
    ),
    Route(
        "HEAD",
        "/v1/blobs/{blob_id}",
        blobs.status,
        Signing.REQUIRED,
        "how far an upload is",
        request_headers=(_TUS,),
    ),
    Route(
        "PATCH",
        "/v1/blobs/{blob_id}",
        blobs.append,
        Signing.STREAMED,
        "go on with an upload",
        request_headers=(_TUS, "Upload-Offset", "Upload-Checksum"),
        request_media="application/offset+octet-stream",
        status=204,
    ),
    Route(
        "DELETE",
        "/v1/blobs/{blob_id}",
        blobs.remove,
        Signing.REQUIRED,
        "remove a blob",
        request_headers=(_TUS,),
        status=204,
    ),
    Route(
        "GET",
        "/v1/blobs/{blob_id}",
        blobs.download,
        Signing.NONE,
        "a complete blob, or a Range of it",
        request_headers=("Range", "If-Range"),
        answer_media=OCTETS,
    ),
    Route(
        "GET",
        "/v1/logs/{name}",
        logs.read,
        Signing.REQUIRED,
        "a log of the own account, from an index on",
        answer=log_resources.LogAnswer,
        query=("from",),
    ),
    Route(
        "POST",
        "/v1/logs/{name}",
        logs.append,
        Signing.REQUIRED,
        "append to a log of the own account",
        request=log_resources.LogAppendRequest,
        answer=log_resources.LogAppendAnswer,
    ),
    Route(
        "DELETE",
        "/v1/logs/{name}",
        logs.trim,
        Signing.REQUIRED,
        "remove the entries below `before`",
        query=("before",),
        status=204,
    ),
    Route(
        "POST",
        "/v1/group-logs",
        logs.create_group,
        Signing.REQUIRED,
        "make a group log",
        request=log_resources.GroupLogRequest,
        answer=log_resources.LogAppendAnswer,
        status=201,
    ),
    Route(
        "POST",
        "/v1/group-logs/{log_id}/entries",
        logs.append_group,
        Signing.NONE,
        "append to a group log: signed by its write key",
        request=log_resources.GroupLogAppendRequest,
        answer=log_resources.LogAppendAnswer,
    ),
    Route(
        "GET",
        "/v1/group-logs/{log_id}",
        logs.read_group,
        Signing.NONE,
        "a group log, from an index on: with its read token",
        answer=log_resources.LogAnswer,
        query=("from",),
        request_headers=(LOG_TOKEN_HEADER,),
    ),
    Route(
        "PUT",
        "/v1/links/{link_id}/{slot}",
        links.put,
        Signing.NONE,
        "write a slot of a link mailbox, once",
        request_media=OCTETS,
        status=204,
    ),
    Route(
        "GET",
        "/v1/links/{link_id}/{slot}",
        links.get,
        Signing.NONE,
        "a slot of a link mailbox; 204 if nothing was written there within `wait_seconds`",
        query=("wait_seconds",),
        answer_media=OCTETS,
    ),
)

_DESCRIPTION: Final = json.dumps(describe(ROUTES), separators=(",", ":")).encode()


def add_routes(app: web.Application) -> None:
    """Put every route into the application's router."""
    for route in ROUTES:
        app.router.add_route(route.method, route.path, serve(route))
