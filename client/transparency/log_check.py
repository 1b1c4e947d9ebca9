"""Asks the relay to prove what it shows: that a manifest or handle is in its log, and that the log only grew.

A proof that cannot be had now (no connection, too many requests) is asked for later, and what was shown is believed
meanwhile; a wrong answer is refused and told. docs/protocol.md, "Transparency".
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from client.account import Account
from client.errors import LogRefused, LogRolledBack, LogSplit, Refused, RelayMisbehaved, RelayUnreachable
from client.store.database import Database, Transaction
from client.store.log_rows import (
    KnownLog,
    Unconnected,
    add_unconnected,
    known_logs,
    remove_unconnected,
)
from client.transport import Transport
from crypto.errors import CryptoError
from crypto.transparency import Inclusion, SignedHead, verify_head
from relay.wire.resources import ConsistencyAnswer, HeadAnswer
from relay.wire.resources import Inclusion as InclusionAnswer

from .known_log import Judged, alarm, connect, judge_head, verdict_on_another_log

_ROUNDS: Final = 4  # of asking, while other answers move the known head


def read_inclusion(answer: InclusionAnswer) -> Inclusion:
    """The proof in an answer. Raises InvalidEncoding."""
    return Inclusion(SignedHead.parse(answer.head), answer.index, tuple(answer.hashes))


def _is_older(head: SignedHead, before: list[KnownLog]) -> bool:
    """Whether it is of an earlier state than what was known: of a smaller log, or of one that was replaced."""
    known = next((one.head for one in before if one.head.log_id == head.log_id), None)
    return known is not None and (known is not before[0].head or head.size < known.size)


class LogCheck:
    """Checks answers against the log of one relay. `account_id` of a check: whose manifest or handle it is about."""

    def __init__(self, transport: Transport, database: Database, account: Account) -> None:
        self._transport = transport
        self._database = database
        self._account = account

    async def before(self) -> list[KnownLog]:
        """What is known before a request is sent: the answer must not be older."""
        return await self._database.read(known_logs)

    async def require_logged(
        self,
        answer: InclusionAnswer,
        verify: Callable[[Inclusion], None],
        *,
        before: list[KnownLog],
        account_id: bytes,
        shown: bytes,
    ) -> Inclusion:
        """The proof, if it holds by `verify` and its head fits what is known of the log.

        `shown` are the bytes of what is proved, kept as evidence if the proof does not hold. Raises LogRefused,
        LogRolledBack, LogSplit: all told already.
        """
        try:
            inclusion = read_inclusion(answer)
            verify_head(inclusion.head, self._account.relay_key)
            verify(inclusion)
        except CryptoError as error:
            detail = f"the relay does not prove that what it shows is in its log: {error}"
            await self._alarm("log_refused", detail, account_id, shown, answer.head)
            raise LogRefused(detail) from error
        await self._require_connected(inclusion.head, before)
        return inclusion

    async def newest(self) -> SignedHead:
        """Ask for the newest head. Raises LogRefused, LogRolledBack, LogSplit, RelayUnreachable, Refused."""
        before = await self.before()
        answer = (await self._transport.ask("GET", "/v1/transparency/head")).read(HeadAnswer)
        try:
            head = SignedHead.parse(answer.head)
            verify_head(head, self._account.relay_key)
        except CryptoError as error:
            detail = f"the relay gives a head of its log that is none: {error}"
            await self._alarm("log_refused", detail, b"", b"", answer.head)
            raise LogRefused(detail) from error
        await self._require_connected(head, before)
        return head

    async def connect_later(self, one: Unconnected) -> None:
        """Connect a head that waits. Raises LogSplit, RelayUnreachable, and Refused if it is to be tried again."""
        logs = await self._database.read(known_logs)
        if one.head.log_id not in [each.head.log_id for each in logs]:
            present = await self.newest()
            if present.log_id != one.head.log_id:
                await self._judge(
                    lambda tx: verdict_on_another_log(tx, one.head, present, self._transport.now_ms())
                )
                await self._database.run(lambda tx: remove_unconnected(tx, one.head))
                return
        elif one.head.log_id != logs[0].head.log_id:
            # The relay proves nothing of a log that it replaced; what contradicts as it stands was told.
            await self._database.run(lambda tx: remove_unconnected(tx, one.head))
            return
        await self._connect(one.head)

    async def _require_connected(self, head: SignedHead, before: list[KnownLog]) -> None:
        """The relay's own head: not older than the one known before it was asked, and connected with it."""
        judged = await self._judge(lambda tx: judge_head(tx, head, self._transport.now_ms(), from_relay=True))
        if _is_older(head, before):
            detail = "the relay answers with an older head of its log than it gave before"
            await self._alarm("log_rolled_back", detail, b"", before[0].head.encode(), head.encode())
            raise LogRolledBack(detail)
        if not judged.needs_proof:
            return
        try:
            await self._connect(head)
        except (RelayUnreachable, Refused):
            now_ms = self._transport.now_ms()
            await self._database.run(lambda tx: add_unconnected(tx, b"", head, now_ms))

    async def _connect(self, head: SignedHead) -> None:
        """Raises LogSplit, RelayUnreachable, and Refused where asking again may help."""
        for _ in range(_ROUNDS):
            logs = await self._database.read(known_logs)
            known = next((each.head for each in logs if each.head.log_id == head.log_id), None)
            proof = () if known is None else await self._proof(known, head)
            taken = await self._judge(partial(self._take_proof, known=known, head=head, proof=proof))
            if not taken.needs_proof:
                await self._database.run(lambda tx: remove_unconnected(tx, head))
                return
        raise Refused("log_moves", "the relay's log grows too quickly to be compared", retryable=True)

    def _take_proof(
        self, tx: Transaction, known: SignedHead | None, head: SignedHead, proof: tuple[bytes, ...]
    ) -> Judged:
        now = next((each.head for each in known_logs(tx) if each.head.log_id == head.log_id), None)
        if now is not None and (known is None or now.size != known.size):
            return Judged(needs_proof=True)  # another answer came in between: the proof is for other sizes
        return connect(tx, self._account, head, proof, self._transport.now_ms())

    async def _proof(self, one: SignedHead, other: SignedHead) -> tuple[bytes, ...]:
        """What the relay gives as a proof; nothing, which proves nothing, if it has none for heads that it signed."""
        smaller, larger = sorted((one.size, other.size))
        if smaller in (0, larger):
            return ()
        target = f"/v1/transparency/consistency?from={smaller}&to={larger}"
        try:
            return tuple((await self._transport.ask("GET", target)).read(ConsistencyAnswer).hashes)
        except RelayMisbehaved:
            return ()
        except Refused as refused:
            if refused.retryable:
                raise
            return ()

    async def _judge(self, judge: Callable[[Transaction], Judged]) -> Judged:
        judged = await self._database.run(judge)
        if judged.wrong is not None:
            raise LogSplit(judged.wrong)
        return judged

    async def _alarm(self, kind: str, detail: str, account_id: bytes, known: bytes, other: bytes) -> None:
        now_ms = self._transport.now_ms()
        await self._database.run(lambda tx: alarm(tx, kind, detail, account_id, known, other, now_ms))
