"""Which frame may come in which state of a connection: a pure table; docs/protocol.md, "States". Knows no bytes, no I/O.

CHALLENGED ── authenticate ─► AUTHENTICATED ── resume ─► RESUMED (has the mailbox)
     └────── anonymous ─────► ANONYMOUS
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from relay.wire.errors import OutOfTurn
from relay.wire.frames import Ack, Anonymous, Authenticate, ClientFrame, Resume, Submit


class State(Enum):
    """Where a connection stands."""

    CHALLENGED = "challenged"  # the relay has spoken; nothing is proved
    AUTHENTICATED = "authenticated"  # a device; its mailbox is not taken
    RESUMED = "resumed"  # a device that has its mailbox: it gets envelopes and acknowledges them
    ANONYMOUS = "anonymous"  # nobody; writes with delivery tokens
    CLOSED = "closed"  # refused, replaced or gone

    # Members are compared by identity; the table below is looked up for every frame, and Enum's own hash is slow.
    __hash__ = object.__hash__


NEXT: Final[Mapping[tuple[State, type[ClientFrame]], State]] = MappingProxyType(
    {
        (State.CHALLENGED, Authenticate): State.AUTHENTICATED,
        (State.CHALLENGED, Anonymous): State.ANONYMOUS,
        (State.AUTHENTICATED, Submit): State.AUTHENTICATED,
        (State.AUTHENTICATED, Resume): State.RESUMED,
        (State.RESUMED, Submit): State.RESUMED,
        (State.RESUMED, Ack): State.RESUMED,
        (State.ANONYMOUS, Submit): State.ANONYMOUS,
    }
)
"""What is not in here is out of turn and ends the connection."""


def advance(state: State, frame: ClientFrame) -> State:
    """The state after `frame`; raises OutOfTurn if it may not come now."""
    following = NEXT.get((state, type(frame)))
    if following is None:
        raise OutOfTurn
    return following
