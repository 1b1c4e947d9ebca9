"""One table after the other from one side to the other, from where the last try ended; and both sides row by row."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from .progress import Progress, Row, Source, Target
from .tables import TABLES, Table

Told: TypeAlias = Callable[[str, int], None]
"""Progress: the table, and how many of its rows are done."""


@dataclass(slots=True)
class Side:
    """What one side has of a table: rows, and SHA-256 over each row's MessagePack, in the order of the key."""

    rows: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def take(self, row: Row) -> bytes:
        """The row as it was hashed."""
        encoded = msgspec.msgpack.encode(row)
        self._digest.update(encoded)
        self.rows += 1
        return encoded

    @property
    def sha256(self) -> str:
        """Of all rows so far, in hex."""
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Compared:
    """A table on both sides. `first`: the key of the first row that is not alike, or stands on one side alone."""

    table: str
    source_rows: int
    target_rows: int
    source_sha256: str
    target_sha256: str
    first: str | None

    @property
    def alike(self) -> bool:
        """Whether each row of the one is a row of the other."""
        return self.first is None


async def copy(source: Source, target: Target, told: Told) -> None:
    """All tables. A kill at any moment loses nothing: what is in the target and how far it is are one transaction."""
    for table in TABLES:
        await _copy_table(table, source, target, told)


async def _copy_table(table: Table, source: Source, target: Target, told: Told) -> None:
    progress = await target.progress(table)
    if progress.done:
        return
    key = target.order_of(table)
    if key is not None:
        async for page in source.pages(table, progress.last_key, key):
            progress = Progress(table.key_of(page[-1], key), progress.rows + len(page))
            await target.write(table, page, progress)
            told(table.name, progress.rows)
    await target.write(table, [], Progress(progress.last_key, progress.rows, done=True))


async def compare(source: Source, target: Source, told: Told) -> AsyncIterator[Compared]:
    """Each table as it is on both sides, read anew."""
    for table in TABLES:
        yield await _compare_table(table, source, target, told)


async def _compare_table(table: Table, source: Source, target: Source, told: Told) -> Compared:
    left, right = Side(), Side()
    first: str | None = None
    ones, others = _Rows(source.pages(table)), _Rows(target.pages(table))
    while True:
        one, other = await ones.next(), await others.next()
        if one is None and other is None:
            break
        taken = None if one is None else left.take(one)
        if taken != (None if other is None else right.take(other)) and first is None:
            keys = [table.key_of(row) for row in (one, other) if row is not None]
            first = ", ".join(_shown(value) for value in min(keys))
        if left.rows % table.page == 0:
            told(table.name, left.rows)
    return Compared(table.name, left.rows, right.rows, left.sha256, right.sha256, first)


class _Rows:
    """The rows of pages one by one; None at the end."""

    def __init__(self, pages: AsyncIterator[list[Row]]) -> None:
        self._pages = pages
        self._page: list[Row] = []
        self._at = 0

    async def next(self) -> Row | None:
        """The next one."""
        while self._at == len(self._page):
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._page, self._at = page, 0
        self._at += 1
        return self._page[self._at - 1]


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
