"""Whether the process lives (`/health`) and whether it can take work (`/ready`). Says which part fails, not why."""

from typing import Final

from aiohttp import web

from relay.services.read_only import is_read_only
from relay.wire.errors import RelayError
from relay.wire.resources import HealthAnswer

from .call import Call, Route, Signing, answer

_NOT_READY: Final = 503


async def health(_call: Call) -> web.StreamResponse:
    """GET /health: the event loop turns."""
    return answer(HealthAnswer(status="ok"))


async def ready(call: Call) -> web.StreamResponse:
    """GET /ready: the store reads and commits."""
    try:
        await call.services.store.check()
    except RelayError as error:
        reason = "being moved" if is_read_only(error) else error.code
        return answer(HealthAnswer(status="not_ready", reasons=[f"store: {reason}"]), status=_NOT_READY)
    return answer(HealthAnswer(status="ok"))


HEALTH_ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/health", health, Signing.NONE, "the process lives", answer=HealthAnswer),
    Route("GET", "/ready", ready, Signing.NONE, "it can take work, or 503", answer=HealthAnswer),
)
"""All that a process without clients has to say."""
