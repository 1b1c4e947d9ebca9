"""Frames that are ready to go, gathered into as few messages as the protocol allows; docs/protocol.md, "The WebSocket protocol".

Knows no socket: whoever writes is told once when something is there, and takes all of it.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from relay.wire import limits
from relay.wire.codec import message_head

_MOST_FRAME_BYTES: Final = limits.MAX_MESSAGE_BYTES - 3  # 3: the larger of the two array headers


class Message(NamedTuple):
    """One message as the parts to be joined, and how many bytes they are."""

    parts: list[bytes]
    size: int


def _message(frames: list[bytes], size: int) -> Message:
    head = message_head(len(frames))
    return Message([head, *frames], len(head) + size)


class Outbox:
    """Ordered frames of one connection, already encoded."""

    __slots__ = ("_frames", "_ready", "waiting_bytes")

    def __init__(self, ready: Callable[[], None]) -> None:
        """`ready` is called when the first frame comes into an empty outbox, then not again until it was taken."""
        self._ready = ready
        self._frames: list[bytes] = []
        self.waiting_bytes = 0  # of frames that were not taken yet

    def put(self, frame: bytes) -> None:
        """Queue one encoded frame."""
        if not self._frames:
            self._ready()
        self._frames.append(frame)
        self.waiting_bytes += len(frame)

    def put_all(self, frames: Sequence[bytes]) -> None:
        """Queue encoded frames, in order."""
        if not self._frames and frames:
            self._ready()
        self._frames += frames
        self.waiting_bytes += sum(map(len, frames))

    def take(self) -> list[Message]:
        """Everything that waits, as messages in order; leaves the outbox empty."""
        frames, size = self._frames, self.waiting_bytes
        self._frames, self.waiting_bytes = [], 0
        if not frames:
            return []
        if len(frames) <= limits.MAX_FRAMES_PER_MESSAGE and size <= _MOST_FRAME_BYTES:
            return [_message(frames, size)]
        messages: list[Message] = []
        start, size = 0, 0
        for index, frame in enumerate(frames):
            if index > start and (
                index - start == limits.MAX_FRAMES_PER_MESSAGE or size + len(frame) > _MOST_FRAME_BYTES
            ):
                messages.append(_message(frames[start:index], size))
                start, size = index, 0
            size += len(frame)
        messages.append(_message(frames[start:], size))
        return messages
