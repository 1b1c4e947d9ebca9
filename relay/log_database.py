"""The two logs of a relay of several nodes read straight from its PostgreSQL, whether a node runs or not.

Beside log_files.py, which does the same with a file.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.log_check import LogVerdict
from relay.adapters.new_file import new_file
from relay.adapters.system_clock import system_randomness
from relay.config import Settings
from relay.services.audit_check import AuditCheck, AuditVerdict, open_heads
from relay.services.audit_records import exported_header, exported_row
from relay.services.transparency import open_head
from relay.session.proof import RelayKey
from relay.states import connecting_to, postgres_adapter
from relay.wire.errors import RelayError

if TYPE_CHECKING:
    from relay.adapters.postgres.audit_snapshot import AuditSnapshot


async def verify_log(settings: Settings, heads: Sequence[bytes]) -> LogVerdict:
    """What does not fit between the transparency log, signed heads of it, and the accounts.

    Raises StartRefused, MalformedRequest for what is no head of this relay.
    """
    public = _relay_public(settings)
    opened = [open_head(head, public) for head in heads]
    with _refusing(settings, "transparency log") as url:
        from relay.adapters.postgres.log_audit import audit_log  # noqa: PLC0415  (an extra)

        return await audit_log(
            url,
            opened,
            keys_file=settings.column_keys_file or DataFolder(settings.data_folder).column_keys_file,
            **connecting_to(settings.postgres),
        )


async def verify_audit(settings: Settings, heads: Sequence[bytes]) -> AuditVerdict:
    """What does not fit in the audit log, and between it and signed heads of it. Raises StartRefused."""
    public = _relay_public(settings)
    opened, foreign = open_heads(heads, public)
    check = AuditCheck(public, opened)
    async with _snapshot_of(settings) as snapshot:
        async for row in snapshot.rows:
            check.take(row)
            if check.gave_up:
                break
        verdict = check.finish(snapshot.tip)
    return replace(verdict, faults=foreign + verdict.faults)


async def export_audit(settings: Settings, to: Path) -> int:
    """Write the audit log to a new file; how many rows. Raises StartRefused, FileExistsError, OSError."""
    public = _relay_public(settings)
    rows = 0
    with new_file(to) as stream:
        async with _snapshot_of(settings) as snapshot:
            stream.write(json.dumps(exported_header(snapshot.tip, public)) + "\n")
            async for row in snapshot.rows:
                stream.write(json.dumps(exported_row(row)) + "\n")
                rows += 1
    return rows


def _relay_public(settings: Settings) -> bytes:
    """The 32 B key that signs; raises StartRefused where there is none: a new one would fit no row."""
    folder = DataFolder(settings.data_folder)
    file = settings.relay_key_file or folder.key_file
    if not file.exists():
        raise StartRefused(
            f"{file}: there is no such file: correct signing_key_file, or --data, or copy the key from a node",
            exit_code=2,
        )
    return RelayKey(folder.signing_seed(system_randomness, file)).public


@asynccontextmanager
async def _snapshot_of(settings: Settings) -> "AsyncIterator[AuditSnapshot]":
    """The audit log at one moment; raises StartRefused."""
    with _refusing(settings, "audit log") as url:
        from relay.adapters.postgres.audit_snapshot import open_audit_snapshot  # noqa: PLC0415  (an extra)

        async with open_audit_snapshot(url, **connecting_to(settings.postgres)) as snapshot:
            yield snapshot


@contextmanager
def _refusing(settings: Settings, log: str) -> Iterator[str]:
    """The database's URL; what is wrong with the database becomes a StartRefused."""
    if settings.postgres.url is None:
        raise StartRefused("postgres.url is missing", exit_code=2)
    unreachable = postgres_adapter().StoreUnreachable
    try:
        yield settings.postgres.url
    except unreachable as error:
        raise StartRefused(str(error)) from error
    except RelayError as error:
        raise StartRefused(f"PostgreSQL went away while the {log} was read: try again") from error
