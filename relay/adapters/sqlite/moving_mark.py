"""A file that says that this database is being left for another one: while it stands, the writer commits nothing.

Whoever writes the file, and takes the database's write lock once after that, knows that no commit of a relay can follow:
a transaction that had begun before is over when the lock is had, and one that begins later looks for the file before it
commits, while it holds the lock itself. So whoever leaves needs no word of the relay, and no time that is long enough.
"""

import os
from pathlib import Path
from typing import Final

from relay.wire.errors import Unavailable

RETRY_MS: Final = 2_000


class BeingLeft(Exception):
    """The file stands: the transaction is not to be committed."""


def being_moved() -> Unavailable:
    """What whoever wants to write is told: to wait, as for any pause."""
    return Unavailable(
        "the relay is being moved: nothing was accepted, try again", retry_after_ms=RETRY_MS, read_only=True
    )


class MovingMark:
    """The file; None for a database that nobody can leave. `was_seen`: at the last look of the writer it stood."""

    def __init__(self, file: Path | None) -> None:
        self._file = None if file is None else os.fspath(file)
        self.was_seen = False

    def stands(self) -> bool:
        """Whether it is there; also if nobody can say."""
        if self._file is None:
            return False
        try:
            os.stat(self._file)  # noqa: PTH116  (a third of Path.stat, for each commit)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def refuse(self) -> None:
        """Raise BeingLeft if it stands; called between BEGIN IMMEDIATE and COMMIT."""
        self.was_seen = self.stands()
        if self.was_seen:
            raise BeingLeft
