"""Keeps this device reachable: prekeys stocked and rotated at the relay, old private keys deleted when it is safe.

Private halves are kept before the relay sees the public ones; a try that was cut off is repeated with the same keys.
docs/protocol.md, "Prekeys".
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from crypto.limits import DAY_MS, ONE_TIME_STOCK
from crypto.local_prekeys import LocalPrekeys
from crypto.prekeys import KeyClass, KeyKind, SignedKey
from crypto.sessions import forget_expired
from relay.wire.limits import MAX_PREKEYS_PER_APPEND
from relay.wire.resources import PrekeysRequest, PrekeyStockAnswer

from .account import Account
from .errors import ClientError, Refused
from .message import Warned
from .store import facts, notices
from .store.database import Database, Transaction
from .store.prekey_rows import load_prekeys, save_prekeys
from .store.session_rows import all_sessions, save_sessions
from .system import System
from .transport import Transport

_EVERY_SECONDS: Final = 3_600.0
_AGAIN_SECONDS: Final = 60.0
_STOCKED: Final = (KeyKind.KEM, KeyKind.ONE_TIME)
MAX_MADE_A_DAY: Final = 10 * ONE_TIME_STOCK
"""One-time keys of a kind: the relay alone says what is left, and must not make this device work and store at will."""


async def tend_prekeys(transport: Transport, database: Database, account: Account, system: System) -> None:
    """Bring the relay's stock up to what it should be. Raises RelayUnreachable, Refused."""
    for is_last in (False, True):
        answered = await transport.ask("GET", "/v1/prekeys", signed=True)
        stock = answered.read(PrekeyStockAnswer)
        missing = await database.run(partial(_plan, account=account, stock=stock, system=system))
        try:
            for start in range(0, len(missing), MAX_PREKEYS_PER_APPEND):
                part = missing[start : start + MAX_PREKEYS_PER_APPEND]
                await transport.ask(
                    "POST",
                    "/v1/prekeys",
                    body=PrekeysRequest(keys=[key.encode() for key in part]),
                    signed=True,
                )
                await database.run(partial(_uploaded, keys=part, now_ms=system.now_ms()))
            return
        except Refused as refused:
            # Another process of this device uploaded in between: look again what is there.
            if is_last or refused.reason != "prekey_conflict":
                raise


def _plan(
    tx: Transaction, *, account: Account, stock: PrekeyStockAnswer, system: System
) -> tuple[SignedKey, ...]:
    """Learn from the relay's stock, forget what is over, make what is due; what the relay lacks."""
    before = prekeys = load_prekeys(tx)
    now_ms = system.now_ms()
    left = {KeyKind(row.kind): row.one_time_left for row in stock.stock}
    highest = dict.fromkeys(KeyKind, 0) | {KeyKind(row.kind): row.highest_id for row in stock.stock}
    prekeys = prekeys.lacking(highest)
    arrived = [key for key in prekeys.to_upload(account.local) if key.key_id <= highest[key.kind]]
    prekeys = prekeys.uploaded(arrived, now_ms=now_ms)
    for kind in _STOCKED:
        prekeys = prekeys.stock_seen(kind, _at_relay(prekeys, kind, left.get(kind, 0)), now_ms=now_ms)
    caught_up_at_ms = facts.number(tx, facts.CAUGHT_UP_AT_MS)
    if caught_up_at_ms:
        prekeys = prekeys.forget_expired(caught_up_at_ms=min(caught_up_at_ms, now_ms))
    prekeys = _refill(tx, prekeys, left, system)
    save_prekeys(tx, before, prekeys)
    _tidy_sessions(tx, account, prekeys, now_ms)
    return prekeys.to_upload(account.local)


def _refill(
    tx: Transaction, prekeys: LocalPrekeys, left: Mapping[KeyKind, int], system: System
) -> LocalPrekeys:
    """Rotate, and fill up as far as this day's share goes; where that is not far enough, the user is told once."""
    now_ms = system.now_ms()
    began_at_ms = facts.number(tx, facts.STOCK_DAY_BEGAN_AT_MS)
    is_same_day = began_at_ms <= now_ms < began_at_ms + DAY_MS
    made_before = facts.number(tx, facts.STOCK_MADE) if is_same_day else 0
    room = max(0, MAX_MADE_A_DAY - made_before)
    at_relay = {}
    is_short = False
    for kind in _STOCKED:
        waiting = sum(
            not key.uploaded
            for key in prekeys.keys
            if key.kind is kind and key.key_class is KeyClass.ONE_TIME
        )
        lacking = ONE_TIME_STOCK - left.get(kind, 0) - waiting
        is_short = is_short or lacking > room
        at_relay[kind] = max(left.get(kind, 0), ONE_TIME_STOCK - waiting - room)
    filled = prekeys.refresh(
        one_time_at_relay=at_relay[KeyKind.ONE_TIME],
        kem_at_relay=at_relay[KeyKind.KEM],
        now_ms=now_ms,
        random=system.random,
    )
    made = max(filled.next_ids[kind - 1] - prekeys.next_ids[kind - 1] for kind in _STOCKED)
    if not is_same_day:
        facts.set_number(tx, facts.STOCK_DAY_BEGAN_AT_MS, now_ms)
    # One over the share stands for "told".
    told = made_before > MAX_MADE_A_DAY
    facts.set_number(tx, facts.STOCK_MADE, MAX_MADE_A_DAY + 1 if is_short else made_before + made)
    if is_short and not told:
        detail = (
            f"the relay says that {MAX_MADE_A_DAY:,} one-time keys were used up within a day:"
            " no more are made until tomorrow, first contacts get last-resort keys"
        )
        notices.tell(tx, Warned("prekeys_drained", detail))
    return filled


def _at_relay(prekeys: LocalPrekeys, kind: KeyKind, left: int) -> set[int]:
    """The ids of the one-time keys that the relay still has: it gives the oldest first."""
    ids = sorted(
        key.key_id
        for key in prekeys.keys
        if key.kind is kind and key.key_class is KeyClass.ONE_TIME and key.uploaded
    )
    return set(ids[-left:]) if left else set()


def _tidy_sessions(tx: Transaction, account: Account, prekeys: LocalPrekeys, now_ms: int) -> None:
    own = account.account_id, account.device_id
    changed = {}
    for key, sessions in all_sessions(tx, own).items():
        tidy = forget_expired(sessions, prekeys, now_ms=now_ms)
        if tidy is not sessions:
            changed[key] = tidy
    if changed:
        save_sessions(tx, own, changed, now_ms)


def _uploaded(tx: Transaction, *, keys: tuple[SignedKey, ...], now_ms: int) -> None:
    before = load_prekeys(tx)
    save_prekeys(tx, before, before.uploaded(keys, now_ms=now_ms))


class PrekeyCare:
    """Tends while this client listens: after catching up, when the relay says that keys run low, and hourly."""

    def __init__(
        self,
        transport: Transport,
        database: Database,
        account: Account,
        system: System,
        *,
        on_tended: Callable[[], None],
    ) -> None:
        self._on_tended = on_tended
        self._tend = partial(tend_prekeys, transport, database, account, system)
        self._due = asyncio.Event()
        self.last_error: ClientError | None = None

    def due(self) -> None:
        """Look soon."""
        self._due.set()

    async def run(self) -> None:
        """Until cancelled; a failure is tried again in a minute."""
        wait_seconds = _EVERY_SECONDS
        while True:
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._due.wait()
            except TimeoutError:
                self._due.set()
            self._due.clear()
            try:
                await self._tend()
                self._on_tended()
                self.last_error, wait_seconds = None, _EVERY_SECONDS
            except ClientError as error:
                self.last_error, wait_seconds = error, _AGAIN_SECONDS
