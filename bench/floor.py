"""The floor: a bare aiohttp server that answers and passes on the same frames with the same batching, and stores nothing.

What the relay's throughput is compared with. No authentication, no limits: everybody who says a number gets the
envelopes of this number. Prints `ready URL` like the relay.
"""

import asyncio
import itertools

from aiohttp import WSMsgType, web

from relay.wire import limits
from relay.wire.codec import SUBPROTOCOL, decode_from_client, encode_message
from relay.wire.frames import Accepted, Deliver, Frame, Outcome, Submit

RECEIVERS: dict[bytes, web.WebSocketResponse] = {}
SEQUENCES: dict[bytes, "itertools.count[int]"] = {}


async def connect(request: web.Request) -> web.WebSocketResponse:
    """`?device=<hex>` receives; everybody submits."""
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,), compress=False, max_msg_size=limits.MAX_MESSAGE_BYTES + 1
    )
    await socket.prepare(request)
    if device := request.query.get("device"):
        RECEIVERS[bytes.fromhex(device)] = socket
        SEQUENCES[bytes.fromhex(device)] = itertools.count(1)
    async for message in socket:
        if message.type is not WSMsgType.BINARY:
            break
        answers: list[Frame] = []
        deliveries: dict[bytes, list[Frame]] = {}
        for frame in decode_from_client(message.data):
            if not isinstance(frame, Submit):
                continue
            answers.append(Accepted(frame.request_id, (Outcome.STORED,)))
            for target in frame.targets:
                deliveries.setdefault(target.device_id, []).append(
                    Deliver(
                        next(SEQUENCES[target.device_id]),
                        frame.envelope_id,
                        1_800_000_000_000,
                        frame.envelope_class,
                        frame.ciphertexts[target.ciphertext],
                    )
                )
        if answers:
            await socket.send_bytes(encode_message(answers))
        for device_id, frames in deliveries.items():
            await RECEIVERS[device_id].send_bytes(encode_message(frames))
    return socket


async def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_get("/v1/connect", connect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"ready http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
