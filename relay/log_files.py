"""The relay's two logs read straight from where it keeps them, whether a relay runs on them or not: verified, and exported.

A second composition root beside app.py, without what a server needs: it knows which database there is.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from relay import log_database
from relay.adapters.data_folder import DataFolder, StartRefused
from relay.adapters.log_check import LogVerdict
from relay.adapters.new_file import new_file
from relay.adapters.sqlite.audit_file import open_audit_file
from relay.adapters.sqlite.log_audit import audit_log
from relay.adapters.sqlite.store import StoreUnusable
from relay.adapters.system_clock import system_randomness
from relay.config import Settings
from relay.services.audit_check import AuditVerdict, check_rows, open_heads
from relay.services.audit_records import exported_header, exported_row, read_header, read_row
from relay.services.transparency import open_head
from relay.session.proof import RelayKey
from relay.wire.audit_rows import AuditRow, Tip


def verify_log(settings: Settings, heads: Sequence[bytes]) -> LogVerdict:
    """What does not fit between the transparency log, signed heads of it, and the accounts.

    Raises StartRefused, MalformedRequest for what is no head of this relay.
    """
    if settings.is_cluster:
        return asyncio.run(log_database.verify_log(settings, heads))
    with _files_of(settings) as (database, public):
        return audit_log(
            database, [open_head(head, public) for head in heads], keys_file=settings.column_keys_file
        )


def verify_audit(settings: Settings, heads: Sequence[bytes]) -> AuditVerdict:
    """What does not fit in the audit log, and between it and signed heads of it. Raises StartRefused."""
    if settings.is_cluster:
        return asyncio.run(log_database.verify_audit(settings, heads))
    with _files_of(settings) as (database, public):
        return verify_audit_file(database, public, heads)


def export_audit(settings: Settings, to: Path) -> int:
    """Write the audit log to a new file; how many rows. Raises StartRefused, FileExistsError, OSError."""
    if settings.is_cluster:
        return asyncio.run(log_database.export_audit(settings, to))
    with _files_of(settings) as (database, public):
        return export_audit_file(database, public, to)


@contextmanager
def _files_of(settings: Settings) -> Iterator[tuple[Path, bytes]]:
    """The database, and the 32 B key that signs; raises StartRefused where there is none, or it cannot be read."""
    folder = DataFolder(settings.data_folder)
    for path in (folder.database, folder.key_file):
        if not path.exists():
            raise StartRefused(
                f"{path}: there is no such file: correct --data, or start the relay first", exit_code=2
            )
    try:
        yield folder.database, RelayKey(folder.signing_seed(system_randomness)).public
    except StoreUnusable as error:
        raise StartRefused(str(error)) from error


def verify_audit_file(database: Path, relay_public: bytes, heads: Sequence[bytes] = ()) -> AuditVerdict:
    """What does not fit in the database's log; `heads` are signed ones. Raises StoreUnusable."""
    with open_audit_file(database) as snapshot:
        return _verdict(snapshot.rows, snapshot.tip, relay_public, heads)


def _verdict(rows: Iterable[AuditRow], tip: Tip, relay_public: bytes, heads: Sequence[bytes]) -> AuditVerdict:
    opened, foreign = open_heads(heads, relay_public)
    verdict = check_rows(rows, tip, relay_public, opened)
    return replace(verdict, faults=foreign + verdict.faults)


def export_audit_file(database: Path, relay_public: bytes, to: Path) -> int:
    """Write the log to a new file of mode 0600; how many rows. Raises StoreUnusable, FileExistsError, OSError."""
    rows = 0
    with new_file(to) as stream, open_audit_file(database) as snapshot:
        stream.write(json.dumps(exported_header(snapshot.tip, relay_public)) + "\n")
        for row in snapshot.rows:
            stream.write(json.dumps(exported_row(row)) + "\n")
            rows += 1
    return rows


def verify_audit_export(lines: Iterable[str], heads: Sequence[bytes] = ()) -> AuditVerdict:
    """What does not fit in an export. The key is the one that stands in it. Raises MalformedRequest."""
    numbered = iter(lines)
    header = read_header(next(numbered, ""))
    return _verdict(_rows(numbered), header.tip, header.relay_public, heads)


def _rows(lines: Iterator[str]) -> Iterator[AuditRow]:
    for number, line in enumerate(lines, 2):
        if line.strip():
            yield read_row(line, number)
