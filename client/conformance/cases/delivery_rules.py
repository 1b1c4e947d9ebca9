"""Chapter Delivery: what a fan-out gives to whom, how much is under way at once, and how long it lives."""

import os

from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import resumed
from client.conformance.wire import ACCEPTED, ACK, CAUGHT_UP, DELIVER, DURABLE, MISSED, STORED, SUBMIT

from .delivery import DAY, envelope, outcome, store
from .suite import SUITE
from .writing import writing

_WINDOW_BYTES = 4_194_304
_LARGEST = 262_144


@SUITE.case("delivery-window-bytes", proves=("M-DELIV-08",))
async def window_bytes(relay: Relay) -> None:
    """While 4 MiB are unacknowledged on a connection nothing more comes; an ack brings the rest."""
    ann, count = await relay.member(), _WINDOW_BYTES // _LARGEST + 2
    await store(relay, ann, *[os.urandom(_LARGEST)] * count)
    async with resumed(ann) as reader:
        came = [await reader.expect(DELIVER), *[frame[1:] for frame in await reader.until_quiet(1.0)]]
        if (len(came) - 1) * _LARGEST >= _WINDOW_BYTES:
            raise Failed(f"expected no more after 4 MiB, got {len(came)} envelopes of {_LARGEST} B")
        await reader.send([ACK, came[-1][0]])
        for number in range(len(came) + 1, count + 1):
            if (await reader.expect(DELIVER))[0] != number:
                raise Failed(f"expected sequence {number} after the ack")


@SUITE.case("delivery-fan-out")
async def fan_out(relay: Relay) -> None:
    """Each target of a submit gets the ciphertext that it names, connected or away, and one may be for several."""
    ann, ben, cleo, dan = [await relay.member() for _ in range(4)]
    parts = [os.urandom(256), os.urandom(300), os.urandom(350)]
    gets = ((ann, 0), (ben, 1), (cleo, 2), (dan, 2))
    targets = [[one.device_id, part, number] for number, (one, part) in enumerate(gets)]
    grants = [[one.account_id, one.token, 1] for one, _ in gets]
    async with writing(relay) as writer, resumed(ben) as reader:
        await reader.expect(CAUGHT_UP)
        await writer.send([SUBMIT, 1, os.urandom(16), DURABLE, False, DAY, parts, targets, grants])
        accepted = await writer.expect(ACCEPTED)
        if accepted[:2] != [1, [STORED] * 4]:
            raise Failed(f"expected stored for all four, got {accepted}")
        if (await reader.expect(DELIVER))[4] != parts[1]:
            raise Failed("a target that is connected: expected the ciphertext that it names")
    for one, part in ((ann, 0), (cleo, 2), (dan, 2)):
        async with resumed(one) as reader:
            if (await reader.expect(DELIVER))[4] != parts[part]:
                raise Failed(f"a target that was away: expected the ciphertext {part}, which it names")


@SUITE.case("delivery-submitted-twice-lives-no-longer", proves=("M-DELIV-03",))
async def lives_no_longer(relay: Relay) -> None:
    """The same bytes again under the same id get the same outcome, and live no longer for it: whatever life they name."""
    ann, ciphertext, envelope_id = await relay.member(), os.urandom(256), os.urandom(16)
    async with writing(relay) as writer:
        for request, ttl in ((1, 1), (2, DAY)):
            await writer.send(envelope(ann, ciphertext, request=request, envelope_id=envelope_id, ttl=ttl))
            await outcome(writer, STORED, request)
        await writer.quiet(1.5)
    async with resumed(ann) as reader:
        missed = await reader.expect(MISSED)
        if missed != [1, 1, 1]:
            raise Failed(f"expected missed(1, 1, expired), got missed{tuple(missed)}")
