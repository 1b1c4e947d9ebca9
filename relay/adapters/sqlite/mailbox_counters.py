"""Where each mailbox stands, in the writer's memory: read from the file when first needed, exact from then on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from . import multi_row
from .records import record_key
from .writer import Transaction

MAX_REMEMBERED: Final = 65_536  # mailboxes


@dataclass(slots=True, eq=False)
class Counters:
    """One mailbox: `given_up_to` is the highest sequence given, quarantined envelopes are in both sums.

    `number_bytes`: its device number as record keys begin with it.
    """

    device_id: bytes
    number: int
    number_bytes: bytes
    given_up_to: int
    envelopes: int
    bytes: int
    has_missed: bool
    attempt_sequence: int
    attempts: int


class MailboxCounters:
    """The mailboxes the writer remembers; forgotten as a whole when a transaction is rolled back."""

    def __init__(self) -> None:
        self.known: dict[bytes, Counters] = {}

    def forget_all(self) -> None:
        """What memory holds may not have happened: read it again."""
        self.known.clear()

    def forget(self, device_ids: Iterable[bytes]) -> None:
        """These devices are gone."""
        for device_id in device_ids:
            self.known.pop(device_id, None)

    async def load(self, transaction: Transaction, device_ids: Iterable[bytes]) -> None:
        """Make sure that those of `device_ids` that exist are in `known`."""
        known = self.known
        missing = [device_id for device_id in dict.fromkeys(device_ids) if device_id not in known]
        if not missing:
            return
        if len(known) + len(missing) > MAX_REMEMBERED:
            needed = set(device_ids)
            for device_id in [remembered for remembered in known if remembered not in needed]:
                del known[device_id]
        for rows, parameters in multi_row.chunks(missing, 1):
            # Count, sum and maximum come from the index alone.
            found = await transaction.rows(
                f"""SELECT d.device_id, d.device_number,
                           max(m.given_up_to,
                               coalesce((SELECT max(sequence) FROM envelopes WHERE device_number = d.device_number), 0),
                               coalesce((SELECT max(to_sequence) FROM missed WHERE device_number = d.device_number), 0)),
                           (SELECT count(*) FROM envelopes WHERE device_number = d.device_number),
                           (SELECT coalesce(sum(bytes), 0) FROM envelopes WHERE device_number = d.device_number),
                           EXISTS (SELECT 1 FROM missed WHERE device_number = d.device_number),
                           m.attempt_sequence, m.attempts
                    FROM {multi_row.values(rows, 1)} AS asked
                    JOIN devices AS d ON d.device_id = asked.column1
                    JOIN mailboxes AS m ON m.device_number = d.device_number""",  # noqa: S608  # placeholders only
                parameters,
            )
            for device_id, number, given, envelopes, size, has_missed, attempt_sequence, attempts in found:
                known[device_id] = Counters(
                    device_id,
                    number,
                    record_key(number, b""),
                    given,
                    envelopes,
                    size,
                    bool(has_missed),
                    attempt_sequence,
                    attempts,
                )

    async def of(self, transaction: Transaction, device_id: bytes) -> Counters | None:
        """One mailbox, or None for an unknown device."""
        await self.load(transaction, (device_id,))
        return self.known.get(device_id)

    def save(self, transaction: Transaction, changed: Iterable[Counters]) -> None:
        """Write what the rows of the envelopes do not show."""
        flat: list[object] = []
        for counters in changed:
            flat += (counters.number, counters.given_up_to, counters.attempt_sequence, counters.attempts)
        for rows, parameters in multi_row.chunks(flat, 4):
            transaction.later(
                f"""UPDATE mailboxes
                    SET given_up_to = new.column2, attempt_sequence = new.column3, attempts = new.column4
                    FROM {multi_row.values(rows, 4)} AS new WHERE device_number = new.column1""",  # noqa: S608
                parameters,
            )
