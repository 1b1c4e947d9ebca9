"""What shall be committed in a group: kept until this device, or another one, has done it."""

from collections.abc import Iterable

from client.store.database import Transaction
from client.store.group_wants import add_wants, find_want
from client.store.groups import make_due
from crypto.group_changes import Change


def want(tx: Transaction, group_id: bytes, changes: Iterable[Change], *, not_before_ms: int = 0) -> list[int]:
    """Have these committed by this device as soon as it can, not before then (ms); their numbers, to wait for.

    What is wanted already, and what the group has already, costs nothing. Wake the care afterwards (`GroupCare.due`;
    inside a mailbox batch set `batch.errands`).
    """
    numbers = []
    for change in changes:
        number = find_want(tx, group_id, change)
        if number is None:
            (number,) = add_wants(tx, group_id, [change], not_before_ms)
        numbers.append(number)
    make_due(tx, group_id, not_before_ms)
    return numbers


def want_cut(tx: Transaction, group_id: bytes, *, not_before_ms: int = 0) -> int:
    """Have a fresh epoch begun, whatever else is wanted; its number."""
    number = find_want(tx, group_id, None)
    if number is not None:
        return number
    (number,) = add_wants(tx, group_id, [None], not_before_ms)
    make_due(tx, group_id, not_before_ms)
    return number
