"""Turns drafts into finished envelopes, in order for each recipient; gets from the relay what that needs.

It waits until the mailbox is drained when this client listens too: what waits there may answer a set-up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec

from relay.wire.limits import BLOB_ID_BYTES
from relay.wire.links import decode_id

from .account import Account
from .contents import decode_file, direct_conversation, encode_body
from .deliveries import Deliveries
from .devices.copies import tell_refusal
from .envelopes import Encrypted, can_encrypt, encrypt_drafts
from .errors import (
    ClientError,
    GroupError,
    GroupNotReady,
    MediaError,
    NotSent,
    Refused,
    RelayMisbehaved,
    RelayUnreachable,
    TrustError,
    UnknownRecipient,
    UsageError,
)
from .first_contact import Fetched, Missing, fetch
from .groups.sending import encrypt_group_drafts
from .lost_tokens import find_another_way
from .media import Progress, create_upload, send_up
from .message import State
from .pauses import Pauses
from .recipients import known_recipient, look_up, parse_recipient
from .reconnect import Backoff
from .store import history, queue
from .store.database import Database, Transaction
from .store.peers import find_peer
from .system import Step, System
from .transport import Transport

AT_ONCE: Final = 64  # drafts in one transaction: about 50 ms of the store's thread
_RECIPIENTS_AT_ONCE: Final = 8  # for whom something has to be fetched
_ROUNDS: Final = 4  # of fetching, for one transaction
_PAUSE_SECONDS: Final = 30.0
_SOON_SECONDS: Final = 0.5
_READY_WITHIN_SECONDS: Final = 4.0
"""A group whose secret or member tokens are on their way gets ready within so long, mostly: nobody is told of that."""
_NEW_DEVICE_MS: Final = 60_000
_NEW_DEVICE_WAITS: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks for the first prekeys of a device that was listed a moment ago; then it gets nothing of this."""
_AWAY: Final = ("unavailable", "shutting_down")
"""Refusals of a relay that cannot, for a moment: as if it were not there."""
_FOR_GOOD: Final = (UnknownRecipient, UsageError, MediaError, GroupError)


class _DeviceIsComing(Exception):
    """A device of the recipient is listed and about to put its prekeys up: look again in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class DraftWorker:
    """The encrypting half of the outbox; `run` until cancelled, `wake` when there is a new draft."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        deliveries: Deliveries,
        spool: Path,
        *,
        drained: Callable[[], Awaitable[None]],
        on_encrypted: Callable[[], None],
        on_settled: Callable[[], None],
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._deliveries = deliveries
        self._spool = spool
        self._drained = drained
        self._on_encrypted = on_encrypted
        self._on_settled = on_settled
        self._wake = asyncio.Event()
        self._paused: Pauses[str] = Pauses(system.monotonic_seconds)
        self._not_ready: dict[str, float] = {}
        """Groups that could not be written to, and since when."""
        self._looks: dict[bytes, int] = {}
        """How often was looked for the first prekeys of a new device."""
        self._for_hand_outs: set[str] = set()
        """Groups whose chain is on its way to its members."""
        self.progress: dict[int, Progress] = {}
        """Who wants to know how far the upload of a message is."""

    def wake(self, *, try_all: bool = False) -> None:
        """There is something new; `try_all`: also for recipients that could not be served a moment ago."""
        if try_all:
            self._paused.end_all()
        self._wake.set()

    def hand_outs_answered(self) -> None:
        """Something that others wait for may be with the relay now."""
        if self._for_hand_outs:
            self._for_hand_outs.clear()
            self._wake.set()

    async def run(self) -> None:
        """Work off what is there, then wait."""
        backoff = Backoff(self._system.random)
        while True:
            self._wake.clear()
            try:
                await self._drained()
                while await self._next_batch():
                    backoff.reset()
            except RelayUnreachable as error:
                self._deliveries.lost(error)
                await self._nap(backoff.next_seconds())
            else:
                await self._nap(self._paused.remaining_seconds())

    async def _nap(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            self._paused.end_due()

    async def _next_batch(self) -> bool:
        """Encrypt the oldest drafts, in order for each recipient; False if there is none to be served now."""
        drafts = await self._database.read(
            lambda tx: queue.next_drafts(tx, AT_ONCE, without=self._paused.places | self._for_hand_outs)
        )
        if not drafts:
            return False
        waiting: dict[str, list[queue.Draft]] = {}
        for draft in drafts:
            waiting.setdefault(draft.recipient, []).append(draft)
        for recipient in await self._encrypt_ready(waiting):
            del waiting[recipient]
        at_once = asyncio.Semaphore(_RECIPIENTS_AT_ONCE)

        async def serve(recipient: str, theirs: list[queue.Draft]) -> None:
            async with at_once:
                await self._serve(recipient, theirs)

        served = await asyncio.gather(
            *(serve(recipient, theirs) for recipient, theirs in waiting.items()), return_exceptions=True
        )
        for error in served:
            if error is not None:
                raise error
        return True

    async def _encrypt_ready(self, waiting: Mapping[str, list[queue.Draft]]) -> list[str]:
        """Encrypt for all recipients for whom nothing has to be fetched, in one transaction; those recipients."""

        def encrypt(tx: Transaction) -> tuple[list[str], list[Encrypted]]:
            ready, results = [], []
            for recipient, drafts in waiting.items():
                account_id = drafts[0].account_id
                if (
                    account_id is None
                    or drafts[0].is_group
                    or any(queue.find_upload(tx, draft.message_n) for draft in drafts)
                ):
                    continue
                if not can_encrypt(tx, account_id, drafts, self._system.now_ms()):
                    continue
                result = encrypt_drafts(tx, account_id, drafts, Fetched(), self._system)
                if isinstance(result, Encrypted):
                    ready.append(recipient)
                    results.append(result)
            return ready, results

        ready, results = await self._database.run(encrypt)
        for result in results:
            self._tell(result)
        return ready

    async def _serve(self, recipient: str, drafts: list[queue.Draft]) -> None:
        """Encrypt the drafts of one recipient with all that it takes; raises RelayUnreachable."""
        account_id, token = drafts[0].account_id, None
        try:
            account_id = account_id or await self._resolve(recipient)
            token = await self._database.read(partial(_token_of, account_id=account_id))
            drafts = await self._upload_first(drafts)
            if drafts and drafts[0].is_group:
                await self._encrypt_for_group(recipient, account_id, drafts)
            else:
                await self._encrypt(account_id, drafts)
        except RelayUnreachable:
            raise
        except _DeviceIsComing as coming:
            self._paused.begin(recipient, coming.seconds)
        except GroupNotReady as error:
            now = self._system.monotonic_seconds()
            if now - self._not_ready.setdefault(recipient, now) < _READY_WITHIN_SECONDS:
                self._paused.begin(recipient, _SOON_SECONDS)
                return
            await self._pause(recipient, drafts)
            self._deliveries.failed([draft.message_n for draft in drafts], error)
        except _FOR_GOOD as error:
            await self._give_up(drafts, error)
        except (Refused, TrustError, RelayMisbehaved) as error:
            if _is_not_allowed(error) and await self._has_another_way(account_id, token):
                return  # the drafts wait, and are taken up again at once
            if isinstance(error, Refused) and error.reason in _AWAY:
                raise RelayUnreachable(str(error)) from error  # callers of `send` have patience with that
            if isinstance(error, Refused) and not error.retryable and error.reason != "unauthenticated":
                await self._give_up(drafts, error)
            else:
                await self._pause(recipient, drafts)
                self._deliveries.failed([draft.message_n for draft in drafts], error)

    async def _pause(self, recipient: str, drafts: list[queue.Draft]) -> None:
        """They cannot be served now: who waits for others of the same message waits no longer for these."""
        self._paused.begin(recipient, _PAUSE_SECONDS)
        numbers = [draft.n for draft in drafts]
        await self._database.run(lambda tx: queue.note_stuck(tx, numbers))
        self._on_settled()

    async def _encrypt_for_group(self, recipient: str, group_id: bytes, drafts: list[queue.Draft]) -> None:
        """Encrypt what can be; the rest waits until the chain's hand-outs are with the relay."""
        result = await self._database.run(lambda tx: encrypt_group_drafts(tx, group_id, drafts, self._system))
        self._not_ready.pop(recipient, None)
        if result.waits:
            self._for_hand_outs.add(recipient)
        self._tell(Encrypted(list(result.messages), list(result.done), []))

    async def _has_another_way(self, account_id: bytes | None, token: bytes | None) -> bool:
        if account_id is None or token is None:
            return False
        return await find_another_way(self._transport, self._database, account_id, token)

    async def _resolve(self, recipient: str) -> bytes:
        """The account behind what the user typed; all that waits for it learns it."""
        to = parse_recipient(recipient)
        peer = await self._database.run(lambda tx: known_recipient(tx, to, self._account.origin))
        if peer is None or peer.token is None:
            peer = await look_up(self._transport, self._database, str(to))
        if peer.blocked:
            raise UsageError(f"{peer.name} is blocked: unblock first")
        account_id = peer.account_id
        conversation = direct_conversation(self._account.account_id, account_id)
        await self._database.run(lambda tx: queue.name_recipient(tx, recipient, account_id, conversation))
        return account_id

    async def _upload_first(self, drafts: list[queue.Draft]) -> list[queue.Draft]:
        """What can be encrypted now without breaking the order: up to the first file, or that file once it is up."""
        uploads = await self._database.read(
            lambda tx: {draft.n: queue.find_upload(tx, draft.message_n) for draft in drafts}
        )
        ready = list(takewhile(lambda draft: uploads[draft.n] is None, drafts))
        if ready:
            return ready
        upload = uploads[drafts[0].n]
        if upload is not None:
            try:
                await self._upload(upload)
            except (MediaError, Refused) as error:
                if isinstance(error, MediaError) or not error.retryable:
                    await self._give_up(drafts[:1], error)
                    return []
                raise
        return drafts[:1]

    async def _upload(self, upload: queue.Upload) -> None:
        number = upload.message_n
        while True:
            if upload.location is None:
                location = await create_upload(self._transport, upload)
                await self._database.run(partial(queue.place_upload, message_n=number, location=location))
                upload = replace(upload, location=location)
            progress = self.progress.get(number, _nobody_asks)
            if await send_up(self._transport, upload, self._spool / upload.spool, progress):
                break
            upload = replace(upload, location=None)
        self._deliveries.found()
        finished = upload
        await self._database.run(lambda tx: _uploaded(tx, finished))
        self.progress.pop(number, None)
        await asyncio.to_thread((self._spool / upload.spool).unlink, missing_ok=True)

    async def _encrypt(self, account_id: bytes, drafts: list[queue.Draft]) -> None:
        if not drafts:
            return
        fetched = Fetched()
        for _ in range(_ROUNDS):
            needed = fetched
            result = await self._database.run(
                lambda tx: encrypt_drafts(tx, account_id, drafts, needed, self._system)  # noqa: B023  # awaited in this turn
            )
            if isinstance(result, Encrypted):
                self._tell(result)
                return
            fetched = await self._get(result, fetched)
            await self._wait_for_new_devices(account_id, fetched)
        raise Refused("recipient_changes", "the recipient's devices change too quickly", retryable=True)

    async def _get(self, missing: Missing, had: Fetched) -> Fetched:
        more = await fetch(self._transport, self._database, self._account, self._system, missing)
        self._deliveries.found()
        return Fetched({**had.bundles, **more.bundles}, more.at_ms or had.at_ms)

    async def _wait_for_new_devices(self, account_id: bytes, fetched: Fetched) -> None:
        """What is encrypted between a device's listing and its first prekeys would never be on it. Raises _DeviceIsComing."""
        without = {device_id for device_id, bundle in fetched.bundles.items() if bundle is None}
        if not without:
            return
        peer = await self._database.read(lambda tx: find_peer(tx, account_id))
        listed = () if peer is None or peer.chain is None else peer.chain.manifest.devices
        for entry in listed:
            looks = self._looks.get(entry.device_id, 0)
            is_new = abs(self._system.now_ms() - entry.added_at_ms) < _NEW_DEVICE_MS
            if entry.device_id in without and is_new and looks < len(_NEW_DEVICE_WAITS):
                self._looks[entry.device_id] = looks + 1
                raise _DeviceIsComing(_NEW_DEVICE_WAITS[looks])

    def _tell(self, result: Encrypted) -> None:
        for _ in result.messages:
            self._system.reached(Step.ENCRYPTION_COMMITTED)
        self._deliveries.accepted(result.done)
        self._deliveries.failed(
            result.refused, NotSent("the relay knows no device of this recipient (unknown_device)")
        )
        if result.messages:
            self._on_encrypted()
        if result.done or result.refused:
            self._on_settled()

    async def _give_up(self, drafts: list[queue.Draft], error: ClientError) -> None:
        """These will not go out: filed as refused, and told."""
        reason = error.reason if isinstance(error, Refused) else error.code
        numbers = [draft.message_n for draft in drafts]

        def file(tx: Transaction) -> None:
            history.set_state(tx, numbers, State.REFUSED, reason)
            for draft in drafts:
                queue.remove_upload(tx, draft.message_n)
                if draft.content is not None and draft.account_id is not None:
                    tell_refusal(tx, draft.message_n, draft.account_id, draft.content, reason, self._system)
            queue.remove_drafts(tx, [draft.n for draft in drafts])

        await self._database.run(file)
        self._deliveries.failed(numbers, error)
        self._on_settled()


def _is_not_allowed(error: ClientError) -> bool:
    return isinstance(error, Refused) and error.reason == "not_allowed"


def _token_of(tx: Transaction, *, account_id: bytes) -> bytes | None:
    peer = find_peer(tx, account_id)
    return None if peer is None else peer.token


def _nobody_asks(done: int, total: int) -> None:
    """Progress that nobody wants to see."""


def _uploaded(tx: Transaction, upload: queue.Upload) -> None:
    """The blob is at the relay: its message can name it now."""
    row = history.find(tx, upload.message_n)
    if row is not None and upload.location is not None:
        pointer = decode_file(row.body)
        named = msgspec.structs.replace(pointer, blob_id=decode_id(upload.location, BLOB_ID_BYTES))
        history.set_body(tx, upload.message_n, encode_body(named))
    queue.remove_upload(tx, upload.message_n)
