"""What an HTTP status of a push service means for a wakeup; an adapter looks first at what its service says in the body."""

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from relay.ports.pusher import Outcome, PushAnswer

ANSWER_SECONDS: Final = 20.0
"""What a service may take, with its connection and a second attempt: below the 30 s of the port."""
MOST_BODY_BYTES: Final = 16_384
"""What is read of a service's words."""

ACCEPTED: Final = PushAnswer(Outcome.SENT, "accepted")
UNREGISTERED: Final = PushAnswer(Outcome.GONE, "unregistered")
SILENT: Final = PushAnswer(Outcome.RETRY, "silent")
FAILING: Final = PushAnswer(Outcome.RETRY, "failing")
UNREACHABLE: Final = PushAnswer(Outcome.RETRY, "unreachable")
NOT_ALLOWED: Final = PushAnswer(Outcome.REFUSED, "not_allowed")
BAD_REQUEST: Final = PushAnswer(Outcome.REFUSED, "bad_request")
REDIRECTED: Final = PushAnswer(Outcome.REFUSED, "redirected")

MOST_RETRY_SECONDS: Final = 86_400.0
"""A wakeup that is asked for later than that is dropped by then anyway."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


class ServiceUnreachable(Exception):
    """No connection, or one that broke before there was an answer."""


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """Status, the header Retry-After if there was one, and as much of the body as MOST_BODY_BYTES."""

    status: int
    retry_after: str | None
    body: bytes


def retry_after_of(header: str | None, now_ms: int) -> float | None:
    """Seconds until the service wants to be asked again (RFC 9110, 10.2.3); None if it did not say, or nothing that is a time."""
    if header is None:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return min(float(header), MOST_RETRY_SECONDS)
    try:
        then = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)  # "-0000": the time is UTC, wherever it was written
    return min(max(0.0, then.timestamp() - now_ms / 1_000), MOST_RETRY_SECONDS)


def answer_of(status: int, retry_after: str | None, now_ms: int) -> PushAnswer:
    """By the status alone. 404 is here what any other 4xx is: a wrong URL in the settings must not remove every registration."""
    if 200 <= status < 300:
        return ACCEPTED
    if 300 <= status < 400:
        return REDIRECTED
    if status == 410:
        return UNREGISTERED
    if status == 429:
        return PushAnswer(Outcome.RETRY, "busy", retry_after_of(retry_after, now_ms))
    if status in (401, 403):
        return NOT_ALLOWED
    if status == 408:
        return SILENT
    if 400 <= status < 500:
        return BAD_REQUEST
    return PushAnswer(Outcome.RETRY, "failing", retry_after_of(retry_after, now_ms))
