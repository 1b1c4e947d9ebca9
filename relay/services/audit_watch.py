"""The relay's own eye on its audit log: verifies it by schedule, keeps heads in a second place, drops what old rows say.

Small pieces, with pauses: however long the log is, others have their turn. What it finds is a figure and a log line;
`tokenim-relay audit verify` tells the rest.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.ports.audit import AuditStore, HeadsFile, HeadsNotKept
from relay.ports.clock import Clock
from relay.ports.leadership import Leadership, Work
from relay.services.audit import Audit
from relay.services.audit_check import AuditCheck, AuditFault, AuditVerdict, open_heads
from relay.services.audit_records import read_head, told_head
from relay.services.retention import bounded_by_holds, drop_before_ms
from relay.wire.audit_rows import AuditHead
from relay.wire.errors import MalformedRequest

from .beside import beside, while_leading

STEP_ROWS: Final = 100  # one to two milliseconds
STEP_HEADS: Final = 20
PAUSE_SECONDS: Final = 0.005
MIN_INDEX: Final = -(2**63)


class AuditWatch:
    """Of one relay."""

    def __init__(
        self,
        store: AuditStore,
        audit: Audit,
        *,
        clock: Clock,
        log: EventLog,
        figures: Figures,
        every_seconds: float,
        keep_days: int,
        heads: HeadsFile | None,
        held_from_ms: Callable[[], Awaitable[int | None]],
    ) -> None:
        """`keep_days` 0: what rows say is kept for ever. `heads`: where heads are kept, beside what this process remembers.

        `held_from_ms`: time of the first row that a hold keeps."""
        self._store = store
        self._audit = audit
        self._clock = clock
        self._log = log
        self._figures = figures
        self._every_seconds = every_seconds
        self._keep_days = keep_days
        self._heads = heads
        self._held_from_ms = held_from_ms
        self._seen: AuditHead | None = None  # the log as it fitted last
        self._kept_rows = -1  # of the longest log whose head is in the second place

    async def run(self, failed: Callable[[BaseException], None]) -> None:
        """Round after round, until it is cancelled; `failed` is told what one raises."""
        self._figures.set("audit_verified_at_seconds", 0)  # an alert rings where no round comes to its end
        while True:
            try:
                await self.drop_old()
                await self.round()
            except Exception as error:  # noqa: BLE001  # whatever it is: the next round tries again
                failed(error)
            await self._clock.sleep(self._every_seconds)

    async def round(self) -> AuditVerdict:
        """Verify the log once, tell what was found, and, if it fits, keep its head."""
        began_ms = self._clock.monotonic_ms()
        verdict = await self._verify()
        faults = verdict.faults
        elapsed_ms = self._clock.monotonic_ms() - began_ms
        self._figures.set("audit_rows", verdict.rows)
        self._figures.set("audit_faults", len(faults))
        self._figures.set("audit_verified_at_seconds", self._clock.now_ms() / 1_000)
        self._figures.set("audit_verify_seconds", elapsed_ms / 1_000)
        if faults:
            row = next((fault.row for fault in faults if fault.row is not None), None)
            self._log.error("audit_damaged", row=row, count=len(faults), elapsed_ms=elapsed_ms)
        else:
            await self._keep_head()
        return verdict

    async def drop_old(self) -> None:
        """Drop what rows of days before the last `keep_days` say."""
        before_ms = drop_before_ms(self._clock.now_ms(), self._keep_days)
        if before_ms is None:
            return
        before_ms = await bounded_by_holds(before_ms, self._held_from_ms)
        while await self._audit.drop_details(before_ms=before_ms):
            await self._clock.sleep(PAUSE_SECONDS)

    async def _verify(self) -> AuditVerdict:
        heads, foreign = await self._known_heads()
        self._kept_rows = max((head.size for head in heads), default=-1)
        check = AuditCheck(self._audit.relay_public, heads)
        first = MIN_INDEX  # what was inserted before row 0 is to be seen
        while True:
            rows = await self._store.rows(first, STEP_ROWS)
            for row in rows:
                check.take(row)
            if rows:
                first = rows[-1].index + 1
                await self._clock.sleep(PAUSE_SECONDS)
            tip = await self._store.tip()
            # Rows may come while it reads: it ends where there is none after the last one that the log tells of.
            if check.gave_up or (not rows and (tip.size <= first or not await self._store.rows(first, 1))):
                break
        verdict = check.finish(tip)
        return replace(verdict, faults=foreign + verdict.faults)

    async def _known_heads(self) -> tuple[list[AuditHead], tuple[AuditFault, ...]]:
        """Those in the second place, and the one that this process saw; what is there and is no head is a fault."""
        heads = [] if self._seen is None else [self._seen]
        faults: tuple[AuditFault, ...] = ()
        lines = await self._kept_lines()
        for start in range(0, len(lines), STEP_HEADS):
            signed = []
            for number, line in enumerate(lines[start : start + STEP_HEADS], start + 1):
                try:
                    signed.append(read_head(line, number))
                except MalformedRequest as error:
                    faults += (AuditFault(None, str(error)),)
            found, foreign = open_heads(signed, self._audit.relay_public)
            heads += found
            faults += foreign
            await self._clock.sleep(PAUSE_SECONDS)
        return heads, faults

    async def _kept_lines(self) -> list[str]:
        if self._heads is None:
            return []
        try:
            return [line for line in await self._heads.lines() if line.strip()]
        except HeadsNotKept:
            self._tell_unkept()
            return []

    async def _keep_head(self) -> None:
        """The head of a log that fits; in the second place once for each size."""
        signed = await self._audit.head()
        self._seen = signed.head
        if self._heads is None or signed.head.size <= self._kept_rows:
            return
        try:
            await self._heads.add(json.dumps(told_head(signed)))
        except HeadsNotKept:
            self._seen = None  # tried again in the next round
            self._tell_unkept()
        else:
            self._figures.set("audit_heads_unkept", 0)

    def _tell_unkept(self) -> None:
        self._figures.set("audit_heads_unkept", 1)
        self._log.error("audit_heads_unkept")


@asynccontextmanager
async def open_audit_watch(
    watch: AuditWatch, leadership: Leadership, failed: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """The watch at work until the block ends, where this process is the one that does it."""
    run = while_leading(leadership, Work.HOUSEKEEPING, lambda: watch.run(failed))
    async with beside(run, "audit-watch"):
        yield
