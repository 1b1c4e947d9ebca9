"""A small stock of one-time keys, for people of tests that are about something else.

A client makes a hundred of each of two kinds as it registers, and the relay checks each: most of what an account costs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from client import prekey_care
from crypto import limits

FEW: Final = 20  # more than anybody is written to by strangers in such a test
_AS_IT_IS: Final = prekey_care.ONE_TIME_STOCK, prekey_care.MAX_MADE_A_DAY


@contextmanager
def few_prekeys() -> Iterator[None]:
    """For clients of this process, within the block; a test that has set an even smaller stock keeps it."""
    before = prekey_care.ONE_TIME_STOCK, prekey_care.MAX_MADE_A_DAY
    stock = min(FEW, limits.ONE_TIME_STOCK)
    a_day = (
        10 * stock if before == _AS_IT_IS else before[1]
    )  # a test, or a guard that is taken away, may have set it
    with (
        patch.object(limits, "ONE_TIME_STOCK", stock),
        patch.object(prekey_care, "ONE_TIME_STOCK", stock),
        patch.object(prekey_care, "MAX_MADE_A_DAY", a_day),
    ):
        yield
