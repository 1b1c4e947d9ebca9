"""Chapter Reach: what a delivery token opens, and which ones there are."""

import os

from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import resumed
from client.conformance.wire import CAUGHT_UP, NOT_ALLOWED, STORED, to_base64

from .delivery import envelope, outcome
from .suite import SUITE
from .writing import writing


@SUITE.case("token-of-another-account", proves=("M-REACH-01",))
async def another_account(relay: Relay) -> None:
    """A token opens the account that registered it and no other: another's good one is answered like one that there is not."""
    ann, ben, asker = await relay.member(), await relay.member(), await relay.member()
    tokens = ben.token, os.urandom(16)
    async with writing(relay) as writer:
        for request, token in enumerate(tokens, 1):
            await writer.send(envelope(ann, token=token, request=request))
            await outcome(writer, NOT_ALLOWED, request)
        await writer.send(envelope(relay.stranger(), token=ben.token, request=3))
        await outcome(writer, NOT_ALLOWED, 3)
        await writer.send(envelope(ben, request=4))
        await outcome(writer, STORED, 4)
    async with resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.quiet(0.2)
    for what in ("manifests?from=1", "profile", "bundles"):
        told = []
        for of, token in ((ann, tokens[0]), (ann, tokens[1]), (relay.stranger(), tokens[0])):
            path = f"/v1/accounts/{of.account}/{what}"
            if path.endswith("bundles"):
                answer = await asker.ask("POST", path, {"token": to_base64(token)})
            else:
                answer = await relay.get(path, **{"TokenIM-Delivery-Token": to_base64(token)})
            told.append({**answer.must(403, "not_allowed").json, "request_id": ""})
        if any(one != told[0] for one in told):
            raise Failed(f"…/{what}: expected one answer for both tokens and an unknown account, got {told}")
