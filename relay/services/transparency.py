"""Heads and proofs of the transparency log, signed by the relay's key; docs/protocol.md, "Transparency".

Each costs a bounded number of reads, as many as the log's size has bits. Makes no leaf: those come with what they are about.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.ports.clock import Clock
from relay.ports.transparency import KnownRoot, LogStore
from relay.services.read_only import is_read_only
from relay.session.proof import RelayKey, verify_signature
from relay.wire import limits
from relay.wire.errors import MalformedRequest, NotAllowed, RelayError, Unavailable
from relay.wire.log_leaves import LeafKind, handle_leaf, handle_subject, head_transcript
from relay.wire.merkle import Subtree, consistency_path, fold, inclusion_path, node_numbers
from relay.wire.transcripts import LOG_HEAD_LABEL, parse_transcript

HEAD_KEPT_MS: Final = 5_000  # a head of an unchanged log is given again for so long


@dataclass(frozen=True, slots=True)
class Head:
    """The log at one moment; `signed` is 64 B signature ‖ transcript."""

    log_id: bytes
    size: int
    root: bytes
    time_ms: int
    signed: bytes


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a leaf is in the log of a head: its place, and 32 B hashes from the leaf upwards."""

    head: Head
    index: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HandleInclusion:
    """That whom a handle names is in the log: version of the binding, and the 16 B salt that the handle is hashed with."""

    version: int
    salt: bytes
    inclusion: Inclusion


def open_head(signed: bytes, relay_public: bytes) -> KnownRoot:
    """What a signed head says; raises MalformedRequest unless this 32 B key signed it."""
    signature, body = signed[: limits.SIGNATURE_BYTES], signed[limits.SIGNATURE_BYTES :]
    try:
        verify_signature(relay_public, body, signature)
        log_id, size, root, time_ms = parse_transcript(LOG_HEAD_LABEL, body)
    except (RelayError, ValueError) as error:
        raise MalformedRequest("this is no head that the relay of this data folder signed") from error
    return KnownRoot(log_id, int.from_bytes(size, "big"), root, int.from_bytes(time_ms, "big"))


class LogIncomplete(Exception):
    """What the store has is not in its log: somebody else wrote into it; `tokenim-relay transparency verify` tells where."""


class Transparency:
    """The log of one relay."""

    def __init__(self, log: LogStore, *, key: RelayKey, clock: Clock) -> None:
        self._log = log
        self._key = key
        self._clock = clock
        self._newest: Head | None = None
        self._signing = asyncio.Lock()

    async def head(self) -> Head:
        """The newest head. A new one if the log grew, or the last is HEAD_KEPT_MS old and the store takes its time.

        Times of heads never go back, whatever the clock and whenever the relay was started: the later head of a smaller
        log would prove that the relay deceives.
        """
        async with self._signing:
            state = await self._log.state()
            now_ms, newest = self._clock.now_ms(), self._newest
            same = newest is not None and (newest.log_id, newest.size) == (state.log_id, state.size)
            if newest is not None and same and now_ms < newest.time_ms + HEAD_KEPT_MS:
                return newest
            time_ms = max(now_ms, state.head_time_ms)
            try:
                await self._log.note_head_time(time_ms)
            except Unavailable as error:
                if newest is None or not same or not is_read_only(error):
                    raise
                return newest  # of a log that cannot grow either
            (root,) = await self._hashes([Subtree(0, state.size)])
            body = head_transcript(state.log_id, state.size, root, time_ms)
            self._newest = Head(state.log_id, state.size, root, time_ms, self._key.sign(body) + body)
            return self._newest

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """That the log of `new` leaves begins with the one of `old`; raises MalformedRequest for sizes it never had."""
        state = await self._log.state()
        if not old <= new <= state.size:
            raise MalformedRequest(f"from is at most to, and to at most the log's size, {state.size}")
        return await self._hashes(consistency_path(old, new))

    async def manifest(self, account_id: bytes, version: int) -> Inclusion:
        """That this version of an account's manifest is in the log; raises LogIncomplete."""
        found = await self._log.find(LeafKind.MANIFEST, account_id, version)
        if found is None:
            raise LogIncomplete("a manifest is not in the transparency log")
        return await self._include(found.index)

    async def handle(self, handle: str, account_id: bytes) -> HandleInclusion:
        """That the handle names this account.

        Raises LogIncomplete, and NotAllowed if the log has another account for it: then it changed hands just now, or
        somebody changed the table of handles, and no binding is told that is not in the log.
        """
        salt = await self._log.handle_salt(handle)
        found = await self._log.find(LeafKind.HANDLE, handle_subject(salt, handle))
        if found is None:
            raise LogIncomplete("a handle is not in the transparency log")
        if found.leaf != handle_leaf(found.leaf.subject, found.leaf.version, account_id):
            raise NotAllowed
        return HandleInclusion(found.leaf.version, salt, await self._include(found.index))

    async def _include(self, index: int) -> Inclusion:
        head = await self.head()
        return Inclusion(head, index, await self._hashes(inclusion_path(index, head.size)))

    async def _hashes(self, subtrees: Sequence[Subtree]) -> tuple[bytes, ...]:
        nodes = await self._log.nodes(_numbers(subtrees))
        try:
            return tuple(fold(subtree, nodes) for subtree in subtrees)
        except KeyError as error:
            raise LogIncomplete("a node of the transparency log is missing") from error


def _numbers(subtrees: Iterable[Subtree]) -> list[int]:
    return [number for subtree in subtrees for number in node_numbers(subtree)]
