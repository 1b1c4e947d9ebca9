"""`tokenim-relay` with one promise broken on purpose, to prove that the fault tests would see it.

    python tests/faults/broken_relay.py early-accept|synchronous-normal serve --data …

The product has no such switch: this program alters it from outside before it starts.
"""

import asyncio
import sys

from relay.adapters.sqlite import connection, writer

from relay.wire.errors import RelayError

LATE_SECONDS = 0.05


def accept_early() -> None:
    """Tell results before the commit of their group, as a relay would that trusts its luck."""
    attempt = writer.Writer._attempt
    tell_rows = writer.Transaction.rows

    async def early(self, group, *, may_come_again: bool) -> RelayError | None:  # type: ignore[no-untyped-def]
        async def rows(transaction, statement, parameters=()):  # type: ignore[no-untyped-def]
            if statement == "COMMIT":
                transaction.committed()
                for waiting in group:
                    if waiting.error is None and not waiting.done.done():
                        waiting.done.set_result(waiting.result)
                await asyncio.sleep(LATE_SECONDS)
                group[:] = [waiting for waiting in group if waiting.error is not None]
                transaction._after_commit.clear()
            return await tell_rows(transaction, statement, parameters)

        writer.Transaction.rows = rows  # type: ignore[method-assign]
        try:
            return await attempt(self, group, may_come_again=may_come_again)
        finally:
            writer.Transaction.rows = tell_rows  # type: ignore[method-assign]

    writer.Writer._attempt = early  # type: ignore[method-assign]


def flush_seldom() -> None:
    """Commit without fsync: what SQLite calls synchronous=NORMAL."""
    full, normal = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"
    pragmas = connection._WRITER_PRAGMAS
    if full not in pragmas:
        raise RuntimeError("the relay does not say `synchronous = FULL` where it used to")
    connection._WRITER_PRAGMAS = tuple(normal if pragma == full else pragma for pragma in pragmas)  # type: ignore[misc]


BREAKS = {"early-accept": accept_early, "synchronous-normal": flush_seldom}


def main() -> None:
    """Break what the first argument names, then be the relay for the rest."""
    BREAKS[sys.argv.pop(1)]()
    from relay.cli import main as serve

    serve()


if __name__ == "__main__":
    main()
