"""Chapter Delivery: what a fan-out gives to whom, how much is under way at once, and how long it lives."""

import os

from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import resumed
from client.conformance.wire import ACK, DELIVER

from .delivery import store
from .suite import SUITE

_WINDOW_BYTES = 4_194_304
_LARGEST = 262_144


@SUITE.case("delivery-window-bytes", proves=("M-DELIV-08",))
async def window_bytes(relay: Relay) -> None:
    """While 4 MiB are unacknowledged on a connection nothing more comes; an ack brings the rest."""
    ann, count = await relay.member(), _WINDOW_BYTES // _LARGEST + 2
    await store(relay, ann, *[os.urandom(_LARGEST)] * count)
    async with resumed(ann) as reader:
        came = [await reader.expect(DELIVER), *[frame[1:] for frame in await reader.until_quiet(0.5)]]
        if (len(came) - 1) * _LARGEST >= _WINDOW_BYTES:
            raise Failed(f"expected no more after 4 MiB, got {len(came)} envelopes of {_LARGEST} B")
        await reader.send([ACK, came[-1][0]])
        for number in range(len(came) + 1, count + 1):
            if (await reader.expect(DELIVER))[0] != number:
                raise Failed(f"expected sequence {number} after the ack")
