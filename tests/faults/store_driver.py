"""A program that works on a store and says each thing only after the store has answered it; run by disk_shim.py.

`store_driver.py FOLDER work|full|fail|off|create|migrate`, or `FOLDER sweep-WHAT STEP …`: each in a child and a folder of its
own, killed at that step. Lines: `ready`, `accepted N`, `acked N`, `key ID`, `refused CODE`, `done …`.
"""

import asyncio
import mmap
import os
import shutil
import sys
from collections.abc import Awaitable
from pathlib import Path

from relay.adapters.sqlite import connection
from relay.adapters.sqlite.migrate import Migration, shipped_migrations
from relay.adapters.sqlite.store import SqliteStore, open_sqlite_store
from relay.ports.mailboxes import Submission
from relay.ports.prekeys import Claim
from relay.wire.errors import RelayError
from relay.wire.prekeys import PrekeyKind
from tests.contract.people import NOW_MS, bytes_of, new_device, one_time_prekeys, standing_prekeys
from tests.faults.disk_shim import CONTROL

ENVELOPES = 40
NEXT_MIGRATION = Migration(
    len(shipped_migrations()) + 1,
    "9999_a_later_one.sql",
    """-- Touches every row, so that it needs many writes.
    ALTER TABLE accounts ADD COLUMN nickname TEXT NOT NULL DEFAULT '';
    CREATE TABLE nicknames (account_id BLOB NOT NULL PRIMARY KEY, nickname TEXT NOT NULL) STRICT;
    UPDATE accounts SET nickname = hex(account_id);
    INSERT INTO nicknames SELECT account_id, nickname FROM accounts;
    CREATE TRIGGER nickname_changed AFTER UPDATE OF nickname ON accounts BEGIN
        UPDATE nicknames SET nickname = new.nickname WHERE account_id = new.account_id;
    END;
""",
)
RESERVE_BYTES = 16_777_216


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def envelope(number: int, device: bytes, size: int = 1_024) -> Submission:
    return Submission(bytes_of(("id", number)), 1_000, (bytes_of(("body", number), size),), ((device, 0),))


async def try_to(call: Awaitable[object], said: str) -> bool:
    try:
        await call
    except RelayError as error:
        say(f"refused {error.code}")
        return False
    say(said)
    return True


async def work(store: SqliteStore) -> None:
    """Two senders at once, acknowledgements and claims between."""
    device = await new_device(store, "anna")
    keys = [*standing_prekeys(), *one_time_prekeys(PrekeyKind.ONE_TIME, 2, 20)]
    await store.prekeys.append(device, keys)
    say("ready")

    given = [asyncio.Event() for _ in range(ENVELOPES + 1)]

    async def sender(first: int) -> None:
        for number in range(first, ENVELOPES, 2):
            result = await store.mailboxes.append([envelope(number, device)], now_ms=NOW_MS)
            say(f"accepted {number}")
            given[result.appended[0].sequences[0]].set()

    async def owner() -> None:
        for up_to in range(1, 12):
            await given[up_to].wait()
            await store.mailboxes.ack(device, up_to=up_to)
            say(f"acked {up_to}")
            (claimed,) = await store.prekeys.claim([Claim(device, one_time=True)])
            assert claimed is not None
            assert claimed.one_time is not None
            say(f"key {int.from_bytes(claimed.one_time[2:6], 'big')}")

    await asyncio.gather(sender(0), sender(1), owner())


async def full(store: SqliteStore, control: mmap.mmap) -> None:
    """Fill the disk; then make room by acknowledging; then there is more disk."""
    device = await new_device(store, "anna")
    set_room(control, 6_000_000)
    number = 0
    while await try_to(
        store.mailboxes.append([envelope(number, device, 200_000)], now_ms=NOW_MS), f"accepted {number}"
    ):
        number += 1
    await try_to(store.mailboxes.append([envelope(1_000, device, 10)], now_ms=NOW_MS), "accepted 1000")
    await try_to(store.invites.revoke(bytes(32)), "revoked")
    for up_to in range(1, number + 1):
        await try_to(
            store.accounts.spend_nonce(device, up_to.to_bytes(16, "big"), expires_at_ms=NOW_MS),
            f"nonce {up_to}",
        )
        await try_to(store.mailboxes.ack(device, up_to=up_to), f"acked {up_to}")
    say(f"left {(await store.mailboxes.state(device)).envelopes} failed {store.failed.is_set()}")
    set_room(control, 50_000_000)
    await store.reclaim()
    await try_to(store.mailboxes.append([envelope(2_000, device)], now_ms=NOW_MS), "accepted 2000")


async def fail(store: SqliteStore, control: mmap.mmap) -> None:
    """One sync fails in the midst of accepting."""
    device = await new_device(store, "anna")
    say("ready")
    for number in range(6):
        if number == 3:
            counters = list(CONTROL.unpack(control[: CONTROL.size]))
            counters[4] = counters[1] + 1
            control[: CONTROL.size] = CONTROL.pack(*counters)
        await try_to(store.mailboxes.append([envelope(number, device)], now_ms=NOW_MS), f"accepted {number}")
    await try_to(store.check(), "checked")
    say(f"failed {store.failed.is_set()} left {(await store.mailboxes.state(device)).envelopes >= 3}")


def set_room(control: mmap.mmap, room: int) -> None:
    counters = list(CONTROL.unpack(control[: CONTROL.size]))
    counters[5] = room
    control[: CONTROL.size] = CONTROL.pack(*counters)


async def main(folder: Path, what: str) -> None:
    if what == "off":  # the rig's own test: what a relay without the sync would look like
        without = [each.replace("= FULL", "= NORMAL") for each in connection._WRITER_PRAGMAS]
        connection._WRITER_PRAGMAS = tuple(without)  # type: ignore[misc]
    if what in ("create", "migrate"):
        steps = (*shipped_migrations(), NEXT_MIGRATION)[: None if what == "migrate" else -1]
        async with open_sqlite_store(folder / "relay.db", reserve_bytes=0, migrations=steps):
            return
    with (folder / "control").open("r+b") as file, mmap.mmap(file.fileno(), CONTROL.size) as control:
        async with open_sqlite_store(folder / "relay.db", reserve_bytes=RESERVE_BYTES) as store:
            before, syncs_before = store.counts.commits, CONTROL.unpack(control[: CONTROL.size])[1]
            match what:
                case "full":
                    await full(store, control)
                case "fail":
                    await fail(store, control)
                case _:
                    await work(store)
            syncs = CONTROL.unpack(control[: CONTROL.size])[1]
            say(f"done commits {store.counts.commits - before} syncs {syncs - syncs_before}")


def sweep(folder: Path, what: str, steps: list[int]) -> None:
    """Before anything has a thread: one child a step, all on the control page that the shim has open."""
    with (folder / "control").open("r+b") as file, mmap.mmap(file.fileno(), CONTROL.size) as control:
        for step in steps:
            own = folder / str(step)
            own.mkdir()
            (own / "control").symlink_to(folder / "control")
            for name in ("relay.db", "column.keys"):
                if (folder / name).exists():
                    shutil.copy(folder / name, own / name)
            control[: CONTROL.size] = CONTROL.pack(0, 0, step, step // 10 % 2, 0, -1)
            child = os.fork()
            if not child:
                lines = os.open(own / "lines", os.O_WRONLY | os.O_CREAT, 0o600)
                os.dup2(lines, 1)
                asyncio.run(main(own, what))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            say(f"{step} {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    if sys.argv[2].startswith("sweep-"):
        sweep(Path(sys.argv[1]), sys.argv[2].removeprefix("sweep-"), [int(step) for step in sys.argv[3:]])
    else:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
