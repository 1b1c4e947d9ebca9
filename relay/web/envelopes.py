"""POST /v1/envelopes: a submit by one request, anonymous with delivery tokens or signed for own devices."""

from aiohttp import web

from relay.services.roles import Operation
from relay.wire.frames import Grant, Submit, Target
from relay.wire.resources import ManifestBehind, SubmitAnswer, SubmitRequest

from .call import Call, answer
from .forwarded import client_address
from .websocket import FLOW


async def submit(call: Call) -> web.StreamResponse:
    """Answered after the commit."""
    if call.device is not None:
        call.require(Operation.SUBMIT)
    asked = call.read(SubmitRequest)
    services = call.services
    address = client_address(call.request, services.settings.proxy.trusted)
    services.rates.take_http_submit(address, len(asked.targets))
    accepted = await call.request.app[FLOW].submit(
        Submit(
            request_id=0,
            envelope_id=asked.envelope_id,
            envelope_class=asked.envelope_class,
            urgent=asked.urgent,
            ttl_seconds=asked.ttl_seconds,
            ciphertexts=tuple(asked.ciphertexts),
            targets=tuple(Target(one.device_id, one.ciphertext, one.grant) for one in asked.targets),
            grants=tuple(Grant(one.account_id, one.token, one.manifest_version) for one in asked.grants),
            work=tuple(asked.work),
        ),
        call.device,
    )
    return answer(
        SubmitAnswer(
            outcomes=list(accepted.outcomes),
            manifest_behind=[
                ManifestBehind(account_id=one.account_id, version=one.version)
                for one in accepted.manifest_behind
            ],
        )
    )
