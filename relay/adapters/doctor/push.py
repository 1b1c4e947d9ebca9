"""Checks of push services: whether each that is switched on can be used with these settings. Wakes nobody."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from relay.ports.pusher import PushServices

from .findings import Finding, failed, ok


def check_push(opened: Callable[[], AbstractAsyncContextManager[PushServices]]) -> list[Finding]:
    """A line for each; one line if there is none."""
    try:
        found = asyncio.run(_ask(opened))
    except ValueError as error:
        return [failed("push", str(error), "correct it: until then no relay starts with these settings")]
    return found or [ok("push", "no service is switched on")]


async def _ask(opened: Callable[[], AbstractAsyncContextManager[PushServices]]) -> list[Finding]:
    async with opened() as services:
        checks = [(pusher.kind, await pusher.check()) for pusher in services.pushers]
    return [Finding(f"push {kind}", one.state, one.found, one.mend) for kind, one in checks]
