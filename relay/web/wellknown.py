"""What a relay says of itself: `/.well-known/tokenim`, signed by its key over the exact bytes."""

from importlib.metadata import version

from aiohttp import web

from relay.wire.links import encode_bytes
from relay.wire.resources import PushOffer, RateObject, RelayDocument
from relay.wire.transcripts import relay_document_transcript

from .call import Call


async def relay_document(call: Call) -> web.StreamResponse:
    """GET /.well-known/tokenim."""
    services = call.services
    body = (
        RelayDocument(
            relay=f"tokenim-relay/{version('tokenim')}",
            versions=["v1"],
            origin=services.origin,
            registration=services.settings.registration,
            registration_work_bits=services.identity.registration_work_bits,
            anonymous_submit=services.settings.anonymous_submit,
            signing_key=services.key.public,
            limits=services.settings.limits.advertised(),
            rates={
                name: RateObject(burst=rate.burst, per_second=rate.per_second)
                for name, rate in services.settings.rates.advertised().items()
            },
            push=PushOffer(kinds=list(services.push.kinds), vapid_key=services.push.vapid_key),
            time_ms=services.clock.now_ms(),
        )
        .model_dump_json()
        .encode()
    )
    signature = services.key.sign(relay_document_transcript(body))
    return web.Response(
        body=body, content_type="application/json", headers={"TokenIM-Signature": encode_bytes(signature)}
    )
