"""One statement for many rows: a hop to the database's thread costs more than ten rows do."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

MAX_ROWS: Final = 512  # of one statement


@lru_cache(maxsize=256)
def values(rows: int, width: int) -> str:
    """`(VALUES (?,?),(?,?)…)` as a table to select from; its columns are column1, column2 …"""
    row = f"({','.join('?' * width)})"
    return f"(VALUES {','.join([row] * rows)})"


def padded_rows(rows: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24 …: few different statements, so that each is compiled once."""
    power = 1 << (rows - 1).bit_length()
    less = power * 3 // 4
    return less if power >= 4 and rows <= less else power


def chunks(flat: Sequence[object], width: int) -> Iterator[tuple[int, Sequence[object]]]:
    """`flat` rows of `width` values in pieces of at most MAX_ROWS, each filled up with rows of NULL to its padded number.

    Gives (rows with the filling, values). A statement over a piece leaves the filling out by `column1 NOT NULL`, or by
    joining on it.
    """
    step = MAX_ROWS * width
    for start in range(0, len(flat), step):
        piece = flat if len(flat) <= step else flat[start : start + step]
        rows = len(piece) // width
        filled = padded_rows(rows)
        yield filled, ((*piece, *((None,) * ((filled - rows) * width))) if filled > rows else piece)
