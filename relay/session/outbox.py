"""Frames that are ready to go, gathered into as few messages as the protocol allows; docs/protocol.md, "The WebSocket protocol".

Knows no socket: whoever writes is told once when something is there, and takes all of it.
"""

from collections.abc import Callable

from relay.wire import limits
from relay.wire.codec import message_head

_HEAD_BYTES = 3  # room for the larger of the two array headers


class Outbox:
    """Ordered frames of one connection, already encoded."""

    __slots__ = ("_count", "_parts", "_ready", "_sealed", "_size", "_waiting_bytes")

    def __init__(self, ready: Callable[[], None]) -> None:
        """`ready` is called when the first frame comes into an empty outbox, then not again until it was taken."""
        self._ready = ready
        self._sealed: list[list[bytes]] = []  # whole messages, each as the parts to be joined
        self._parts: list[bytes] = []  # the message that is being filled
        self._count = 0
        self._size = _HEAD_BYTES
        self._waiting_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes of frames that were not taken yet."""
        return self._waiting_bytes

    def put(self, frame: bytes, tail: bytes = b"") -> None:
        """Queue one encoded frame, or its two halves; `tail` may be shared with other connections."""
        size = len(frame) + len(tail)
        if not self._waiting_bytes:
            self._ready()
        elif self._count == limits.MAX_FRAMES_PER_MESSAGE or self._size + size > limits.MAX_MESSAGE_BYTES:
            self._seal()
        self._waiting_bytes += size
        self._count += 1
        self._size += size
        self._parts.append(frame)
        if tail:
            self._parts.append(tail)

    def _seal(self) -> None:
        self._sealed.append([message_head(self._count), *self._parts])
        self._parts = []
        self._count = 0
        self._size = _HEAD_BYTES

    def take(self) -> list[list[bytes]]:
        """Everything that waits, as messages in order, each a list of parts to be joined; leaves the outbox empty."""
        if self._count:
            self._seal()
        messages, self._sealed = self._sealed, []
        self._waiting_bytes = 0
        return messages
