"""Rows for an audit log, signed by a key that is known: for the stores' contracts and for what is found in a file."""

from collections.abc import Iterator
from pathlib import Path

from relay.adapters.memory_clock import ManualClock
from relay.adapters.sqlite.audit_file import open_audit_file
from relay.ports.audit import AuditStore
from relay.services.audit import Audit
from relay.services.audit_check import AuditVerdict, check_rows
from relay.session.proof import RelayKey
from relay.wire.audit_rows import AuditHead, AuditRow
from tests.contract.people import NOW_MS, bytes_of

KEY = RelayKey(bytes_of("audit key", 32))
OTHER_KEY = RelayKey(bytes_of("another key", 32))


def salts() -> Iterator[bytes]:
    number = 0
    while True:
        yield bytes_of(("salt", number := number + 1), 16)


def audit_over(store: AuditStore, *, clock: ManualClock | None = None, key: RelayKey = KEY) -> Audit:
    """The service over a store; salts are known."""
    made = salts()
    return Audit(store, key=key, clock=clock or ManualClock(NOW_MS), randomness=lambda _: next(made))


async def rows_of(store: AuditStore) -> tuple[AuditRow, ...]:
    return await store.rows(0, 10_000)


async def verdict_of(store: AuditStore, *heads: AuditHead) -> AuditVerdict:
    return check_rows(await rows_of(store), await store.tip(), KEY.public, heads)


def verdict_of_file(database: Path, *heads: AuditHead, key: RelayKey = KEY) -> AuditVerdict:
    with open_audit_file(database) as snapshot:
        return check_rows(snapshot.rows, snapshot.tip, key.public, heads)
