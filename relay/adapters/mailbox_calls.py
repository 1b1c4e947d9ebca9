"""Calls on mailboxes that wait for the next group commit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from relay.ports.mailboxes import AppendResult, Submission
from relay.wire.errors import RelayError

T = TypeVar("T")


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Generic[T]):
    """Who waits, and what it will be told once the group is durable."""

    result: T
    error: RelayError | None = None
    tries: int = 0
    """How often it was set aside, as somebody held what it needs."""
    done: "asyncio.Future[T]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self) -> None:
        """Tell the result or the error; nothing if the caller has gone."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)

    def refuse(self, error: BaseException) -> None:
        """Nothing of the group happened."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True, eq=False, kw_only=True)
class Append(Call[AppendResult]):
    """`append`; `digests` are those of each submission's ciphertexts."""

    submissions: Sequence[Submission]
    digests: Sequence[Sequence[bytes]]
    now_ms: int


@dataclass(slots=True, eq=False, kw_only=True)
class Acknowledgement(Call[None]):
    """`ack`."""

    device_id: bytes
    up_to: int
    also: Sequence[int]


@dataclass(slots=True, eq=False, kw_only=True)
class Attempt(Call[bool]):
    """`count_attempt`; the result is whether the envelope is quarantined now."""

    device_id: bytes
    sequence: int
