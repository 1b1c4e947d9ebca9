"""What is on its way out, as one thing: drafts are encrypted, envelopes are submitted, callers wait for both.

Nothing here holds a message: all of it is in the store, and goes on where it was after any crash.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .account import Account
from .contents import MAX_TEXT_CHARACTERS, MESSAGE_ID_BYTES, ContentType, Reference, Text, encode_body
from .deliveries import Deliveries
from .draft_worker import DraftWorker
from .errors import NotSent, RelayUnreachable, UsageError
from .groups.sending import GROUP_PREFIX
from .media import Progress
from .message import State
from .store import history, queue
from .store.database import Database, Transaction
from .store.peers import REACH
from .submitter import Submitter
from .system import Step, System
from .transport import Transport

_LINGER_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What the user wants to send."""

    content_type: int
    body: bytes
    spool: str | None = None
    """Of a file: the name of its encrypted copy in the spool folder, with length and SHA-256."""
    length: int = 0
    sha256: bytes = b""
    file_path: str | None = None
    file_sha256: bytes | None = None
    expires_after_seconds: int = 0
    """It disappears on both sides so long after it was read; 0: never."""


def text_message(text: str, answers: Reference | None = None) -> NewMessage:
    """A text, perhaps one that answers a message; raises UsageError if it is too long."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UsageError(f"a text has at most {MAX_TEXT_CHARACTERS} characters: send it as a file")
    try:
        return NewMessage(ContentType.TEXT, encode_body(Text(text, answers)))
    except UnicodeEncodeError as error:
        raise UsageError("the text is not UTF-8") from error


def _nobody_waits() -> None:
    """Nothing waits for answers but who sent."""


class Outbox:
    """Enter to start the workers (they do nothing until there is something to send), leave to stop them."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        spool: Path,
        *,
        drained: Callable[[], Awaitable[None]],
        on_answered: Callable[[], None] = _nobody_waits,
    ) -> None:
        self._account = account
        self._database = database
        self._system = system
        self._deliveries = Deliveries(system)
        self._submitter = Submitter(
            account,
            transport,
            database,
            system,
            self._deliveries,
            drained=drained,
            on_redraft=self._wake_encrypter,
            on_answered=self._answered,
        )
        self._draft_worker = DraftWorker(
            account,
            transport,
            database,
            system,
            self._deliveries,
            spool,
            drained=drained,
            on_encrypted=self._submitter.wake,
            on_settled=self._answered,
        )
        self._workers: list[asyncio.Task[None]] = []
        self._on_answered = on_answered
        database.watch(REACH, self._submitter.reach_changed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _wake_encrypter(self) -> None:
        self._draft_worker.wake()

    def _answered(self) -> None:
        self._draft_worker.hand_outs_answered()
        self._on_answered()

    def wake(self) -> None:
        """There is something to send, perhaps from an earlier time: work it off."""
        if not self._workers or any(worker.done() for worker in self._workers):
            for worker in self._workers:
                worker.cancel()
            self._deliveries.broken = None
            self._workers = [
                asyncio.create_task(self._draft_worker.run(), name="draft-worker"),
                asyncio.create_task(self._submitter.run(), name="submitter"),
            ]
            for worker in self._workers:
                worker.add_done_callback(self._deliveries.worker_ended)
        self._draft_worker.wake(try_all=True)
        self._submitter.wake()

    def watch(self, numbers: list[int]) -> "Sending":
        """Wait for what is kept already, by row numbers; `wake` sends it."""
        return Sending(self._database, self._deliveries, numbers)

    async def send(
        self,
        recipient: str,
        account_id: bytes | None,
        messages: Sequence[NewMessage],
        *,
        progress: Progress | None = None,
    ) -> "Sending":
        """Keep messages for a recipient; they are safe when this returns, and on their way."""
        numbers = await self._keep(recipient, account_id, messages)
        if progress is not None:
            self._draft_worker.progress.update(dict.fromkeys(numbers, progress))
        sending = Sending(self._database, self._deliveries, numbers)
        self.wake()
        return sending

    async def add_to(
        self, sending: "Sending", recipient: str, account_id: bytes | None, messages: Sequence[NewMessage]
    ) -> None:
        """More messages after those that `sending` waits for."""
        numbers = await self._keep(recipient, account_id, messages)
        sending.numbers += numbers
        sending.waiter.add(numbers)
        self.wake()

    async def _keep(
        self, recipient: str, account_id: bytes | None, messages: Sequence[NewMessage]
    ) -> list[int]:
        numbers = await self._database.run(lambda tx: self._add(tx, recipient, account_id, messages))
        for _ in numbers:
            self._system.reached(Step.DRAFTED)
        return numbers

    def _add(
        self, tx: Transaction, recipient: str, account_id: bytes | None, messages: Sequence[NewMessage]
    ) -> list[int]:
        numbers = []
        for message in messages:
            number = history.add_outgoing(
                tx,
                account_id=self._account.account_id,
                message_id=self._system.random(MESSAGE_ID_BYTES),
                content_type=message.content_type,
                body=message.body,
                sent_at_ms=self._system.now_ms(),
                file_path=message.file_path,
                file_sha256=message.file_sha256,
                expires_after_seconds=message.expires_after_seconds,
            )
            queue.add_draft(tx, number, recipient, account_id, is_group=recipient.startswith(GROUP_PREFIX))
            if message.spool is not None:
                queue.add_upload(
                    tx, queue.Upload(number, message.spool, message.length, message.sha256, None)
                )
            numbers.append(number)
        return numbers

    async def linger(self) -> None:
        """What the own other devices are told of what was sent goes out before the program ends, if that takes a moment."""
        if not self._workers or any(worker.done() for worker in self._workers):
            return
        numbers = await self._database.read(lambda tx: queue.waiting_for(tx, self._account.account_id))
        sending = Sending(self._database, self._deliveries, numbers)
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await sending.until(0, 0.0)
        except (TimeoutError, RelayUnreachable):
            return
        finally:
            sending.close()

    async def size(self) -> int:
        """How many messages wait for the relay."""
        return await self._database.read(queue.waiting)

    async def everything(self) -> "Sending":
        """Wait for what is in the outbox now, whoever put it there."""
        numbers = await self._database.read(queue.waiting_numbers)
        sending = Sending(self._database, self._deliveries, numbers)
        if numbers:
            self.wake()
        return sending

    async def send_out(self, patience_seconds: float) -> None:
        """Wait for what is in it now, out of patience or not: it goes out with the next call in any case."""
        sending = await self.everything()
        try:
            await sending.until(0, patience_seconds)
        finally:
            sending.close()


class Sending:
    """Messages that somebody waits for; `close` when not any more."""

    def __init__(self, database: Database, deliveries: Deliveries, numbers: list[int]) -> None:
        self._database = database
        self._deliveries = deliveries
        self.numbers = numbers
        self.waiter = deliveries.watch(numbers)

    async def until(self, most_left: int, patience_seconds: float) -> None:
        """Return when at most so many are undecided. Raises RelayUnreachable out of patience."""
        await self.waiter.until(most_left, patience_seconds, self._look)

    async def _look(self) -> None:
        left = list(self.waiter.left)
        for number, (state, refusal) in (
            await self._database.read(partial(history.decided, numbers=left))
        ).items():
            if state is State.REFUSED:
                self._deliveries.failed([number], NotSent(f"the message was refused ({refusal})"))
            else:
                self._deliveries.accepted([number])

    def close(self) -> None:
        """Nobody waits any more."""
        self._deliveries.forget(self.waiter)
