"""Welcomes that wait: for their blob to be fetched, or for the user to say that this account wants in."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from client.account import load_account
from client.contents import ContentType, FilePointer
from client.errors import MediaError, Refused
from client.mailbox_batch import Batch
from client.mailbox_round import Taken, in_batch
from client.store.database import Database, Transaction
from client.store.group_held import Parked, forget_parked, parked_of_type
from client.store.groups import find_group
from client.system import System
from crypto.errors import CryptoError
from crypto.group_epoch import EpochHandOut
from crypto.group_log import Welcome
from crypto.group_state import parse_state

from .bodies import WelcomeBody, decode
from .handlers import take_welcome, takes_whole, waits_for_log
from .joined import may_welcome


async def take_waiting(
    database: Database, system: System, fetch_state: Callable[[FilePointer], Awaitable[bytes]]
) -> list[Taken]:
    """Take those that may be taken now. Raises RelayUnreachable."""
    done = []
    ready, spent = await database.read(_ready)
    for number in spent:
        await database.run(partial(forget_parked, n=number))
    for number, told in ready:
        try:
            body = decode(told.body, WelcomeBody)
            state = body.state if body.blob is None else await fetch_state(body.blob)
            hand_out = EpochHandOut.parse(body.hand_out)
            # Of thousands of members this takes a while: not in the event loop.
            welcome = Welcome(hand_out, body.next_entry, await asyncio.to_thread(parse_state, state))
            done.append(
                await database.run(
                    partial(
                        _take,
                        number=number,
                        told=told,
                        welcome=welcome,
                        read_token=body.read_token,
                        system=system,
                    )
                )
            )
        except (CryptoError, MediaError, Refused):
            # A welcome that is no good: who sent it, or another member, may send one that is.
            await database.run(partial(forget_parked, n=number))
    return done


def _ready(tx: Transaction) -> tuple[list[tuple[int, Parked]], list[int]]:
    """(The first one of each group that may be taken now, the numbers of those that nobody needs any more)."""
    account = load_account(tx)
    ready: dict[bytes, tuple[int, Parked]] = {}
    spent = []
    for number, group_id, told in parked_of_type(tx, ContentType.GROUP_WELCOME):
        row = find_group(tx, group_id)
        if not may_welcome(tx, account, group_id, told.account_id, row) or waits_for_log(
            tx, row, told.account_id
        ):
            continue
        if takes_whole(tx, row, told.account_id):
            ready.setdefault(group_id, (number, told))
        else:
            spent.append(number)
    return list(ready.values()), spent


def _take(
    tx: Transaction, *, number: int, told: Parked, welcome: Welcome, read_token: bytes, system: System
) -> Taken:
    def work(batch: Batch) -> None:
        forget_parked(tx, number)
        # It may have come in meanwhile, by a welcome in a session.
        if takes_whole(tx, find_group(tx, welcome.state.group_id), told.account_id):
            take_welcome(tx, batch, told, welcome, read_token)

    return in_batch(tx, system, work)
