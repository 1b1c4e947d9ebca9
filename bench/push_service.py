"""A push service of Web Push on loopback, as a process: takes each wakeup at once, or with `hanging` never answers.

Prints `ready URL` like the relay, and at SIGTERM how many came.
"""

import asyncio
import signal
import sys

from aiohttp import web


class Service:
    """Counts."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self.came = 0

    async def take(self, request: web.Request) -> web.Response:
        """One wakeup."""
        await request.read()
        self.came += 1
        if self._hangs:
            await asyncio.Event().wait()
        return web.Response(status=201)


async def main() -> None:
    """Serve until told to stop."""
    service = Service(hangs="hanging" in sys.argv[1:])
    app = web.Application()
    app.router.add_post("/{device}", service.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"ready http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await stopped.wait()
    print(f"came {service.came}", flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
