"""Finds proofs of work, for envelopes to public tokens: on one thread, one at a time, and in the order asked for.

A proof is bound to envelope and token, so it is found once and good for every retry. docs/protocol.md, "Strangers".
"""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from relay.wire.limits import WORK_BYTES
from relay.wire.transcripts import registration_work_transcript, work_transcript
from relay.wire.work import begins_with_zeros

_EMPTY: Final = bytes(WORK_BYTES)
_TRIES_AT_ONCE: Final = 4_096
_TRIES_A_TURN: Final = 100_000  # then what was found goes out, and other accounts have their turn


@dataclass(frozen=True, slots=True)
class Piece:
    """One proof to find: `bits` zero bits for a 16 B envelope id, a 32 B account id and its 16 B token."""

    envelope_id: bytes
    account_id: bytes
    token: bytes = field(repr=False)
    bits: int


def find_work(piece: Piece, *, given_up: Callable[[], bool]) -> bytes | None:
    """8 B that are enough, after 2**bits tries on average; None once `given_up`."""
    hashed = work_transcript(
        envelope_id=piece.envelope_id, account_id=piece.account_id, token=piece.token, work=_EMPTY
    )
    return _find(hashed, piece.bits, given_up)


@dataclass(frozen=True, slots=True)
class AccountPiece:
    """The proof to find for an account without an invite: `bits` zero bits for a relay's origin, 32 B id, hash of manifest 1."""

    origin: str
    account_id: bytes
    manifest_hash: bytes
    time_ms: int
    bits: int


def find_account_work(piece: AccountPiece, *, given_up: Callable[[], bool]) -> bytes | None:
    """8 B that are enough, after 2**bits tries on average; None once `given_up`."""
    hashed = registration_work_transcript(
        origin=piece.origin,
        account_id=piece.account_id,
        manifest_hash=piece.manifest_hash,
        time_ms=piece.time_ms,
        work=_EMPTY,
    )
    return _find(hashed, piece.bits, given_up)


def _find(hashed: bytes, bits: int, given_up: Callable[[], bool]) -> bytes | None:
    """What stands at the end of `hashed`, in the place of zeros."""
    begun = hashlib.sha256(hashed.removesuffix(_EMPTY))
    first = 0
    while not given_up():
        for number in range(first, first + _TRIES_AT_ONCE):
            work = number.to_bytes(WORK_BYTES, "big")
            tried = begun.copy()
            tried.update(work)
            if begins_with_zeros(tried.digest(), bits):
                return work
        first += _TRIES_AT_ONCE
    return None


def _find_some(pieces: Sequence[Piece], given_up: Callable[[], bool]) -> dict[Piece, bytes]:
    """The first of them, and more while little was tried."""
    found: dict[Piece, bytes] = {}
    tried = 0
    for piece in pieces:
        work = find_work(piece, given_up=given_up)
        if work is None:
            break
        found[piece] = work
        tried += int.from_bytes(work, "big")
        if tried >= _TRIES_A_TURN:
            break
    return found


class Workbench:
    """What was found, and what is being looked for. `on_found` is called when something was."""

    def __init__(self, on_found: Callable[[], None]) -> None:
        self._on_found = on_found
        self._found: dict[Piece, bytes] = {}
        self._at_work: dict[bytes, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._closed = threading.Event()

    def found(self, piece: Piece) -> bytes | None:
        """The proof, if it is there."""
        return self._found.get(piece)

    def begin(self, account_id: bytes, pieces: Sequence[Piece]) -> None:
        """Look for these, in their order, unless something is being looked for for this account; not always for all."""
        wanted = [piece for piece in pieces if piece not in self._found]
        if wanted and account_id not in self._at_work:
            self._at_work[account_id] = asyncio.create_task(
                self._find(account_id, wanted), name="proof-of-work"
            )

    def forget(self, envelope_id: bytes) -> None:
        """The envelope needs none any more."""
        self._found = {piece: work for piece, work in self._found.items() if piece.envelope_id != envelope_id}

    async def close(self) -> None:
        """Give up what is being looked for; what was found stays."""
        self._closed.set()
        tasks = list(self._at_work.values())
        await asyncio.gather(*tasks, return_exceptions=True)
        self._closed = threading.Event()

    async def _find(self, account_id: bytes, pieces: Sequence[Piece]) -> None:
        closed = self._closed
        try:
            async with self._turn:
                found = await asyncio.to_thread(partial(_find_some, pieces, closed.is_set))
            self._found.update(found)
        finally:
            self._at_work.pop(account_id, None)
        self._on_found()
