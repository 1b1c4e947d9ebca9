"""Chapter Registration: what is left of a device that a manifest takes out."""

import os

from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import resumed
from client.conformance.wire import CAUGHT_UP, DELIVER, STORED, UNKNOWN_DEVICE, from_base64, to_base64

from .delivery import envelope, outcome, store
from .suite import SUITE
from .writing import writing


@SUITE.case("manifest-removed-device-leaves-nothing", proves=("M-REG-05",))
async def leaves_nothing(relay: Relay) -> None:
    """A device that was taken out is unknown, has no keys to give, and finds neither envelopes nor prekeys when it comes back."""
    ann, asker = await relay.member(), await relay.member()
    other = ann.beside()
    with_both, path = (ann.entry(), other.entry(flags=0)), f"/v1/accounts/{ann.account}/bundles"
    await ann.advance(*with_both)
    for one in (ann, other):
        await one.stock(2)
    await store(relay, other, os.urandom(256), os.urandom(256))

    async def with_keys() -> list[bytes]:
        told = (await asker.ask("POST", path, {"token": to_base64(ann.token)})).must(200).json
        return sorted(from_base64(one["device_id"]) for one in told["bundles"])

    if await with_keys() != sorted((ann.device_id, other.device_id)):
        raise Failed(f"POST {path}: expected bundles of both devices")
    await ann.advance(ann.entry())
    if await with_keys() != [ann.device_id]:
        raise Failed(f"POST {path}: expected no bundle of the device that was taken out")
    async with writing(relay) as writer:
        await writer.send(envelope(other))
        await outcome(writer, UNKNOWN_DEVICE)
    await ann.advance(*with_both)
    if await with_keys() != [ann.device_id]:
        raise Failed("a device that was taken out and is listed again: expected that its prekeys are gone")
    stock = (await other.ask("GET", "/v1/prekeys")).must(200).json["stock"]
    if any(one["one_time_left"] for one in stock):
        raise Failed(f"GET /v1/prekeys of a device that is listed again: expected none left, got {stock}")
    async with resumed(other) as reader:
        await reader.expect(CAUGHT_UP)  # a deliver, or a missed, would be of its old mailbox
        await reader.quiet(0.2)
        async with writing(relay) as writer:
            await writer.send(envelope(other))
            await outcome(writer, STORED)
        await reader.expect(DELIVER)
