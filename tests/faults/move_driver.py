"""Moves a relay in processes that die by SIGKILL: the n-th try right before or after its n-th durable step, until one ends.

python move_driver.py postgres|sqlite FOLDER URL [STRIDE]: prints how many were killed. STRIDE: only at each so many of these
moments, for a relay that runs meanwhile. After each kill it looks whether a relay would start: never on both sides, and on none
once the move has begun; and whether one that runs has written since.

python move_driver.py once FOLDER URL MOMENT: one try towards PostgreSQL, killed there.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay import moves
from relay.adapters.data_folder import DataFolder
from relay.adapters.moving import sqlite_side
from relay.adapters.moving.marks import read_mark
from relay.adapters.moving.postgres_side import PostgresSide
from tests.full_database import content_of
from tests.moving import refused_on, settings_with, told

STEPS = (
    (moves, "write_mark"),
    (moves, "remove_mark"),
    (moves, "sync_folder"),
    (moves, "begin_draft"),
    (moves, "_record"),
    (moves, "wait_for_writer"),
    (moves, "settle_log"),
    (sqlite_side.SqliteSide, "write"),
    (sqlite_side.SqliteSide, "close_draft"),
    (PostgresSide, "write"),
    (PostgresSide, "begin_filling"),
    (PostgresSide, "begin_leaving"),
    (PostgresSide, "end_filling"),
    (PostgresSide, "unmark"),
)


class Killer:
    """Ends this process at one of its steps; each has a moment before and one after it."""

    def __init__(self, moment: int) -> None:
        self._left = moment

    def pass_by(self) -> None:
        """One moment; maybe the last."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step, with a moment before and after it."""
        if asyncio.iscoroutinefunction(step):

            async def awaited(*arguments: Any, **named: Any) -> Any:
                self.pass_by()
                result = await step(*arguments, **named)
                self.pass_by()
                return result

            return awaited

        def called(*arguments: Any, **named: Any) -> Any:
            self.pass_by()
            result = step(*arguments, **named)
            self.pass_by()
            return result

        return called


def attempt(target: str, folder: Path, url: str, moment: int) -> bool:
    """One process; whether it came to its end."""
    child = os.fork()
    if child == 0:
        killer = Killer(moment)
        for owner, name in STEPS:
            setattr(owner, name, killer.around(getattr(owner, name)))
        move = moves.to_sqlite if target == "sqlite" else moves.to_postgres
        moved = asyncio.run(move(settings_with(folder, url), told))
        os._exit(0 if moved.finished else 3)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"the try that was to be killed at moment {moment} failed")
    return True


async def look(folder: Path, url: str) -> None:
    """No relay may start on both sides; none where a move is under way."""
    data = DataFolder(folder)
    on_sqlite, on_postgres = await refused_on(data, settings_with(folder, url))
    if not (on_sqlite or on_postgres):
        sys.exit("a relay could start on both sides")
    mark = read_mark(data)
    if mark is not None and not mark.done and not (on_sqlite and on_postgres):
        sys.exit("a relay could start in the middle of a move")


def left(folder: Path) -> dict[str, list[tuple[object, ...]]] | None:
    """What stands in SQLite once a move to PostgreSQL has had the write lock; None before."""
    data = DataFolder(folder)
    mark = read_mark(data)
    if mark is None or mark.target != "postgres" or not data.database.exists():
        return None
    moves.wait_for_writer(data.database)
    return content_of(data.database)


def main() -> None:
    """Until it is done."""
    target, folder, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if target == "once":
        sys.exit(0 if not attempt("postgres", folder, url, int(sys.argv[4])) else "it was not killed")
    stride = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    kills, moment, before = 0, 1, None
    while not attempt(target, folder, url, moment):
        kills += 1
        moment += stride
        asyncio.run(look(folder, url))
        after = left(folder)
        if None not in (before, after) and before != after:
            sys.exit(f"written after the move had begun, before moment {moment}")
        before = after
    asyncio.run(look(folder, url))
    print(kills)


if __name__ == "__main__":
    main()
