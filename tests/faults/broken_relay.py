"""`tokenim-relay` with one promise broken on purpose, to prove that the fault tests would see it.

    python tests/faults/broken_relay.py early-accept|synchronous-normal|tells-sender|writes-on serve --data …

The product has no such switch: this program alters it from outside before it starts.
"""

import asyncio
import sys
from collections.abc import Sequence

from relay.adapters.sqlite import connection
from relay.adapters.sqlite.mailboxes import SqliteMailboxes, _Calls
from relay.adapters.sqlite.moving_mark import MovingMark
from relay.adapters.sqlite.writer import Transaction
from relay.ports.bus import AccountChanged, NewMail
from relay.services.devices import KnownDevice
from relay.services.mailbox import Mailboxes
from relay.wire.frames import Submit

LATE_SECONDS = 0.15  # so long that a driver on a busy machine has read the answer when the kill comes


def accept_early() -> None:
    """Answer each append before the commit of its group, as a relay would that trusts its luck."""
    properly = SqliteMailboxes._apply

    async def apply(self: SqliteMailboxes, transaction: Transaction, waiting: _Calls) -> None:
        await properly(self, transaction, waiting)
        for append in waiting.appends:
            append.answer()
        await asyncio.sleep(LATE_SECONDS)

    SqliteMailboxes._apply = apply  # type: ignore[method-assign]


def flush_seldom() -> None:
    """Commit without fsync: what SQLite calls synchronous=NORMAL."""
    full, normal = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"
    pragmas: Sequence[str] = connection._WRITER_PRAGMAS
    if full not in pragmas:
        raise RuntimeError("the relay does not say `synchronous = FULL` where it used to")
    replaced = tuple(normal if pragma == full else pragma for pragma in pragmas)
    connection._WRITER_PRAGMAS = replaced  # type: ignore[misc, assignment]


def tell_sender() -> None:
    """Say on the bus who submits, where the relay knows it."""
    properly = Mailboxes._check

    def check(self: Mailboxes, submit: Submit, signer: KnownDevice | None) -> None:
        if signer is not None:
            self._bus.publish(NewMail((signer.device_id,)))
            self._bus.publish(AccountChanged(signer.account_id, suspended=False))
        properly(self, submit, signer)

    Mailboxes._check = check  # type: ignore[method-assign]


def write_on() -> None:
    """Say that it sees the mark of a move, and commit all the same."""
    MovingMark.refuse = lambda _self: None  # type: ignore[method-assign]


BREAKS = {
    "early-accept": accept_early,
    "synchronous-normal": flush_seldom,
    "tells-sender": tell_sender,
    "writes-on": write_on,
}


def main() -> None:
    """Break what the first argument names, then be the relay for the rest."""
    BREAKS[sys.argv.pop(1)]()
    from relay.cli import main as relay_command

    relay_command()


if __name__ == "__main__":
    main()
