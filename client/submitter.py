"""Hands finished envelopes to the relay in order, many under way at once, and files what it answers.

The same bytes under the same id until they are answered, for at most 7 days from when they were made; an anonymous
connection, so that the relay does not learn who sends, unless it takes none. docs/protocol.md, "Delivery".
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from relay.wire.frames import Accepted, EnvelopeClass, Grant, Outcome, RelayFrame, Submit, Target
from relay.wire.frames import Refused as RefusedFrame
from relay.wire.limits import IDEMPOTENCY_SECONDS, MAX_TTL_SECONDS

from .account import Account
from .connection import Connection, ending, open_connection, refusal, run_together
from .deliveries import Deliveries
from .errors import Refused, RelayMisbehaved, RelayUnreachable
from .groups.submits import Addressing, address, waits
from .lost_tokens import refused_for_good
from .pauses import Pauses
from .reconnect import Backoff
from .relay_terms import RelayTerms, ask_terms, find_terms, tell_of_other_terms
from .store import queue
from .store.database import Database
from .submit_answers import Answer, Filed, draft_anew, file_answers, grant_for, needs_work
from .system import Step, System
from .transport import Transport
from .work import Piece, Workbench

_log = logging.getLogger(__name__)
UNDER_WAY: Final = 192
_READ_AT_ONCE: Final = 64
_ANSWER_SECONDS: Final = 60.0  # as over HTTP
_PAUSE_SECONDS: Final = {Outcome.MAILBOX_FULL: 15.0, Outcome.BUDGET_SPENT: 300.0}
"""So long is a recipient left alone who takes nothing now."""
_LONGEST_PAUSE_SECONDS: Final = 3_600.0
"""Of a group's envelope, for members who cannot get it now."""
_MAX_REQUEST_ID: Final = 2**32 - 1


class _TermsChanged(Exception):
    """The relay asks for another kind of connection than the one that is open."""


class Submitter:
    """The sending half of the outbox; `run` until cancelled, `wake` when there is something new."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        deliveries: Deliveries,
        *,
        drained: Callable[[], Awaitable[None]],
        on_redraft: Callable[[], None],
        on_answered: Callable[[], None],
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._deliveries = deliveries
        self._wake = asyncio.Event()
        self._under_way: dict[int, queue.Outgoing] = {}
        self._answered = asyncio.Event()
        self._sent_up_to = 0
        self._batches = 0
        """Of answers, since the beginning."""
        self._paused: Pauses[bytes] = Pauses(system.monotonic_seconds)
        self._one_by_one: set[bytes] = set()
        """Recipients whose mailbox was full: one envelope at a time, until one is taken, so that the order stays."""
        self._look_again = False
        self._request_id = 0
        self._drained = drained
        self._on_redraft = on_redraft
        self._terms = RelayTerms()
        self._brought: dict[int, tuple[bytes, int]] = {}
        """For each row the token, and the zero bits of the work, that it was submitted with last."""
        self._works_for: set[bytes] = set()
        """Accounts whose token the relay counts as public, whatever it is taken for here."""
        self._passed_over: set[bytes] = set()
        """Accounts for which a row waits for its work: what comes after it waits too, so that the order stays."""
        self._workbench = Workbench(self._look_from_the_start)
        self._on_answered = on_answered
        self._addressed: dict[int, Addressing] = {}
        """Of submits under way to groups, by request id."""
        self._tries: dict[bytes, int] = {}
        """How often a group's envelope found full mailboxes, or nobody to reach."""

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._wake.set()

    def reach_changed(self) -> None:
        """Who could not get a group's envelope may be reached now."""
        for envelope_id in self._tries:
            self._paused.end(envelope_id)
        self._look_from_the_start()

    def _look_from_the_start(self) -> None:
        """A row that was passed over may go now."""
        self._look_again = True
        self._wake.set()

    async def run(self) -> None:
        """Connect when there is something to send, stay connected, come back after a loss."""
        try:
            await self._run()
        finally:
            await self._workbench.close()

    async def _run(self) -> None:
        backoff = Backoff(self._system.random)
        self._terms = await self._database.read(find_terms)
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._database.read(lambda tx: queue.outgoing_after(tx, 0, 1)):
                continue
            try:
                signer = None if self._terms.anonymous_submit else self._account
                async with open_connection(self._transport, signer) as connection:
                    _log.info("connected for sending")
                    backoff.reset()
                    await self._converse(connection)
            except _TermsChanged:
                _log.info("the relay wants another kind of connection for sending")
            except RelayUnreachable as error:
                _log.info("no connection for sending, %d submits unanswered", len(self._under_way))
                self._deliveries.lost(error)
                await self._nap(backoff.next_seconds())
            except (Refused, RelayMisbehaved) as error:
                self._deliveries.lost(RelayUnreachable(str(error)))
                wait_ms = error.retry_after_ms if isinstance(error, Refused) else 0
                await self._system.sleep(backoff.next_seconds(max(wait_ms / 1_000, 1.0)))
            finally:
                # What was not answered goes out again, the same bytes under the same ids.
                self._under_way.clear()
                self._passed_over.clear()
                self._addressed.clear()
                self._sent_up_to = 0
                self._wake.set()

    async def _nap(self, seconds: float) -> None:
        """Wait before the next try; somebody who sends something new does not wait."""
        await run_together(_ends(self._system.sleep(seconds)), _ends(self._wake.wait()))

    async def _converse(self, connection: Connection) -> None:
        await run_together(self._send(connection), self._receive(connection), self._expect_answers())

    async def _expect_answers(self) -> None:
        """Raise RelayUnreachable when the relay leaves everything unanswered for so long: whoever waits gets to know."""
        while True:
            was_waiting, batches = bool(self._under_way), self._batches
            await self._system.sleep(_ANSWER_SECONDS)
            if was_waiting and self._under_way and batches == self._batches:
                raise RelayUnreachable("the relay does not answer what it was sent")

    async def _send(self, connection: Connection) -> None:
        await self._drained()  # a newer way to somebody may wait in the mailbox
        while True:
            self._wake.clear()
            if self._look_again:
                self._look_again, self._sent_up_to = False, 0
                self._passed_over.clear()
            rows = await self._database.read(
                lambda tx: queue.outgoing_after(tx, self._sent_up_to, _READ_AT_ONCE)
            )
            if not rows:
                await self._wait_for_more()
                continue
            self._sent_up_to = rows[-1].n
            frames = await self._frames(rows)
            if frames:
                await connection.send(frames)
                for _ in frames:
                    self._system.reached(Step.SUBMITTED)
            while len(self._under_way) >= UNDER_WAY:
                self._answered.clear()
                await self._answered.wait()

    async def _wait_for_more(self) -> None:
        """Until something new is there, or a paused recipient may be tried again."""
        seconds = self._paused.remaining_seconds()
        if seconds != 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
                return
            except TimeoutError:
                pass
        self._paused.end_due()
        self._sent_up_to = 0

    def _may_go(self, row: queue.Outgoing) -> bool:
        if row.place in self._paused or row.account_id in self._passed_over:
            return False
        if row.account_id in self._one_by_one:
            return all(other.account_id != row.account_id for other in self._under_way.values())
        return True

    async def _frames(self, rows: Sequence[queue.Outgoing]) -> list[Submit]:
        """The rows that may go as submits, with the newest grant; rows that are too old are encrypted anew."""
        under_way = {row.n for row in self._under_way.values()}
        rows = [row for row in rows if row.n not in under_way and self._may_go(row)]
        oldest_ms = self._system.now_ms() - IDEMPOTENCY_SECONDS * 1_000
        fresh = rows
        expired = [row for row in rows if row.made_at_ms < oldest_ms]
        if expired:
            taken = await self._database.run(partial(draft_anew, expired=expired))
            self._on_redraft()
            fresh = [row for row in rows if row.n not in taken and row.made_at_ms >= oldest_ms]
        grants, addressed = await self._database.read(
            lambda tx: (
                {
                    row.account_id: (grant_for(tx, row.account_id), needs_work(tx, row.account_id))
                    for row in fresh
                    if row.group is None
                },
                {row.n: address(tx, row, row.group) for row in fresh if row.group is not None},
            )
        )
        frames: list[Submit] = []
        lacking: dict[bytes, list[Piece]] = {}
        empty: list[Answer] = []
        for row in fresh:
            if not self._may_go(row):
                continue  # by an answer that came in between, or a row before it
            if row.group is not None:
                submit = self._group_frame(row, addressed[row.n], empty)
                frames += [] if submit is None else [submit]
                continue
            grant, is_public = grants[row.account_id]
            piece = self._piece(row, grant, is_public)
            found = None if piece is None else self._workbench.found(piece)
            if piece is not None and (found is None or row.account_id in lacking):
                lacking.setdefault(row.account_id, []).append(piece)
                continue
            self._brought[row.n] = grant.token, 0 if piece is None else piece.bits
            frames.append(
                Submit(
                    request_id=self._next_request(row),
                    envelope_id=row.envelope_id,
                    envelope_class=EnvelopeClass.DURABLE,
                    urgent=True,
                    ttl_seconds=MAX_TTL_SECONDS,
                    ciphertexts=tuple(one.ciphertext for one in row.envelopes),
                    targets=tuple(Target(one.device_id, index, 0) for index, one in enumerate(row.envelopes)),
                    grants=(grant,),
                    work=() if found is None else (found,),
                )
            )
        for account_id, pieces in lacking.items():
            self._passed_over.add(account_id)
            self._workbench.begin(account_id, pieces)
        if empty:
            self._tell(await self._database.run(partial(file_answers, answers=empty, system=self._system)))
        return frames

    def _next_request(self, row: queue.Outgoing) -> int:
        """The id of a submit of this row, which is under way from here on."""
        self._request_id = self._request_id % _MAX_REQUEST_ID + 1
        self._under_way[self._request_id] = row
        return self._request_id

    def _group_frame(self, row: queue.Outgoing, addressing: Addressing, empty: list[Answer]) -> Submit | None:
        """The submit of a group's envelope; None if nobody can be reached now, or (then in `empty`) nobody is left."""
        if addressing.submit is None:
            if addressing.unreached:
                self._wait_longer(row)
            else:
                empty.append(Answer(row, (), addressing=addressing))
            return None
        number = self._next_request(row)
        self._addressed[number] = addressing
        return msgspec.structs.replace(addressing.submit, request_id=number)

    def _wait_longer(self, row: queue.Outgoing) -> None:
        """A group's envelope for those who could not get it now: tried again later and later, alone."""
        tries = self._tries[row.envelope_id] = self._tries.get(row.envelope_id, 0) + 1
        first_seconds = _PAUSE_SECONDS[Outcome.MAILBOX_FULL]
        wait_seconds = min(first_seconds * 2 ** min(tries - 1, 10), _LONGEST_PAUSE_SECONDS)
        self._paused.begin(row.envelope_id, wait_seconds)

    def _piece(self, row: queue.Outgoing, grant: Grant, is_public: bool) -> Piece | None:
        """The proof of work that the row has to bring."""
        if not (is_public or row.account_id in self._works_for) or not self._terms.public_work_bits:
            return None
        return Piece(row.envelope_id, row.account_id, grant.token, self._terms.public_work_bits)

    async def _receive(self, connection: Connection) -> None:
        while True:
            frames = await connection.receive()
            self._batches += 1
            self._deliveries.found()
            answers = [answer for answer in map(self._answer, frames) if answer is not None]
            for _ in answers:
                self._system.reached(Step.ACCEPTED)
            if tell_of_other_terms(frames):
                self._terms = await ask_terms(self._transport, self._database, self._account)
            lasting = await self._keep_terms(answers)
            answers = await refused_for_good(self._transport, self._database, lasting, self._brought)
            if len(answers) < len(lasting):
                self._look_from_the_start()
            if answers:
                self._heed(answers)
                self._tell(
                    await self._database.run(partial(file_answers, answers=answers, system=self._system))
                )
                self._on_answered()
            self._answered.set()

    def _answer(self, frame: RelayFrame) -> Answer | None:
        if isinstance(frame, Accepted):
            row = self._under_way.pop(frame.request_id, None)
            sent = self._addressed.pop(frame.request_id, None)
            if row is None or len(frame.outcomes) != len(row.envelopes if sent is None else sent.targets):
                raise RelayMisbehaved("the relay answered what was not asked")
            behind = tuple(one.account_id for one in frame.manifest_behind)
            return Answer(row, frame.outcomes, behind, addressing=sent)
        if isinstance(frame, RefusedFrame):
            row = self._under_way.pop(frame.request_id, None)
            self._addressed.pop(frame.request_id, None)
            if row is None:
                raise ending(frame.code, frame.retry_after_ms)
            error = refusal(frame.code, frame.retry_after_ms)
            if error.retryable:
                raise error  # the relay cannot take it now: all of it again, later and in order
            return Answer(row, (), error=error)
        return None

    async def _keep_terms(self, answers: list[Answer]) -> list[Answer]:
        """Refusals by which the relay may only mean that its terms have changed: ask for them, and take such rows again.

        The rest of the answers. Raises _TermsChanged.
        """
        lacking = [one for one in answers if Outcome.WORK_REQUIRED in one.outcomes]
        refused = [one for one in answers if one.error is not None and one.error.reason == "not_allowed"]
        if not lacking and not refused:
            return answers
        before = self._terms
        self._terms = await ask_terms(self._transport, self._database, self._account)
        if refused and self._terms.anonymous_submit != before.anonymous_submit:
            # Nothing is lost: a row that was answered just now gets the same answer again.
            raise _TermsChanged
        bits = self._terms.public_work_bits
        again = [one for one in lacking if one.row.group is None and self._brought[one.row.n][1] < bits]
        if again:
            self._works_for |= {one.row.account_id for one in again}
            self._look_from_the_start()
        return [one for one in answers if one not in again]

    def _heed(self, answers: Sequence[Answer]) -> None:
        """A full mailbox holds back what comes after, at once; the first that is taken lets all go again."""
        for answer in answers:
            account_id = answer.row.account_id
            if answer.row.group is not None:
                if answer.addressing is not None and waits(answer.addressing, answer.outcomes):
                    self._wait_longer(answer.row)
                continue
            pause = next((_PAUSE_SECONDS[one] for one in answer.outcomes if one in _PAUSE_SECONDS), None)
            if pause is not None:
                self._paused.begin(account_id, pause)
                self._one_by_one.add(account_id)
                continue
            self._workbench.forget(answer.row.envelope_id)
            self._brought.pop(answer.row.n, None)
            if account_id in self._one_by_one and account_id not in self._paused:
                self._one_by_one.discard(account_id)
                self._look_again = True
                self._wake.set()

    def _tell(self, filed: Filed) -> None:
        self._deliveries.accepted(filed.accepted)
        for message_n, error in filed.refused:
            self._deliveries.failed([message_n], error)
        for message_n, error in filed.full:
            self._deliveries.failed([message_n], error)
            self._wake.set()
        if filed.redrafted:
            self._on_redraft()


async def _ends(waiting: Awaitable[object]) -> None:
    await waiting
