"""Chapter Delivery, over the WebSocket and over HTTP."""

import os
from typing import Any

from client.conformance.device import Device
from client.conformance.relay import Relay
from client.conformance.report import Failed, NotClaimed
from client.conformance.socket import Socket, anonymous, authenticated, resumed
from client.conformance.wire import (
    ACCEPTED,
    ACK,
    CAUGHT_UP,
    CONFLICT,
    DELIVER,
    DURABLE,
    EPHEMERAL,
    MISSED,
    NOT_ALLOWED,
    REFUSED,
    RELAYED,
    RESUME,
    STORED,
    SUBMIT,
    UNKNOWN_DEVICE,
)

from .suite import SUITE
from .writing import writing

DAY = 86_400
"""Seconds: the life of the envelopes of a case."""


def envelope(
    to: Device,
    ciphertext: bytes = b"",
    *,
    request: int = 1,
    envelope_id: bytes = b"",
    kind: int = DURABLE,
    ttl: int | None = None,
    token: bytes | None = None,
    device_id: bytes = b"",
    version: int | None = None,
) -> list[Any]:
    """A submit of one ciphertext for one device."""
    grant = [to.account_id, to.token if token is None else token, to.version if version is None else version]
    target = [device_id or to.device_id, 0, 0]
    ciphertext = ciphertext or os.urandom(256)
    if ttl is None:
        ttl = DAY if kind == DURABLE else 0
    return [SUBMIT, request, envelope_id or os.urandom(16), kind, False, ttl, [ciphertext], [target], [grant]]


async def outcome(socket: Socket, wanted: int, request: int = 1) -> list[Any]:
    """The fields of the next `accepted`, which says this of its one target."""
    fields = await socket.expect(ACCEPTED)
    if fields[:2] != [request, [wanted]]:
        raise Failed(f"expected accepted({request}, [{wanted}]), got accepted{tuple(fields)}")
    return fields


async def store(relay: Relay, to: Device, *ciphertexts: bytes) -> None:
    """Each is accepted for the device, in this order, from somebody else."""
    async with writing(relay) as writer:
        for number, ciphertext in enumerate(ciphertexts, 1):
            await writer.send(envelope(to, ciphertext, request=number))
            await outcome(writer, STORED, number)


@SUITE.case("delivery-in-order", proves=("M-DELIV-07",))
async def in_order(relay: Relay) -> None:
    """What is accepted is delivered, byte for byte, in the order of a sequence that begins at 1."""
    ann, sent = await relay.member(), [os.urandom(200 + number) for number in range(5)]
    async with writing(relay) as writer, resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        for number, ciphertext in enumerate(sent, 1):
            await writer.send(envelope(ann, ciphertext, request=number))
            await outcome(writer, STORED, number)
        came = [await reader.expect(DELIVER) for _ in sent]
        if [one[4] for one in came] != sent or [one[0] for one in came] != [1, 2, 3, 4, 5]:
            raise Failed(f"expected the five with sequences 1 to 5, got sequences {[one[0] for one in came]}")


@SUITE.case("delivery-accepted-is-kept")
async def kept(relay: Relay) -> None:
    """What was accepted waits for a device that was away, until it acknowledges; then it is gone."""
    ann, ciphertext = await relay.member(), os.urandom(300)
    await store(relay, ann, ciphertext)
    for _ in range(2):  # not acknowledged the first time
        async with resumed(ann) as reader:
            came = await reader.expect(DELIVER)
            if came[4] != ciphertext:
                raise Failed("expected the bytes that were submitted")
    async with resumed(ann) as reader:
        came = await reader.expect(DELIVER)
        await reader.send([ACK, came[0]])
        await reader.expect(CAUGHT_UP)
    async with resumed(ann, came[0]) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.quiet(0.3)


@SUITE.case("delivery-submitted-twice-is-once", proves=("M-DELIV-03", "M-DELIV-04"))
async def twice(relay: Relay) -> None:
    """The same bytes under the same id are stored once, and get the same outcome; others under it are a conflict."""
    ann, ciphertext, envelope_id = await relay.member(), os.urandom(256), os.urandom(16)
    async with writing(relay) as writer:
        for wanted, data in ((STORED, ciphertext), (STORED, ciphertext), (CONFLICT, os.urandom(256))):
            await writer.send(envelope(ann, data, envelope_id=envelope_id))
            await outcome(writer, wanted)
    async with resumed(ann) as reader:
        came = await reader.expect(DELIVER)
        await reader.quiet(0.3)
        await reader.send([ACK, came[0]])
        await reader.expect(CAUGHT_UP)
    async with writing(relay) as writer:
        await writer.send(envelope(ann, ciphertext, envelope_id=envelope_id))
        await outcome(writer, STORED)
    async with resumed(ann, came[0]) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.quiet(0.3)


@SUITE.case("delivery-outcomes-by-device", proves=("M-DELIV-06",))
async def outcomes(relay: Relay) -> None:
    """Outcomes are told for each device in one answer, and nothing fails as a whole because one is unknown."""
    ann, ben = await relay.member(), await relay.member()
    grants = [[ann.account_id, ann.token, 1], [ben.account_id, os.urandom(16), 1]]
    targets = [[ann.device_id, 0, 0], [os.urandom(16), 0, 0], [ben.device_id, 0, 1]]
    async with writing(relay) as writer:
        await writer.send(
            [SUBMIT, 7, os.urandom(16), DURABLE, False, DAY, [os.urandom(256)], targets, grants]
        )
        fields = await writer.expect(ACCEPTED)
        if fields[:2] != [7, [STORED, UNKNOWN_DEVICE, NOT_ALLOWED]]:
            raise Failed(f"expected stored, unknown_device, not_allowed, got {fields}")


@SUITE.case("delivery-manifest-behind")
async def behind(relay: Relay) -> None:
    """A grant with an older manifest than there is is told so, and the envelope is stored all the same."""
    ann = await relay.member()
    await ann.advance(ann.entry(), ann.beside().entry(flags=0))
    async with writing(relay) as writer:
        await writer.send(envelope(ann, version=1))
        fields = await outcome(writer, STORED)
        if len(fields) < 3 or [list(one) for one in fields[2]] != [[ann.account_id, 2]]:
            raise Failed(f"expected manifest_behind with version 2, got {fields[2:]}")


@SUITE.case("delivery-ack-is-cumulative")
async def cumulative(relay: Relay) -> None:
    """An ack deletes up to a sequence, and single ones above it; what it leaves comes again."""
    ann = await relay.member()
    await store(relay, ann, *[os.urandom(256) for _ in range(5)])
    async with resumed(ann) as reader:
        for _ in range(5):
            await reader.expect(DELIVER)
        await reader.send([ACK, 2, [4]])
        await reader.quiet(0.2)
    async with resumed(ann, 2) as reader:
        came = [(await reader.expect(DELIVER))[0] for _ in range(2)]
        if came != [3, 5]:
            raise Failed(f"expected the sequences 3 and 5 again, got {came}")


@SUITE.case("delivery-ack-ahead", proves=("M-DELIV-09",))
async def ahead(relay: Relay) -> None:
    """An ack, or a resume, above what was ever delivered is refused with sequence_ahead, and deletes nothing."""
    ann, ciphertext = await relay.member(), os.urandom(256)
    async with resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.send([ACK, 1_000])
        await reader.closed(4007, refusal="sequence_ahead")
    async with resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.send([ACK, 0, [1_000]])
        await reader.closed(4007, refusal="sequence_ahead")
    await store(relay, ann, ciphertext)
    async with resumed(ann, 1_000) as reader:
        await reader.closed(4007, refusal="sequence_ahead")
    async with resumed(ann) as reader:
        if (await reader.expect(DELIVER))[4] != ciphertext:
            raise Failed("expected the envelope, which no ack named")


@SUITE.case("delivery-caught-up")
async def caught_up(relay: Relay) -> None:
    """caught_up comes at once to an empty mailbox, and else with the ack of the last that waited, not before."""
    ann = await relay.member()
    async with resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
    await store(relay, ann, os.urandom(256), os.urandom(256))
    async with resumed(ann) as reader:
        await reader.expect(DELIVER)
        await reader.expect(DELIVER)
        await reader.send([ACK, 1])
        await reader.quiet(0.3)
        await reader.send([ACK, 2])
        if (await reader.expect(CAUGHT_UP))[0] != 2:
            raise Failed("expected caught_up(2)")


@SUITE.case("delivery-one-reader", proves=("M-DELIV-16",))
async def one_reader(relay: Relay) -> None:
    """The newest resume has the mailbox; the older connection is closed with 4001."""
    ann = await relay.member()
    async with resumed(ann) as older:
        await older.expect(CAUGHT_UP)
        async with resumed(ann) as newer:
            await older.closed(4001, refusal="replaced")
            await newer.expect(CAUGHT_UP)
            await store(relay, ann, os.urandom(256))
            await newer.expect(DELIVER)


@SUITE.case("delivery-ephemeral", proves=("M-DELIV-14", "M-DELIV-15"))
async def ephemeral(relay: Relay) -> None:
    """An ephemeral envelope reaches a connected device with sequence 0, and is never stored; the outcome tells neither."""
    ann = await relay.member()
    async with writing(relay) as writer:
        for kind, ttl in ((EPHEMERAL, 60), (DURABLE, 0)):
            await writer.send(envelope(ann, kind=kind, ttl=ttl))
            if (await writer.expect(REFUSED))[1] != "malformed_request":
                raise Failed(
                    "ttl_seconds of an ephemeral envelope is 0, and of no other: expected malformed_request"
                )
        await writer.send(envelope(ann, kind=EPHEMERAL))
        await outcome(writer, RELAYED)
        async with resumed(ann) as reader:
            await reader.expect(CAUGHT_UP)
            await reader.quiet(0.3)
            await writer.send(envelope(ann, kind=EPHEMERAL))
            await outcome(writer, RELAYED)
            if (await reader.expect(DELIVER))[0] != 0:
                raise Failed("expected sequence 0 of an ephemeral envelope")
    async with resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.quiet(0.3)


@SUITE.case("delivery-expired-is-told", proves=("M-DELIV-13",))
async def expired(relay: Relay) -> None:
    """What expires before it was acknowledged is not delivered, and stands in the sequence as missed."""
    ann = await relay.member()
    async with writing(relay) as writer:
        await writer.send(envelope(ann, ttl=1))
        await outcome(writer, STORED)
        await writer.send(envelope(ann, request=2))
        await outcome(writer, STORED, 2)
        await writer.quiet(1.5)
    async with resumed(ann) as reader:
        missed = await reader.expect(MISSED)
        if missed != [1, 1, 1]:
            raise Failed(f"expected missed(1, 1, expired), got missed{tuple(missed)}")
        if (await reader.expect(DELIVER))[0] != 2:
            raise Failed("expected the second envelope after what was missed")


@SUITE.case("delivery-window", proves=("M-DELIV-08",))
async def in_window(relay: Relay) -> None:
    """At most 256 envelopes are unacknowledged on a connection; an ack brings the next ones."""
    ann, count = await relay.member(), 260
    async with writing(relay) as writer:
        for number in range(1, count + 1):
            await writer.send(envelope(ann, os.urandom(64), request=number))
        for number in range(1, count + 1):
            await outcome(writer, STORED, number)
    async with resumed(ann) as reader:
        for _ in range(256):
            await reader.expect(DELIVER)
        await reader.quiet(0.3)
        await reader.send([ACK, 256])
        for number in range(257, count + 1):
            if (await reader.expect(DELIVER))[0] != number:
                raise Failed(f"expected sequence {number} after the ack")


@SUITE.case("delivery-no-token-no-envelope", proves=("M-REACH-01", "M-REACH-02"))
async def no_token(relay: Relay) -> None:
    """Without a delivery token nothing is stored; an empty one is good for the own account on an authenticated connection."""
    ann, ben = await relay.member(), await relay.member()
    async with writing(relay) as writer:
        await writer.send(envelope(ann, token=b""))
        await outcome(writer, NOT_ALLOWED)
    async with authenticated(ben) as writer:
        await writer.send(envelope(ben, token=b""))
        await outcome(writer, STORED)
        if relay.document["anonymous_submit"]:
            await writer.send(envelope(ann, request=2))
            refused = await writer.expect(REFUSED)
            if refused[:2] != [2, "not_allowed"]:
                raise Failed(
                    f"a submit to others on an authenticated connection: expected not_allowed, got {refused}"
                )


@SUITE.case("delivery-signed-submits")
async def signed_submits(relay: Relay) -> None:
    """Where the document says anonymous_submit: false, a submit of nobody is refused as a whole; tokens are needed as ever."""
    if relay.document["anonymous_submit"]:
        raise NotClaimed
    ann, ciphertext = await relay.member(), os.urandom(256)
    async with anonymous(ann) as nobody:
        await nobody.send(envelope(ann, ciphertext, request=5))
        if (refused := await nobody.expect(REFUSED))[:2] != [5, "not_allowed"]:
            raise Failed(f"a submit on an anonymous connection: expected not_allowed, got {refused}")
    async with writing(relay) as writer:
        await writer.send(envelope(ann, token=os.urandom(16)))
        await outcome(writer, NOT_ALLOWED)
    async with resumed(ann) as reader:
        await reader.expect(CAUGHT_UP)
        await reader.quiet(0.2)


@SUITE.case("delivery-submit-refused-as-a-whole", proves=("M-FRAME-04",))
async def whole(relay: Relay) -> None:
    """A submit whose index points nowhere is refused with its request id; the connection stays."""
    ann = await relay.member()
    async with writing(relay) as writer:
        wrong = envelope(ann, request=41)
        wrong[7][0][1] = 3
        await writer.send(wrong)
        fields = await writer.expect(REFUSED)
        if fields[0] != 41:
            raise Failed(f"expected refused with request id 41, got {fields}")
        await writer.send(envelope(ann, request=42))
        await outcome(writer, STORED, 42)


@SUITE.case("delivery-answers-in-order", proves=("M-FRAME-05",))
async def answers(relay: Relay) -> None:
    """Answers come in the order of the submits, which may be sent on while earlier ones are unanswered."""
    ann = await relay.member()
    async with writing(relay) as writer:
        for number in range(1, 41):
            await writer.send(envelope(ann, os.urandom(64), request=number))
        came = [(await writer.expect(ACCEPTED))[0] for _ in range(40)]
        if came != list(range(1, 41)):
            raise Failed(f"expected the answers 1 to 40 in order, got {came}")


@SUITE.case("delivery-resume-acknowledges")
async def resume_acknowledges(relay: Relay) -> None:
    """resume after a sequence acknowledges up to it."""
    ann = await relay.member()
    await store(relay, ann, os.urandom(256), os.urandom(256))
    async with resumed(ann) as reader:
        await reader.expect(DELIVER)
        await reader.expect(DELIVER)
    async with authenticated(ann) as reader:
        await reader.send([RESUME, 1])
        if (await reader.expect(DELIVER))[0] != 2:
            raise Failed("expected sequence 2 after resume(1)")
