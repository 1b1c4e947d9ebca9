"""Chapter Delivery: what is delivered too often, and the mailbox over HTTP."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from client.conformance.device import Answer, Device
from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import PATIENCE_SECONDS, resumed
from client.conformance.wire import ACK, CAUGHT_UP, DELIVER, STORED, from_base64

from .delivery import store
from .envelopes import as_json
from .suite import SUITE

_QUARANTINED = 7


@SUITE.case("delivery-quarantine", proves=("M-DELIV-12",))
async def quarantine(relay: Relay) -> None:
    """What was delivered too often without an ack is skipped, told, kept apart, and deleted by an ack that names it alone."""
    ann, poison, good = await relay.member(), os.urandom(256), os.urandom(256)
    await store(relay, ann, poison, good)
    for _ in range(relay.document["limits"]["max_delivery_attempts"]):
        async with resumed(ann) as reader:
            if (await reader.expect(DELIVER))[4] != poison:
                raise Failed("expected the lowest unacknowledged envelope again")
    async with resumed(ann) as reader:
        if (await reader.expect(DELIVER))[4] != good:
            raise Failed("expected that the envelope is skipped which was delivered too often")
        if (await reader.notice(_QUARANTINED))[0] != 1:
            raise Failed("expected the notice to name sequence 1")
        await reader.send([ACK, 2])
        await reader.expect(CAUGHT_UP)
    path = "/v1/mailbox/quarantine?after=0"
    kept = (await ann.ask("GET", path)).must(200).json["envelopes"]
    if [from_base64(one["ciphertext"]) for one in kept] != [poison]:
        raise Failed(f"GET {path}: expected the envelope, though an ack went beyond it, got {len(kept)}")
    (await ann.ask("POST", "/v1/mailbox/ack", {"up_to": 2, "also": [1]})).must(204)
    if (await ann.ask("GET", path)).must(200).json["envelopes"]:
        raise Failed(f"GET {path}: expected nothing after the ack that names it")


@SUITE.case("mailbox-over-http")
async def over_http(relay: Relay) -> None:
    """The mailbox over HTTP: submit, take, take again, acknowledge; then it is empty."""
    ann, ciphertext = await relay.member(), os.urandom(256)
    body = as_json(ann, ciphertext)
    submitted = await (ann.say if relay.document["anonymous_submit"] else ann.ask)(
        "POST", "/v1/envelopes", body
    )
    if submitted.must(200).json["outcomes"] != [STORED]:
        raise Failed(f"POST /v1/envelopes: expected stored, got {submitted.json}")
    told: dict[str, Any] = {}
    for _ in range(2):
        told = (await ann.ask("GET", "/v1/mailbox?after=0&wait_seconds=0")).must(200).json
        if [from_base64(one["ciphertext"]) for one in told["envelopes"]] != [ciphertext]:
            raise Failed(f"GET /v1/mailbox: expected the envelope, got {len(told['envelopes'])}")
    sequence = told["envelopes"][0]["sequence"]
    (await ann.ask("POST", "/v1/mailbox/ack", {"up_to": sequence})).must(204)
    told = (await ann.ask("GET", f"/v1/mailbox?after={sequence}&wait_seconds=0")).must(200).json
    if told["envelopes"] or told["more"]:
        raise Failed(f"GET /v1/mailbox after the ack: expected nothing, got {told}")
    (await ann.ask("POST", "/v1/mailbox/ack", {"up_to": sequence + 50})).must(409, "sequence_ahead")


@asynccontextmanager
async def _polling(device: Device) -> AsyncIterator[asyncio.Task[Answer]]:
    """A long poll of the device that is under way for up to 30 s."""
    poll = asyncio.create_task(device.ask("GET", "/v1/mailbox?after=0&wait_seconds=30"))
    try:
        yield poll
    finally:
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)


async def _ended(poll: asyncio.Task[Answer], what: str) -> Answer:
    try:
        return await asyncio.wait_for(poll, PATIENCE_SECONDS)
    except TimeoutError:
        raise Failed(f"a long poll that waits: expected its answer after {what}, none came") from None


@SUITE.case("mailbox-long-poll-waits")
async def long_poll(relay: Relay) -> None:
    """A long poll answers when something comes, and with nothing when as many seconds are over as it named."""
    ann, ciphertext = await relay.member(), os.urandom(256)
    began = time.monotonic()
    told = (await ann.ask("GET", "/v1/mailbox?after=0&wait_seconds=1")).must(200).json
    if told["envelopes"] or time.monotonic() - began < 0.9:
        raise Failed(
            f"a long poll of 1 s: expected nothing after it, got {told} at {time.monotonic() - began:.2f} s"
        )
    async with _polling(ann) as poll:
        await asyncio.sleep(0.3)  # it mostly waits by now; if not, it finds what came
        await store(relay, ann, ciphertext)
        told = (await _ended(poll, "an envelope")).must(200).json
        if [from_base64(one["ciphertext"]) for one in told["envelopes"]] != [ciphertext]:
            raise Failed(f"a long poll that waits: expected the envelope that came, got {told}")


@SUITE.case("mailbox-long-poll-takes-the-mailbox", proves=("M-DELIV-16",))
async def long_poll_takes(relay: Relay) -> None:
    """A long poll takes the mailbox: the connection that has it is closed with 4001, and a newer one ends the poll."""
    ann = await relay.member()
    async with resumed(ann) as older:
        await older.expect(CAUGHT_UP)
        async with _polling(ann) as poll:
            await older.closed(4001, refusal="replaced")
            async with resumed(ann) as newer:
                await newer.expect(CAUGHT_UP)
                (await _ended(poll, "a newer connection")).must(409, "replaced")
                await store(relay, ann, os.urandom(256))
                await newer.expect(DELIVER)
