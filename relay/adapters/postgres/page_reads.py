"""The rows of pages: what is asked of many mailboxes in one turn of the event loop, or while others are read, is one statement.

An announcement of another node tells of many mailboxes at once, and each of them is read then: a statement for each would be
more work for both sides than what the statements bring. What somebody asks alone is a statement that reads one mailbox.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.wire import limits
from relay.wire.errors import NotFound, RelayError

from .database import Database, Row, hot

TOGETHER: Final = 64
"""Mailboxes of one statement."""
TOGETHER_BYTES: Final = TOGETHER * limits.MAX_ENVELOPE_BYTES // 2
"""Of the ciphertexts that one statement brings, shared alike; each mailbox gives one of any size."""
AT_ONCE: Final = 3
"""Statements; whoever asks meanwhile waits for one to end, and is joined to others that wait."""
PATIENCE_SECONDS: Final = 0.005
"""So long who asks waits for the one under way to end; then there is a reason for one more."""

_PAGE: Final = hot(
    "device_id",
    """SELECT sequence, envelope_id, received_at_ms, expires_at_ms, digest, shared_id,
              CASE WHEN fits THEN ciphertext END, fits, EXISTS (SELECT 1 FROM missed WHERE device_id = $1)
       FROM (SELECT *, sum(bytes) OVER above <= $4 OR row_number() OVER above = 1 AS fits
             FROM (SELECT sequence, envelope_id, received_at_ms, expires_at_ms, digest, shared_id, bytes, ciphertext
                   FROM envelopes WHERE device_id = $1 AND sequence > $2 AND NOT quarantined
                   ORDER BY sequence LIMIT $3 + 1) AS next
             WINDOW above AS (ORDER BY sequence)) AS filled
       ORDER BY sequence""",
)
"""A ciphertext that does not fit is not fetched: it lies outside of its row."""
_PAGES: Final = hot(
    "device_id",
    """SELECT sequence, envelope_id, received_at_ms, expires_at_ms, digest, shared_id,
              CASE WHEN fits THEN ciphertext END, fits, has_missed, given_up_to, place
       FROM (SELECT asked.place, m.given_up_to, m.has_missed, e.sequence, e.envelope_id, e.received_at_ms, e.expires_at_ms,
                    e.digest, e.shared_id, e.ciphertext,
                    sum(e.bytes) OVER above <= asked.most_bytes OR row_number() OVER above = 1 AS fits
             FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[])
                 WITH ORDINALITY AS asked(device_id, after, last, most_bytes, place)
             JOIN mailboxes AS m ON m.device_id = asked.device_id AND m.device_id = ANY($1::bytea[])
             LEFT JOIN envelopes AS e ON e.device_id = m.device_id AND e.sequence > asked.after
                 AND e.sequence <= asked.last AND NOT e.quarantined
             WINDOW above AS (PARTITION BY m.device_id, asked.place ORDER BY e.sequence)) AS filled
       ORDER BY place, sequence""",
)
"""By ranges of sequences, not by LIMIT: a limit for each mailbox is what Citus does not spread."""
_SHARED: Final = hot(
    "shared_id", "SELECT shared_id, ciphertext FROM shared_ciphertexts WHERE shared_id = ANY($1::bytea[])"
)
_KNOWN: Final = hot("device_id", "SELECT has_missed FROM mailboxes WHERE device_id = $1")


@dataclass(frozen=True, slots=True)
class PageRows:
    """What fits into a page: (sequence, envelope id, arrival, expiry, digest, shared id, own ciphertext, …), ascending."""

    rows: Sequence[Row]
    more: bool
    has_missed: bool
    copies: Mapping[bytes, bytes]
    """The shared ciphertexts of these rows, and perhaps others."""


@dataclass(slots=True, eq=False)
class _Asked:
    """Who waits for a page."""

    device_id: bytes
    after: int
    max_envelopes: int
    max_bytes: int
    found: "asyncio.Future[PageRows]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def answer(self, found: PageRows | BaseException) -> None:
        """Tell; nothing if who asked has gone."""
        if self.found.done():
            return
        if isinstance(found, BaseException):
            self.found.set_exception(found)
        else:
            self.found.set_result(found)


class PageReads:
    """Reads rows of mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: list[_Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers = 0
        self._is_starting = False
        self._is_patient = False

    async def rows(self, device_id: bytes, after: int, max_envelopes: int, max_bytes: int) -> PageRows:
        """Of one mailbox: at most so many, so large together (but at least one). Raises NotFound, Unavailable."""
        asked = _Asked(device_id, after, max_envelopes, max_bytes)
        self._asked.append(asked)
        self._start()
        return await asked.found

    async def copies(self, rows: Sequence[Row]) -> dict[bytes, bytes]:
        """The shared ciphertexts of these rows, by their own key."""
        shared_ids = sorted({row["shared_id"] for row in rows if row["shared_id"] is not None})
        if not shared_ids:
            return {}
        return {row[0]: row[1] for row in await self._database.rows(_SHARED, shared_ids)}

    def _start(self) -> None:
        """A reader, unless one is about to begin: it takes all that is asked until then. One more only if that takes long."""
        if not self._asked or self._is_starting or self._readers == AT_ONCE:
            return
        loop = asyncio.get_running_loop()
        if self._readers and len(self._asked) < TOGETHER:
            if not self._is_patient:
                self._is_patient = True
                loop.call_later(PATIENCE_SECONDS, self._lose_patience)
            return
        self._add_reader(loop)

    def _lose_patience(self) -> None:
        self._is_patient = False
        if self._asked and not self._is_starting and self._readers < AT_ONCE:
            self._add_reader(asyncio.get_running_loop())

    def _add_reader(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_starting = True
        self._readers += 1
        reader = loop.create_task(self._begin(), name="store-pages")
        self._tasks.add(reader)
        reader.add_done_callback(self._tasks.discard)

    async def _begin(self) -> None:
        self._is_starting = False
        try:
            await self._read()
        finally:
            # In the turn of its last look, not a turn later: who asks between would rely on one that looks no more.
            self._readers -= 1

    async def _read(self) -> None:
        while asked := self._asked[:TOGETHER]:
            del self._asked[:TOGETHER]
            self._start()  # of more than that
            try:
                await (self._together(asked) if len(asked) > 1 else self._answer_alone(asked[0]))
            except BaseException as error:
                for one in asked:
                    one.answer(error)
                if not isinstance(error, Exception):
                    raise

    async def _answer_alone(self, asked: _Asked) -> None:
        try:
            asked.answer(await self._alone(asked))
        except RelayError as error:
            asked.answer(error)

    async def _alone(self, asked: _Asked) -> PageRows:
        rows = await self._database.rows(
            _PAGE, asked.device_id, asked.after, asked.max_envelopes, asked.max_bytes
        )
        if rows:
            has_missed = bool(rows[0][8])
        else:
            known = await self._database.one(_KNOWN, asked.device_id)
            if known is None:
                raise NotFound("there is no such device")
            has_missed = bool(known[0])
        fitting, more = _fitting(rows, asked.max_envelopes)
        return PageRows(fitting, more, has_missed, await self.copies(fitting))

    async def _together(self, asked: Sequence[_Asked]) -> None:
        share = TOGETHER_BYTES // len(asked)
        found = await self._database.rows(
            _PAGES,
            [one.device_id for one in asked],
            [one.after for one in asked],
            [one.after + one.max_envelopes + 1 for one in asked],
            [min(one.max_bytes, share) for one in asked],
        )
        by_place: dict[int, list[Row]] = {}
        for row in found:
            by_place.setdefault(row[10], []).append(row)
        pages: list[tuple[_Asked, list[Row], bool, bool]] = []
        sparse: list[_Asked] = []
        for place, one in enumerate(asked, 1):
            rows = by_place.get(place)
            if rows is None:
                one.answer(NotFound("there is no such device"))
                continue
            _, _, _, _, _, _, _, _, has_missed, given_up_to, _ = rows[0]
            if rows[0][0] is None:
                rows = []
            if len(rows) <= one.max_envelopes and given_up_to > one.after + one.max_envelopes + 1:
                sparse.append(one)  # what is next stands behind the range
            else:
                pages.append((one, *_fitting(rows, one.max_envelopes), has_missed))
        copies = await self.copies([row for _, rows, _, _ in pages for row in rows])
        for one, rows, more, has_missed in pages:
            one.answer(PageRows(rows, more, has_missed, copies))
        for one in sparse:
            await self._answer_alone(one)


def _fitting(rows: list[Row], max_envelopes: int) -> tuple[list[Row], bool]:
    """Those that fit, and whether there are more; `rows` may have one more than `max_envelopes`."""
    fitting = [row for row in rows[:max_envelopes] if row[7]]
    return fitting, len(fitting) < len(rows)
