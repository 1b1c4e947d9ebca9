"""The audit log as a file of JSON lines, written from the database and read back where there is none."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from relay.adapters.sqlite.audit_file import open_audit_file
from relay.services.audit_check import AuditCheck, AuditVerdict, open_heads
from relay.services.audit_records import exported_header, exported_row, read_header, read_row
from relay.wire.audit_rows import AuditRow


def verify_audit_file(database: Path, relay_public: bytes, heads: Sequence[bytes] = ()) -> AuditVerdict:
    """What does not fit in the database's log; `heads` are signed ones. Raises StoreUnusable."""
    opened, foreign = open_heads(heads, relay_public)
    check = AuditCheck(relay_public, opened)
    with open_audit_file(database) as snapshot:
        for row in snapshot.rows:
            check.take(row)
            if check.gave_up:
                break
        verdict = check.finish(snapshot.tip)
    return AuditVerdict(verdict.rows, verdict.root, foreign + verdict.faults)


def export_audit_file(database: Path, relay_public: bytes, to: Path) -> int:
    """Write the log to a new file of mode 0600; how many rows. Raises StoreUnusable, FileExistsError, OSError.

    Under its name it is whole: it is written under another one, which is removed if it comes to nothing.
    """
    if to.exists():
        raise FileExistsError(to)
    partial = to.with_name(to.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        rows = 0
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream, open_audit_file(database) as snapshot:
            stream.write(json.dumps(exported_header(snapshot.tip, relay_public)) + "\n")
            for rows, row in enumerate(snapshot.rows, 1):  # noqa: B007  (the last one counts)
                stream.write(json.dumps(exported_row(row)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(partial, to)  # never over a file that came meanwhile
    finally:
        partial.unlink(missing_ok=True)
    return rows


def verify_audit_export(lines: Iterable[str], heads: Sequence[bytes] = ()) -> AuditVerdict:
    """What does not fit in an export. The key is the one that stands in it. Raises MalformedRequest."""
    numbered = iter(lines)
    header = read_header(next(numbered, ""))
    opened, foreign = open_heads(heads, header.relay_public)
    check = AuditCheck(header.relay_public, opened)
    for row in _rows(numbered):
        check.take(row)
        if check.gave_up:
            break
    verdict = check.finish(header.tip)
    return AuditVerdict(verdict.rows, verdict.root, foreign + verdict.faults)


def _rows(lines: Iterator[str]) -> Iterator[AuditRow]:
    for number, line in enumerate(lines, 2):
        if line.strip():
            yield read_row(line, number)
