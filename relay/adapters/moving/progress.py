"""How far a table is moved, as the side that is written keeps it; and what a move needs of its two sides."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from .tables import Table

Row: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """The key of the last row that is written, how many there are, and whether that is all."""

    last_key: Row | None = None
    rows: int = 0
    done: bool = False


def packed(key: Row | None) -> bytes | None:
    """A key as it is kept."""
    return None if key is None else msgspec.msgpack.encode(key)


def unpacked(kept: bytes | None) -> Row | None:
    """The key again."""
    return None if kept is None else tuple(msgspec.msgpack.decode(kept))


class Source(Protocol):
    """The side that is read, or compared."""

    def pages(
        self, table: Table, after: Row | None = None, key: tuple[str, ...] = ()
    ) -> AsyncIterator[list[Row]]:
        """The rows above `after`, a page at a time; `key`: in another order than that of the table's key."""


class Target(Source, Protocol):
    """The side that is written."""

    @staticmethod
    def order_of(table: Table) -> tuple[str, ...] | None:
        """By which key it wants the rows; None: it has them in another table already."""

    async def progress(self, table: Table) -> Progress:
        """How far it is written."""

    async def write(self, table: Table, rows: Sequence[Row], progress: Progress) -> None:
        """These rows and how far it is then, or nothing."""
