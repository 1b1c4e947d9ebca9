"""Chapter The WebSocket protocol: the form of messages and frames."""

import json
import os
from typing import Any

import msgspec

from client.conformance.relay import Relay
from client.conformance.report import Failed
from client.conformance.socket import anonymous, resumed, signature, silent
from client.conformance.wire import (
    ACCEPTED,
    ACK,
    ANONYMOUS,
    AUTHENTICATE,
    CAUGHT_UP,
    CHALLENGE,
    READY,
    pack_frames,
    sha256,
)

from .delivery import envelope
from .suite import SUITE
from .writing import writing


@SUITE.case("frames-malformed", proves=("M-FRAME-01", "M-FRAME-02"))
async def malformed(relay: Relay) -> None:
    """Trailing bytes, unknown types, missing and extra fields, wrong types and lengths are malformed_frame, and 4000."""
    ann = await relay.member()
    good = envelope(ann)

    def changed(place: int, value: Any) -> list[Any]:
        return [*good[:place], value, *good[place + 1 :]]

    messages = {
        "a byte behind the array": pack_frames(good) + b"\0",
        "no MessagePack": b"\xc1",
        "an empty array": pack_frames(),
        "65 frames": pack_frames(*[[ACK, 0]] * 65),
        "a frame that is no array": msgspec.msgpack.encode([1]),
        "a type that there is not": pack_frames([99]),
        "a type of the other direction": pack_frames([CAUGHT_UP, 0]),
        "a field too few": pack_frames(good[:-1]),
        "fields too many": pack_frames([*good, [], 0]),
        "an envelope id of 15 B": pack_frames(changed(2, bytes(15))),
        "a class that there is not": pack_frames(changed(3, 9)),
        "a life longer than 30 days": pack_frames(changed(5, 2_592_001)),
        "no ciphertext": pack_frames(changed(6, [])),
        "an empty ciphertext": pack_frames(changed(6, [b""])),
        "no target": pack_frames(changed(7, [])),
        "text for bytes": pack_frames(changed(2, "0123456789abcdef")),
    }
    for name, message in messages.items():
        async with anonymous(ann) as socket:
            await socket.send_message(message)
            try:
                await socket.closed(4000, refusal="malformed_frame")
            except Failed as failure:
                raise Failed(f"{name}: {failure}") from None


@SUITE.case("frames-text-message", proves=("M-FRAME-01",))
async def text(relay: Relay) -> None:
    """A text message is malformed_frame."""
    async with anonymous(relay.stranger()) as socket:
        await socket.connection.send_str("[[5]]")
        await socket.closed(4000, refusal="malformed_frame")


@SUITE.case("frames-message-too-large")
async def too_large(relay: Relay) -> None:
    """A message over 1 MiB gets the close frame 1009."""
    async with anonymous(relay.stranger()) as socket:
        await socket.send_message(bytes(1_048_577))
        await socket.closed(1009)


@SUITE.case("frames-largest-envelope")
async def largest(relay: Relay) -> None:
    """An envelope of 262,144 B is taken, one byte more is not."""
    ann = await relay.member()
    async with writing(relay) as socket:
        await socket.send(envelope(ann, os.urandom(262_144)))
        await socket.expect(ACCEPTED)
        await socket.send(envelope(ann, os.urandom(262_145), request=2))
        await socket.closed(4000, refusal="malformed_frame")


@SUITE.case("frames-several-in-a-message")
async def several(relay: Relay) -> None:
    """Several frames may come in one message, the first ones of a connection too."""
    ann = await relay.member()
    writer = relay.stranger() if relay.document["anonymous_submit"] else await relay.member()
    async with silent(writer) as socket:
        challenge = (await socket.expect(CHALLENGE))[0]
        first = [AUTHENTICATE, writer.device_id, signature(writer, challenge)]
        if relay.document["anonymous_submit"]:
            first = [ANONYMOUS]
        await socket.send(first, envelope(ann, request=1), envelope(ann, request=2))
        await socket.expect(READY)
        if [(await socket.expect(ACCEPTED))[0] for _ in range(2)] != [1, 2]:
            raise Failed("expected both submits answered in their order")


@SUITE.case("frames-optional-field", proves=("M-FRAME-02",))
async def optional(relay: Relay) -> None:
    """A field in brackets may stand at the end of a frame, or be left out."""
    ann = await relay.member()
    async with writing(relay) as socket:
        await socket.send([*envelope(ann, request=1), []])
        await socket.expect(ACCEPTED)
    async with resumed(ann) as socket:
        await socket.next()
        await socket.send([ACK, 0, [1]])
        await socket.expect(CAUGHT_UP)


@SUITE.case("frames-ready-tells-the-limits")
async def ready(relay: Relay) -> None:
    """ready carries SHA-256 of the document's limits, as JSON with sorted keys and without spaces."""
    limits = json.dumps(relay.document["limits"], sort_keys=True, separators=(",", ":")).encode()
    async with silent(relay.stranger()) as socket:
        await socket.expect(CHALLENGE)
        await socket.send([ANONYMOUS])
        fields = await socket.expect(READY)
        if fields[0] != sha256(limits) or fields[1] != 0:
            raise Failed("expected the digest of the document's limits, and 0 for nobody's mailbox")
